"""Molecules by the force field of an OpenMM System, many replicas at a time."""

from . import kernel  # noqa: F401  it brings the faster form (`backends`)
from .force_field import ForceField

__all__ = ["ForceField"]
