"""Runs to look at, made in a moment: a chain in two variables, and a box of water."""

import json
from pathlib import Path

import numpy as np
from samples import water_box

from cgrec import Frames, System
from cgrec.mapping import MoleculeCentres, Pick

N_FRAMES, REPLICAS = 240, 4
ATOMS = System(
    names=("C1", "N1", "CA", "CB", "C2", "N2", "C3"),
    masses=[12.0, 14.0, 12.0, 12.0, 12.0, 14.0, 12.0],
    elements=("C", "N", "C", "C", "C", "N", "C"),
    bonds=[(0, 1), (1, 2), (2, 3), (2, 4), (4, 5), (5, 6)],
    residue_names=("ALA",) * 7,
)
BACKBONE = ("C1", "N1", "CA", "C2", "N2")
VARIABLES = {"phi": ["C1", "N1", "CA", "C2"], "psi": ["N1", "CA", "C2", "N2"]}


def chain_frames(seed: int = 0) -> Frames:
    """A bent chain that jiggles; replicas stand in turn, and weights differ."""
    rng = np.random.default_rng(seed)
    rest = 0.15 * np.cumsum(rng.normal(size=(7, 3)), axis=0)
    x = rest + 0.04 * rng.normal(size=(N_FRAMES, 7, 3))
    replicas = np.arange(N_FRAMES) % REPLICAS
    return Frames(ATOMS, x, 300.0, weights=rng.random(N_FRAMES) + 0.5, replicas=replicas)


def chain_run(folder: Path, name: str = "level 0") -> Path:
    """Atoms, and five of them as level 1 whose own frames are others."""
    _level(folder / "level0", chain_frames(), {"name": name, "variables": {}})
    mapping = Pick(BACKBONE)(ATOMS)
    verdict = {"value": "look", "reasons": [_reason()]}
    about = {"name": "l1", "variables": VARIABLES, "ledger": [], "verdict": verdict}
    _level(folder / "level1", mapping(chain_frames(1)), about)
    mapping.save(folder / "level1" / "mapping.npz")
    (folder / "config.yaml").write_text("levels: {l1: {}}\n")
    (folder / "run.json").write_text(json.dumps({"command": "cgrec climb mine.yaml"}))
    event = {"time": 1.0, "event": "climb_end", "seconds": 2.0}
    (folder / "events.jsonl").write_text(json.dumps(event) + "\n")
    return folder


def water_run(folder: Path) -> Path:
    """Water with atoms on both sides of its box, and a site for each molecule."""
    atoms = water_box(n_frames=6)
    whole = Frames(atoms.system, atoms.positions + 0.4, 300.0, box=atoms.box)
    _level(folder / "level0", whole, {"name": "level 0", "variables": {}})
    mapping = MoleculeCentres()(atoms.system)
    mapped = mapping(whole)
    _level(folder / "level1", mapped, {"name": "l1", "variables": {}, "ledger": []})
    mapped.save(folder / "level1" / "targets")
    mapping.save(folder / "level1" / "mapping.npz")
    (folder / "config.yaml").write_text("levels: {l1: {}}\n")
    return folder


def _level(folder: Path, frames: Frames, about: dict) -> None:
    folder.mkdir(parents=True)
    frames.save(folder / "frames")
    report = {"ledger": [], "n_sites": frames.n_sites, **about}
    (folder / "report.json").write_text(json.dumps(report))


def _reason() -> dict:
    return {
        "rule": "own_samples",
        "word": "look",
        "found": "few frames",
        "expected": "100",
        "do": "Run longer",
    }
