"""Potentials: networks, priors, biases and sums of them."""
from .base import Potential, SumPotential

__all__ = ["Potential", "SumPotential"]
