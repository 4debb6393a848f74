"""A finished level at work: its potential run again, longer, in another box, from other starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import yaml

from ..devices import resolved
from ..dynamics import Barostat, FeatureGuard, Langevin
from ..files import Json
from ..frames import SAME_TEMPERATURE, Frames, identity
from ..io import read
from ..potential import Potential, thermal_part
from ..remarks import remark
from ..run import layout
from ..run.digests import check_all, checked, keep_remarks, made, open_record
from ..run.lock import only_here
from ..run.stages import claim
from .folder import LevelFolder, guard_of
from .larger import filled


class Settings(TypedDict, total=False):
    """What a run takes over from that of the level: as in `Langevin`."""

    n_replicas: int
    length: float
    save_every: float
    equilibration: float
    timestep: float
    friction: float
    minimum_mass: float
    skin: float


#: What a run leaves.
PRODUCTS = (layout.FRAMES, layout.REPORT)


def run_level(
    level: LevelFolder,
    to: str | Path,
    *,
    length: float | None = None,
    n_replicas: int | None = None,
    box: Sequence[float] = (),
    start: str = "",
    temperature: float | None = None,
    timestep: float | None = None,
    save_every: float | None = None,
    equilibration: float | None = None,
    friction: float | None = None,
    pressure: float | None = None,
    other_density: bool = False,
    device: str = "auto",
    seed: int = 0,
) -> Frames:
    """Run the potential of a finished level again, watched by its guard; what is not given is as in
    the run of the level.

    The same call after a kill goes on from the last checkpoint; one with a larger `length` makes the
    run longer.

    Args:
        level: with a potential and frames.
        to: folder to be made; its frames/ are Frames.
        length: ps per replica that are kept.
        n_replicas: run side by side.
        box: nm, the edge of a cube or three edges: more or fewer molecules of a liquid, at its
            density.
        start: file or folder of frames where replicas start, of this level or of the one it is
            mapped from; empty: the level's own frames.
        temperature: K; a potential of mean force belongs to the one it was made at, or to the range
            that it was made from (`cgrec.potential.EnergyEntropy`).
        timestep: ps.
        save_every: ps between saved frames.
        equilibration: ps per replica before, not kept.
        friction: 1/ps.
        pressure: bar, at which the box changes; None: boxes stay. The level needs a term of the
            volume (`cgrec.corrections.PressureMatching`).
        other_density: run at a density the potential was not made at.
        device: cpu, cuda or cuda:N; auto: a GPU where torch sees one.
        seed: of noise and starting structures.

    Raises:
        ValueError: a setting makes no sense; a start of other sites; another density; a temperature
            beyond the range of the potential.
        OtherRecipe: `to` holds a run with other settings; it names the key and both values.
        AllLost: every replica left what the potential was trained on, or exploded.
        FileNotFoundError: the level has no potential.
    """
    given = {
        "n_replicas": n_replicas,
        "length": length,
        "timestep": timestep,
        "save_every": save_every,
        "equilibration": equilibration,
        "friction": friction,
    }
    settings = _settings(level, {k: v for k, v in given.items() if v is not None})
    barostat = [] if pressure is None else [Barostat(pressure=pressure)]
    engine = Langevin(
        **settings, other_temperature=True, other_density=other_density, hooks=barostat
    )
    potential = level.potential_at(temperature).to(resolved(device))
    frames = start_of(level, potential, start, temperature, box)
    wanted = {
        "dynamics": settings,
        "box": [float(edge) for edge in box],
        "start": start,
        "temperature": float(frames.temperature),
        **({} if pressure is None else {"pressure": pressure}),
        "seed": seed,
        "from": identity(level.folder / layout.FRAMES),
    }
    folder = Path(to)
    with only_here(folder):
        open_record(folder, listed=False)
        check_all(folder)
        claim(folder, {"run": wanted}, {"run": PRODUCTS}, elsewhere="choose another to=FOLDER")
        with keep_remarks(folder):
            return _frames(level, potential, frames, engine, folder, seed)


def _frames(
    level: LevelFolder,
    potential: Potential,
    start: Frames,
    engine: Langevin,
    folder: Path,
    seed: int,
) -> Frames:
    """The run, unless it is there."""
    place = folder / layout.FRAMES
    if not (made(place) and engine.long_enough(place)):
        _say_temperature(level, potential, start)
        guard = _guard(level, potential, engine)
        engine(potential, start, place, seed=seed, guard=guard, name=f"{level.name}: run")
    return Frames.load(checked(place))


def _settings(level: LevelFolder, given: Mapping[str, float]) -> Settings:
    """Plain settings of the run of the level, by the config.yaml of its run, and what is given."""
    path = checked(level.folder.parent / layout.CONFIG)
    config = yaml.safe_load(path.read_text()) if path.exists() else {}
    number = layout.level_number(level.folder)
    home = config.get("levels", {}).get(level.name, {}) if number else config.get("source", {})
    dynamics = home.get("dynamics") if isinstance(home, Mapping) else None
    own: Json = dict(dynamics) if isinstance(dynamics, Mapping) else {}
    if own.get("bias") or own.get("exchange"):
        remark(
            f"{level.name} was run with a bias or an exchange of temperatures, and is now run "
            "without: what it passed by their help it passes seldom, give it the length or many "
            "replicas"
        )
    plain = {k: v for k, v in own.items() if isinstance(v, int | float)}
    taken = {k: v for k, v in {**plain, **given}.items() if k in Settings.__annotations__}
    return cast(Settings, taken)


def start_of(
    level: LevelFolder,
    potential: Potential,
    path: str,
    temperature: float | None,
    box: Sequence[float],
) -> Frames:
    """Where the replicas of `run_level` start, at the temperature and in the box of the run.

    Args:
        level, path, temperature, box: as `level`, `start`, `temperature` and `box` there.
        potential: of the level.

    Raises:
        ValueError: a start of other sites, a box that does not fit, no temperature.
    """
    own = level.frames
    kelvin = own.temperature if temperature is None else float(temperature)
    if not kelvin > 0:
        raise ValueError(f"temperature: expected a positive number of K, found {temperature}")
    frames = own if not path else _read(level, path, kelvin)
    frames = replace(frames, temperature=kelvin, forces=None, energies=None, temperatures=None)
    if not len(box):
        return frames
    larger = filled(frames, box)
    try:
        potential.species(larger.system)
    except ValueError as error:
        raise ValueError(
            f"box: expected edges that repeat the box of {level.name} a whole number of times, "
            f"{np.diag(np.asarray(frames.box).reshape(-1, 3, 3)[0]).tolist()} nm each, for its "
            f"potential knows which sites are bonded; found {list(box)} ({error})"
        ) from error
    return larger


def _read(level: LevelFolder, path: str, kelvin: float) -> Frames:
    """Frames of this level, or of the one it is mapped from, mapped."""
    if (Path(path) / "frames.json").exists():
        found = Frames.load(path)
    else:
        found = _with_topology(level, path, kelvin)
    if found.system.agrees_with(level.system):
        return found
    mapping = level.mapping if (level.folder / layout.MAPPING).exists() else None
    if mapping is not None and found.n_sites == mapping.fine.n_sites:
        return mapping(replace(found, system=mapping.fine, forces=None, energies=None))
    finer = "" if mapping is None else f" or the {mapping.fine.n_sites} it is mapped from"
    raise ValueError(
        f"start: expected frames of the {level.system.n_sites} sites of {level.name}{finer}, found "
        f"{found.n_sites} in {path}"
    )


def _with_topology(level: LevelFolder, path: str, kelvin: float) -> Frames:
    """A file, whose sites are those of the level or of the one it is mapped from."""
    systems = [level.system]
    if (level.folder / layout.MAPPING).exists():
        systems.append(level.mapping.fine)
    failed: ValueError | None = None
    for system in systems:
        try:
            return read(path, system, temperature=kelvin, check_units=False, find_constraints=False)
        except ValueError as error:
            failed = failed or error
    raise ValueError(f"start: {failed}") from failed


def _guard(level: LevelFolder, potential: Potential, engine: Langevin) -> FeatureGuard | None:
    """The level's guard, looked at as often as frames are saved."""
    guard = guard_of(level, potential)
    if guard is None:
        remark(f"{level.name}: nothing watches whether a replica leaves what it was trained on")
        return None
    guard = copy(guard)
    guard.looks = 1000 / engine.save_every
    guard._bounds = {}
    return guard


def _say_temperature(level: LevelFolder, potential: Potential, start: Frames) -> None:
    corrected = (level.folder / layout.REFINED).exists()
    if corrected and thermal_part(potential) is not None:  # not at the temperature of the level
        remark(
            f"{level.name} is run at {start.temperature:g} K, for which its network was made, too; its "
            "corrections were made at the temperature of the level and are taken as energies"
        )
    made_at = potential.temperature
    if made_at is not None and abs(made_at - start.temperature) > SAME_TEMPERATURE:
        remark(
            f"{level.name} is a potential of mean force made at {made_at:g} K and is run at "
            f"{start.temperature:g} K: the part of it that is entropy is that of {made_at:g} K. "
            "Structure is about right near that temperature, free energies are not: train a level "
            "at the new one to rely on it"
        )
