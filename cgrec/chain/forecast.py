"""What can be said of a climb before its work: who its sites will be, and what it will need.

`cgrec check` prints it. What cannot work is refused, here and at the begin of every climb.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..dynamics import Langevin
from ..level import LevelRecipe
from ..system import System
from .chain import Chain, foreseen

#: Bytes of a frame for each site: positions and forces, three numbers of four bytes each.
BYTES_PER_SITE = 24
GIGABYTE = 1e9


def forecast(chain: Chain) -> Iterator[tuple[str, str]]:
    """(what was looked at, what was found), of each thing that can be known.

    Raises:
        ValueError: what would fail later, by its key.
    """
    systems = foreseen(chain)
    names = ["level 0", *chain.recipes]
    if systems is None:
        yield "sites", "known when level 0 is made: labels can be compared only then"
        return
    for name, system in zip(names, systems):
        yield name, _in_words(system)
    yield "labels", f"{len(chain.variables)} variables of the chain are where they should be"
    yield "disk", _disk(chain.folder, list(chain.recipes.values()), systems[1:])


def _in_words(system: System | None) -> str:
    if system is None:
        return "sites are chosen by the frames of the level below"
    molecules = len(system.molecule_sites())
    return f"{system.n_sites} sites in {molecules} molecule{'s' if molecules > 1 else ''}"


def _disk(folder: Path, recipes: Sequence[LevelRecipe], systems: Sequence[System | None]) -> str:
    """Gigabytes that the frames of the levels will take, as far as known, and those that are free.

    Raises:
        ValueError: there is less than they take.
    """
    need = 0.0
    for recipe, system in zip(recipes, systems):
        run = recipe.dynamics
        if isinstance(run, Langevin) and system is not None:
            need += run.n_replicas * run.n_saves * system.n_sites * BYTES_PER_SITE / GIGABYTE
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free / GIGABYTE
    if need > free:
        raise ValueError(
            f"run: expected room for {need:.1f} GB of frames, found {free:.1f} GB free at {place}; "
            "give another run=FOLDER, a shorter length, fewer n_replicas, or a longer save_every"
        )
    return f"{need:.2g} GB of frames of the levels, {free:.0f} GB free"
