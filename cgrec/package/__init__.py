"""One file that holds a level or a chain, to keep and to give to others: `pack` writes it, `load`
reads it.

What lies inside is the folder of a run with less in it, so that all that reads a run reads a package.
"""

from __future__ import annotations

from pathlib import Path

from ..chain import Chain
from ..chain import load as load_folder
from ..level import Level
from .manifest import ENDING, Manifest
from .opening import Damaged, Package, is_package, open_package
from .packing import pack

__all__ = [
    "ENDING",
    "Damaged",
    "Manifest",
    "Package",
    "is_package",
    "load",
    "open_package",
    "pack",
]


def load(path: str | Path) -> Package | Chain | Level:
    """A package (x.cgrec), a finished run, or one of its levels. Every product is compared with the
    digest of it before it is handed on.

    Raises:
        FileNotFoundError: none of these.
        Damaged: a package was changed or cut.
        Changed: a product of a run was changed, damaged or removed; it names the file and the way
            out.
        ValueError: a file that is no package.
    """
    return open_package(path) if is_package(path) else load_folder(path)
