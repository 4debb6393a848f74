"""cgrec: recursive coarse-graining. Every level takes Frames in and gives Frames out."""

from importlib import import_module
from typing import Any

_HOMES = {
    "System": "system", "Frames": "frames", "CollectiveVariable": "collective_variables", "Mapping": "mapping",
    "Potential": "potential", "Backmapper": "backmapping", "propose_mappings": "proposals", "Level": "level", "Chain": "chain", "read": "trajectory_files", "load": "chain",
}  # fmt: skip
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:  # torch and MDAnalysis take seconds to import: only on first use
    if name not in _HOMES:
        raise AttributeError(f"module 'cgrec' has no attribute {name!r}: it has {', '.join(_HOMES)}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
