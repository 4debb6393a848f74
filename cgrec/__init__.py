"""cgrec: recursive coarse-graining. Every level takes Frames in and gives Frames out."""

import os
import pkgutil
from importlib import import_module
from typing import Any

from ._moved import find_moved, moved

# Before torch is imported, which reads it once. Threads of libgomp that wait for each other spin,
# by default for so long that two programs on the same cores slow each other 10 to 46 times; this
# bounds it.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

find_moved()

_HOMES = {
    "System": "system",
    "Frames": "frames",
    "CollectiveVariable": "variables",
    "Mapping": "mapping",
    "Potential": "potential",
    "ForceField": "potential",
    "Backmapper": "backmapping",
    "backmap": "backmapping",
    "propose_mappings": "mapping.choose.proposals",
    "Level": "level",
    "Chain": "chain",
    "read": "io",
    "load": "package",
    "pack": "package",
    "climb": "commands._calls",
    "check": "commands._calls",
    "descend": "commands._calls",
    "distil": "commands._calls",
    "friction": "commands._calls",
    "analyse_backmapping": "commands._calls",
    "init": "setup",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Names of `__all__`, and the rooms of the package: torch and MDAnalysis take seconds to
    import, so only on first use.
    """
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name in _rooms():
        return import_module(f".{name}", __name__)
    if moved(name) is not None:
        return import_module(f".{name}", __name__)
    if name == "__version__":
        from importlib.metadata import version

        return version("cgrec")
    raise AttributeError(f"module 'cgrec' has no attribute {name!r}: it has {', '.join(_HOMES)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_rooms(), "__version__"])


def _rooms() -> list[str]:
    return [
        module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    ]
