"""Potentials -> what other simulation programs run."""
