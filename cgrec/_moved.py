"""Modules under the names they had: files, configurations and programs of that time name them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # every start of cgrec would pay for the abstract classes, and nothing asks for them
    Loader = MetaPathFinder = object

PACKAGE = __package__ or "cgrec"
#: A room that was divided, and the modules that have its names now.
DIVIDED = {
    "analysis": (
        "observables",
        "statistics",
        "backmapping.judge",
        "mapping.choose.scores",
    )
}
#: Old module -> the module it is now; what lies below a package moved with it.
MOVED = {
    "analysis": "observables",
    "analysis.backmapping": "backmapping.judge",
    "analysis.divergence": "statistics.divergence",
    "analysis.mapping_scores": "mapping.choose.scores",
    "checkpoints": "run.checkpoints",
    "collective_variables": "variables",
    "digests": "run.digests",
    "distillation": "corrections.distillation",
    "export.lammps_terms": "export.lammps.terms",
    "foresight": "chain.foresight",
    "io.variables": "variables",
    "layout": "run.layout",
    "level_ledger": "chain.level_ledger",
    "lock": "run.lock",
    "mapping.essential": "mapping.choose.essential",
    "mapping.learned": "mapping.choose.learned",
    "proposals": "mapping.choose.proposals",
    "recipes": "run.recipes",
    "refinement": "corrections",
    "resampling": "statistics.resampling",
    "sampling": "statistics.sampling",
    "sources.active_learning": "sources.nnp.active_learning",
    "sources.labelling": "sources.nnp.labelling",
    "sources.learned": "sources.nnp.learned",
    "sources.quantum": "sources.nnp.quantum",
    "stages": "run.stages",
    "trajectory_files": "io",
}


def moved(name: str) -> str | None:
    """The module that `name` is now; None where it never moved."""
    parts = name.removeprefix(f"{PACKAGE}.").split(".")
    for n in range(len(parts), 0, -1):
        now = MOVED.get(".".join(parts[:n]))
        if now is not None:
            found = ".".join([PACKAGE, now, *parts[n:]])
            return moved(found) or found  # it may have moved more than once
    return None


class _Divided(ModuleType):
    """A room that was divided: each name is looked up where it is now, when it is asked for."""

    def __getattr__(self, name: str) -> object:
        room = self.__name__.removeprefix(f"{PACKAGE}.")
        for now in DIVIDED[room]:
            module = import_module(f"{PACKAGE}.{now}")
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _Alias(Loader):
    """Gives the module that stands under another name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.module = import_module(self.name)
        self.spec = self.module.__spec__
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has written the alias's over it


class _DividedRoom(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Divided(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it has no code of its own."""


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{PACKAGE}."):
            return None
        if name.removeprefix(f"{PACKAGE}.") in DIVIDED:
            return ModuleSpec(name, _DividedRoom(), is_package=True)
        now = moved(name)
        return None if now is None else ModuleSpec(name, _Alias(now))


def find_moved() -> None:
    """From here on old names can be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())  # a moved room has a __path__, where others would look
