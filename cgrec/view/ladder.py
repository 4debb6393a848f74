"""What the page knows of a run before it asks for frames: levels, looks of sites, verdicts, ledger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..files import Json
from ..mapping import Mapping
from ..report.contacts import can_be_mapped
from ..report.read import LevelFiles, RunFiles
from ..report.scenes import looks_of
from ..report.verdicts import next_steps, verdicts
from ..system import System
from .landscapes import Landscape
from .moments import Moments, as_json


def ladder(run: RunFiles, moments: Sequence[Moments], landscapes: Sequence[Landscape]) -> Json:
    """All of it, as json."""
    judged = verdicts(run)
    return {
        "name": run.folder.resolve().name,
        "complete": run.complete,
        "state": run.state,
        "command": run.about.get("command") or "",
        "problems": run.problems,
        "planned": run.planned or [],
        "levels": [
            {**_numbers(level), "verdict": box, "look": _look(run, level)}
            for level, box in zip(run.levels, judged)
        ],
        "moments": [as_json(one) for one in moments],
        "landscapes": [one.about() for one in landscapes],
        "ledger": [
            _ledger_row(row) for level in run.levels for row in level.report.get("ledger") or []
        ],
        "steps": [step._asdict() for step in next_steps(run)],
        "losses": {
            level.name: {name: _finite(column.tolist()) for name, column in level.training.items()}
            for level in run.levels
            if level.training
        },
    }


def _numbers(level: LevelFiles) -> Json:
    report = level.report
    seconds = report.get("seconds") or {}
    replicas = report.get("replicas") or {}
    training = report.get("training") or {}
    return {
        "number": level.number,
        "name": level.name,
        "n_sites": system.n_sites if (system := _sites(level)) is not None else level.n_sites,
        "n_frames": None if level.frames is None else len(level.frames),
        "temperature": report.get("temperature"),
        "step": level.step,
        "periodic": level.periodic,
        "ns": report.get("simulated_ns"),
        "ns_per_day": report.get("ns_per_day"),
        "explained": report.get("explained_fraction"),
        "explained_error": training.get("explained_fraction_error"),
        "lost": replicas.get("lost"),
        "started": replicas.get("started"),
        "seconds": sum(value for value in seconds.values() if isinstance(value, int | float)),
        "noise": training.get("noise_estimate"),
        "contacts": can_be_mapped(level),
    }


def _sites(level: LevelFiles) -> System | None:
    """Its System, also where nothing but its mapping is made."""
    return level.sites or (None if level.mapping is None else level.mapping.coarse)


def _look(run: RunFiles, level: LevelFiles) -> Json | None:
    """How its sites are drawn; lengths in nm."""
    system = _sites(level)
    if system is None:
        return None
    kinds, kind = looks_of(system)
    above = next((x.mapping for x in run.levels if x.number == level.number + 1), None)
    return {
        "labels": list(system.full_labels),
        "kinds": [{**one, "radius": one["radius"] / 10} for one in kinds],
        "kind": kind,
        "bonds": np.asarray(system.bonds).tolist(),
        "residue": np.unique(system.residues, return_inverse=True)[1].tolist(),
        "bead": _beads(system, above),
        "atoms": "X" not in system.elements,
    }


def _beads(system: System, above: Mapping | None) -> list[int]:
    """(n_sites,) site of the level above that each is most a part of; -1 of those in none. The sites
    of the highest level are their own.
    """
    if above is None or not above.fine.agrees_with(system):
        return list(range(system.n_sites))
    columns = abs(above.sparse_position_weights).tocsc()
    parts = np.diff(columns.indptr)
    return [
        int(columns.indices[a + np.argmax(columns.data[a : a + n])]) if n else -1
        for a, n in zip(columns.indptr[:-1].tolist(), parts.tolist())
    ]


def _ledger_row(row: Json) -> Json:
    kept = ("level", "against", "variables", "excess", "error", "floor", "js")
    return {key: row.get(key) for key in kept}


def _finite(values: list[float]) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values]
