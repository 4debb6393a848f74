"""The stages in which a folder of a run is made, what each leaves there, and what a changed recipe
may still change.

A stage that has left nothing may be made by any recipe. One that has is refused another, with both
values and what to remove. After a failed attempt (`failed`) a corrected recipe clears away what the
old one made, from the first stage that differs on. A finished run may become longer, one at work may
also end earlier.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..remarks import remark
from . import layout
from .digests import HEADER, RECORD, REMARKS, forget, recorded
from .lock import LOCK
from .recipes import RECIPE, OtherRecipe, as_given, differences, refuse, store, stored

#: Patterns of what priors measured in the level below (`cgrec.roles.MeasuresParent`).
MEASURED = ("coulomb.json", "prior_*.json")
#: What corrections leave on the way.
CORRECTED = (layout.CORRECTION, "correction_*.pt", "round_*", "corrected_*")
#: {stage: patterns of what it leaves}, in the order of making, of a level above 0.
OF_LEVEL = {
    "map": (layout.MAPPING, layout.TARGETS),
    "fit": (
        layout.LABELLING,
        layout.MEAN_FORCES,
        *MEASURED,
        layout.FIT_CHECKPOINT,
        layout.TRIALS,
        layout.STRAYS,
        layout.LOSSES,
        layout.FIT,
        layout.POTENTIAL,
    ),
    "run": (layout.FIRST, *CORRECTED, layout.REFINED, layout.FRAMES),
    "compare": (layout.REPORT,),
}
#: Products that a few keys of their stage decide, and which others leave as they are: mean forces are
#: the dearest part of a fit.
DECIDED = dict.fromkeys((layout.LABELLING, layout.MEAN_FORCES), frozenset({"mean_forces", "seed"}))
#: What of a level is made from its first run, and has to be made anew when that becomes longer.
DERIVED = (*CORRECTED, layout.REFINED, layout.REPORT)
#: The length of a run, which may grow.
LENGTH = "dynamics.length"
#: Keys that say where a run ends. While it is at work they may change: its beginning is the same.
ENDS = (LENGTH, "n_frames")
#: What a run at work leaves: frames, or the pieces of another engine.
AT_WORK = {f"{layout.FRAMES}.partial", f"{layout.FIRST}.partial", layout.SAMPLING}

#: Stages whose work is too dear to be thrown away by a corrected recipe: labels of quantum
#: chemistry.
DEAR = ("learn",)

_FAILED = "failed"


def claim(
    folder: Path,
    now: Mapping[str, object],
    products: Mapping[str, Sequence[str]],
    *,
    prefix: str = "",
    above: Sequence[Path] = (),
    dry: bool = False,
    elsewhere: str = "choose another run=FOLDER",
) -> None:
    """Refuse a recipe that is not the one what is there was made with; else remember it.

    Args:
        folder: of the stages.
        now: {stage: recipe}.
        products: {stage: patterns of what it leaves}.
        prefix: of keys in messages.
        above: folders of levels that were made from this one.
        dry: change nothing, only refuse what has to be refused.
        elsewhere: how to have another recipe and keep what is there.

    Raises:
        OtherRecipe: naming the key and both values.
    """
    before = stored(folder)
    failed = before.pop(_FAILED, None)
    for stage in now:
        found = differences(before[stage], now[stage]) if stage in before else []
        changed = {**products, stage: _concerned(products[stage], found)}
        if not found or not left(folder, changed, stage):
            continue
        at_work = _only(found, ENDS) and _at_work(folder, changed, stage)
        shorter = any((folder / name).exists() for name in (layout.FRAMES, layout.FIRST))
        if at_work and not shorter:
            continue  # a run refuses an end that it has passed
        if at_work or _longer(found):
            _refuse_above(folder, found, above, prefix)
            if not dry:
                clear(folder, {"derived": DERIVED, **_after_a_longer_run(folder)})
            continue
        later = {s: changed[s] for s in list(products)[list(products).index(stage) :]}
        if failed is None or stage in DEAR:
            gone = ", ".join(_to_remove(folder, later, stage == next(iter(products)), above))
            refuse(
                folder,
                found,
                f"{elsewhere}; or remove {gone} and run the same command again",
                prefix,
            )
        if not dry:
            key, old, new = found[0]
            value = f"{as_given(key, prefix)}={new} (it was {old})"
            remark(f"{folder}: made anew with {value}, for the attempt before failed: {failed}")
            clear(folder, later)
        break
    if not dry:
        store(folder, {**before, **now})


def _concerned(
    patterns: Sequence[str], found: Sequence[tuple[str, object, object]]
) -> tuple[str, ...]:
    """Those products of a stage that a changed recipe makes anew."""
    keys = {key.partition(".")[0] for key, _, _ in found}
    return tuple(p for p in patterns if p not in DECIDED or keys & DECIDED[p])


def _to_remove(
    folder: Path, stages: Mapping[str, Sequence[str]], whole: bool, above: Sequence[Path]
) -> list[str]:
    """All that has to go so that `stages` of `folder` can be made anew: what they left, and what
    was made from it.

    Args:
        whole: these are all of its stages, so that the folder can go.
    """
    if whole:
        return [str(path) for path in (folder, *above) if path.exists()]
    names = [path.name for stage in stages for path in left(folder, stages, stage)]
    known = [name for name in recorded(folder) if name not in (RECIPE, REMARKS)]
    first = min((known.index(name) for name in names if name in known), default=len(known))
    later = [
        name
        for name in (*known[first:], layout.DIRECT)
        if name not in names and (folder / name).exists()
    ]
    return [
        *(str(folder / name) for name in [*names, *later]),
        *(str(path) for path in above if path.exists()),
    ]


@contextmanager
def noted(folder: Path) -> Iterator[None]:
    """Remember that the making of `folder` failed, so that a corrected recipe is not held up by
    what the wrong one left.
    """
    try:
        yield
    except Exception as error:
        if folder.exists() and not isinstance(error, OtherRecipe):
            store(folder, {**stored(folder), _FAILED: str(error)[:300]})
        raise
    before = stored(folder)
    if before.pop(_FAILED, None) is not None:
        store(folder, before)


def left(folder: Path, products: Mapping[str, Sequence[str]], stage: str) -> list[Path]:
    """What a stage has left, whole or not."""
    endings = ("", ".partial", ".shorter", layout.BLOCKS)
    patterns = [name + ending for name in products[stage] for ending in endings]
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return [path for path in found if not _empty(path)]


def _empty(path: Path) -> bool:
    """Whether a folder holds nothing but its own books."""
    return path.is_dir() and all(p.name in (RECORD, LOCK) for p in path.iterdir())


def clear(folder: Path, products: Mapping[str, Sequence[str]]) -> None:
    """Remove what stages have left, and its digests."""
    gone = [path for stage in products for path in left(folder, products, stage)]
    forget(folder, [path.name for path in gone])
    for path in reversed(gone):
        if path.is_dir():
            # first, so that half a removal is not taken for frames
            (path / HEADER).unlink(missing_ok=True)
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _only(found: list[tuple[str, object, object]], ends: tuple[str, ...]) -> bool:
    """Whether nothing differs but a number that says where a run ends."""
    key, old, new = found[0]
    numbers = isinstance(old, int | float) and isinstance(new, int | float)
    return len(found) == 1 and key.endswith(ends) and numbers


def _at_work(folder: Path, products: Mapping[str, Sequence[str]], stage: str) -> bool:
    """Whether a stage has a run that has not come to its end, and no correction was begun."""
    names = {path.name for path in left(folder, products, stage)}
    corrected = layout.FIRST in names and f"{layout.FIRST}.partial" not in names
    return bool(names & AT_WORK) and not corrected


def _longer(found: list[tuple[str, object, object]]) -> bool:
    """Whether nothing but the length of a run differs, and it grows."""
    _, old, new = found[0]
    return _only(found, (LENGTH,)) and new > old  # type: ignore[operator]


def _after_a_longer_run(folder: Path) -> Mapping[str, Sequence[str]]:
    return {layout.FRAMES: (layout.FRAMES,)} if (folder / layout.FIRST).exists() else {}


def _refuse_above(
    folder: Path, found: list[tuple[str, object, object]], above: Sequence[Path], prefix: str
) -> None:
    there = [path for path in above if path.exists()]
    if there:
        key, old, new = found[0]
        raise OtherRecipe(
            f"{folder} was made with {as_given(key, prefix)}={old} and now it is {new}: a run "
            "can be made longer, but "
            f"{', '.join(p.name for p in there)} was made from its frames and would be out of "
            "date: choose another run=FOLDER; or remove "
            f"{', '.join(map(str, there))} and run the same command again, which makes it "
            "anew; or go back to the first value"
        )
