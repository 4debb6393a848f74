"""A level of a run, or all levels up to it, as one file: cgrec package."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml

from ..chain.chain import Chain
from ..dynamics.guard_file import save_guard
from ..files import Json, read_json, sha256, write_json, write_text, write_whole
from ..frames import Frames
from ..level import Level
from ..mapping import Mapping
from ..potential import Potential, summands
from ..potential.state import density_range
from ..run import layout
from ..run.digests import checked, keep, keep_json, open_record
from ..statistics.resampling import resampled
from .card import Card
from .manifest import CARD, ENDING, MANIFEST, PAGE, FileEntry, LevelEntry, Manifest, portable

#: Of files in the archive: the same run gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
#: Products of a level that are packed as they are, where they are there.
_COPIED = (layout.DISTILLED,)
#: Tables of a level that are packed without absolute paths.
_TABLES = (
    layout.REPORT,
    layout.FIT,
    layout.ABOUT_DISTILLED,
    layout.ABOUT_BACKMAPPER,
    layout.SOURCE,
    layout.REMARKS,
)


def pack(
    run: str | Path,
    to: str | Path,
    level: int | None = None,
    *,
    alone: bool = False,
    frames: int = 200,
    name: str = "",
    license: str = "not stated",
) -> Path:
    """Write a package: one zip, without pickle, of the levels of a run up to `level`.

    Of each level it holds the potential, what its guard knows of the training set, the mapping, the
    backmapper and the distilled potential where there are such, some frames, the ledger, the verdict
    and the recipe; of the whole a model card and where it comes from. `cgrec.load` reads it.

    Args:
        run: folder of a finished run.
        to: the new file, x.cgrec.
        level: number of the highest level; None: the last one.
        alone: this level only, with its mapping from level 0.
        frames: of each level, drawn by weight: where runs start, and what is shown.
        name: of the model; empty: that of the file.
        license: under which others may use it.

    Raises:
        FileExistsError: `to` exists.
        ValueError: no such level, or one without a potential; another ending.
    """
    to = Path(to)
    _check_place(to)
    levels = Chain(run).levels
    highest = len(levels) - 1 if level is None else level
    if not 0 <= highest < len(levels):
        raise ValueError(
            f"cgrec package: expected level= one of 0 to {len(levels) - 1} in {run}, found {level}"
        )
    chosen = levels[highest : highest + 1] if alone else levels[: highest + 1]
    with TemporaryDirectory(prefix="cgrec-package-") as scratch:
        folder = Path(scratch) / "package"
        open_record(folder)
        entries = [_pack_level(one, folder, levels, alone, frames) for one in chosen]
        manifest = Manifest(
            name=name or to.stem,
            license=license,
            levels=entries,
            provenance=_provenance(Path(run)),
        )
        _keep_config(Path(run), folder)
        card = Card(manifest, {e["number"]: _report(folder, e["number"]) for e in entries})
        write_text(folder / CARD, card.markdown())
        write_text(folder / PAGE, card.html())
        write_json(folder / MANIFEST, replace(manifest, files=_files(folder)).to_json())
        to.parent.mkdir(parents=True, exist_ok=True)
        write_whole(to, lambda partial: _zip(folder, partial))
    return to


def _check_place(to: Path) -> None:
    if to.suffix != ENDING:
        raise ValueError(f"cgrec package: expected to= a file such as x{ENDING}, found {to}")
    if to.exists():
        raise FileExistsError(f"{to} exists already: choose another name or remove it yourself")


def _pack_level(
    level: Level, folder: Path, levels: Sequence[Level], alone: bool, n_frames: int
) -> LevelEntry:
    """Leave a level in the folder of the package; what the manifest says of it."""
    number = layout.level_number(level.folder)
    place = layout.level_folder(folder, number)
    open_record(place)
    potential = _potential_of(level)
    if potential is None and (alone or number > 0):
        raise ValueError(
            f"cgrec package: expected a level with a potential, found none in {level.folder}: "
            "climb to it first, or choose another level"
        )
    if number > 0:
        keep(place / layout.MAPPING, _mapping(levels, number, alone).save)
    if potential is not None:
        keep(place / layout.POTENTIAL, potential.save)
        guard = level.guard
        if guard is not None:
            keep(place / layout.GUARD, lambda partial: save_guard(guard, partial))
    one_step = not alone or number == 1
    for name in (*_COPIED, *((layout.BACKMAPPER,) if one_step else ())):
        _copy(level.folder / name, place / name)
    for name in _TABLES:
        if (level.folder / name).exists():
            keep_json(place / name, portable(read_json(checked(level.folder / name))))
    some = _sample(level.frames, n_frames)
    some.save(place / layout.FRAMES, lambda partial: _simulation(level, partial))
    return _entry(level, number, place, potential, some, alone)


def _potential_of(level: Level) -> Potential | None:
    try:
        return level.potential
    except FileNotFoundError:
        return None


def _mapping(levels: Sequence[Level], number: int, alone: bool) -> Mapping:
    """From the level below; of one that is packed alone, from level 0."""
    mapping = levels[number].mapping
    for below in range(number - 1, 0, -1) if alone else ():
        mapping = mapping @ levels[below].mapping
    return mapping


def _copy(product: Path, to: Path) -> None:
    if product.exists():
        source = checked(product)
        keep(to, lambda partial: shutil.copyfile(source, partial))


def _sample(frames: Frames, n: int) -> Frames:
    """At most `n` frames, drawn by their weights and without them."""
    rng = np.random.default_rng(0)  # evenly spread: the seed moves them by less than one place
    return replace(frames[resampled(frames, min(n, len(frames)), rng)], weights=None)


def _simulation(level: Level, folder: Path) -> None:
    if level.simulation:
        write_json(folder / layout.SIMULATION, portable(level.simulation))


def _entry(
    level: Level, number: int, place: Path, potential: Potential | None, some: Frames, alone: bool
) -> LevelEntry:
    parts = [] if potential is None else summands(potential)
    density = density_range(level.frames) if potential is None else potential.density
    below = None if number == 0 else 0 if alone else number - 1
    return {
        "number": number,
        "name": level.name,
        "n_sites": some.n_sites,
        "types": sorted(set(some.system.types)),
        "temperature": float(some.temperature),
        "density": None if density is None else list(density),
        "potential": [type(part).__name__ for part in parts if part is not None],
        "verdict": level.report.get("verdict", {}),
        "mapping_from": below,
        "holds": sorted(p.name for p in place.iterdir()),
    }


def _provenance(run: Path) -> Json:
    """Who made the run, by its run.json."""
    path = run / layout.RUN
    about = read_json(checked(path)) if path.exists() else {}
    said = ("commit", "versions", "seed", "seconds")
    return {"packed_by": version("cgrec"), **{key: about[key] for key in said if key in about}}


def _keep_config(run: Path, folder: Path) -> None:
    """The recipe, without absolute paths."""
    if (run / layout.CONFIG).exists():
        config = portable(yaml.safe_load(checked(run / layout.CONFIG).read_text()))
        text = yaml.safe_dump(config, sort_keys=False)
        keep(folder / layout.CONFIG, lambda partial: partial.write_text(text))


def _report(folder: Path, number: int) -> Json:
    path = layout.level_folder(folder, number) / layout.REPORT
    report: Json = read_json(path) if path.exists() else {}
    remarks = path.with_name(layout.REMARKS)
    return {**report, "remarks": read_json(remarks) if remarks.exists() else []}


def _files(folder: Path) -> dict[str, FileEntry]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".lock"))
    return {
        p.relative_to(folder).as_posix(): {"sha256": sha256(p), "bytes": p.stat().st_size}
        for p in paths
    }


def _zip(folder: Path, path: Path) -> None:
    """The card first, for whoever lists the file."""
    names = [CARD, PAGE, MANIFEST]
    names += [name for name in _files(folder) if name not in names]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, (folder / name).read_bytes())
