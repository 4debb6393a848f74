"""What one ensemble says by itself, told from frames alone: every number with its error."""

from .dielectric import dielectric_constant, dipole_moments

__all__ = ["dielectric_constant", "dipole_moments"]
