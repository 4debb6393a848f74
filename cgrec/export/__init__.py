"""Potentials -> what other simulation programs run."""

from .lammps import lammps_command, write_lammps

__all__ = ["lammps_command", "write_lammps"]
