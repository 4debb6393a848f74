"""What a level knows that models of larger scales need, with errors: `cgrec handover` writes it."""

from .properties import Property, properties_of

__all__ = ["Property", "properties_of"]
