"""What a run of a finished level came to, beside the level's own run: `cgrec run` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from ..files import Json, read_json
from ..frames import Frames
from ..level import Level
from ..observables import (
    compare_distributions,
    mean_absolute_difference,
    radial_distributions,
)
from ..observables.ledger import plain
from ..remarks import remark, remarks_in
from ..roles import Variable
from ..run import layout
from ..run.digests import keep_json
from ..units import shown
from ..variables import from_plain
from .states import states_of

#: Bins of a variable that is compared.
BINS = 48
#: nm below which no g(r) is compared: sites are not there.
_FROM = 0.2


def variables_of(level: Level) -> tuple[Variable, ...]:
    """What the level was compared in, by its report; those that need a file or a class that is not
    here are left out, and that is remarked.
    """
    described: Json = level.report.get("variables") or {}
    found = []
    for name, one in described.items():
        try:
            made = from_plain(name, one)
        except (ValueError, OSError) as error:
            remark(f"the variable {name} of {level.name} is left out: {error}")
            continue
        if made is not None:
            found.append(made)
    return tuple(found)


def compared(level: Level, frames: Frames, folder: Path) -> Json:
    """Numbers of a run in `folder`, kept there as report.json: distributions of the level's
    variables, basins, g(r), each beside the run of the level, with errors.
    """
    own = level.frames
    run = read_json(folder / layout.FRAMES / layout.SIMULATION)
    same = frames.system.agrees_with(own.system)
    report: Json = {
        "name": level.name,
        "against": f"the run of {level.name}",
        "n_sites": frames.n_sites,
        "n_frames": len(frames),
        "temperature": float(frames.temperature),
        "simulated_ns": run.get("simulated"),
        "replicas": {"started": run.get("replicas"), "lost": len(run.get("lost", []))},
        "kinetic_temperature": run.get("kinetic_temperature"),
        "variables": _variables(level, frames, own) if same else {},
        "radial": [] if frames.box is None else list(_radial(frames, own)),
        **(states_of(frames, variables_of(level), _basins(level), own) if same else {}),
        "remarks": remarks_in(folder / layout.REMARKS),
    }
    report = plain(report)
    keep_json(folder / layout.REPORT, report)
    return report


def _basins(level: Level) -> Json:
    found: Json = (level.report.get("compared_by") or {}).get("basins") or {}
    return found


def _variables(level: Level, frames: Frames, own: Frames) -> Json:
    """{variable: Jensen-Shannon divergence from the level's own run, its floor, error, n_eff}."""
    found: Json = {}
    for variable in variables_of(level):
        if min(len(frames), len(own)) > 1 and variable.defined_on(frames.system):
            one = compare_distributions(frames, own, [variable], BINS)
            found[variable.name] = {
                "js": one.divergence.js,
                "floor": one.divergence.floor,
                "excess": one.divergence.js - one.divergence.floor,
                "error": one.divergence.error,
                "n_eff": one.n_eff_model,
            }
    return found


def _radial(frames: Frames, own: Frames) -> Iterator[Json]:
    """g(r) of every two types against the level's own, where both are known."""
    if own.box is None or min(len(frames), len(own)) < 2:
        return
    theirs = {g.types: g for g in radial_distributions(own)}
    for g in radial_distributions(frames):
        other = theirs.get(g.types)
        if other is not None:
            high = min(float(g.r[-1]), float(other.r[-1]))
            found = mean_absolute_difference(g, other, min(_FROM, high / 2), high)
            yield {"types": list(g.types), "to": high, **asdict(found)}


def lines(report: Json) -> Iterator[str]:
    """What is printed of a report."""
    kept, against = report["replicas"], report["against"]
    yield (
        f"{report['name']}: {report['n_frames']} frames of {report['n_sites']} sites at "
        f"{report['temperature']:g} K, {_number(report['simulated_ns'])} ns in all; "
        f"{kept['lost']} of {kept['started']} replicas lost"
    )
    for name, one in report["variables"].items():
        yield (
            f"  {name}: {_number(one['excess'])} +- {_number(one['error'])} nats from {against}, "
            f"above a floor of {_number(one['floor'])}; {_number(one['n_eff'])} independent frames"
        )
    for one in report["radial"]:
        yield (
            f"  g(r) {'-'.join(one['types'])}: {_number(one['value'])} +- {_number(one['error'])} "
            f"from {against} up to {one['to']:.2f} nm; floor {_number(one['floor'])}"
        )
    states = (report.get("states") or {}).get("own") or {}
    for name, basin in (states.get("basins") or {}).items():
        share = f"{_number(basin['population'])} +- {_number(basin['population_error'])}"
        energy = f"{_number(basin['free_energy'])} +- {_number(basin['free_energy_error'])}"
        yield f"  basin {name}: {share} of the frames, F = {energy} kT"


def _number(value: float | None) -> str:
    """Three digits; json keeps what is not finite as null."""
    return "unknown" if value is None else shown(value, 3)
