"""A run of two levels in seconds: six sites and three of them, a network that describes its sites."""

import numpy as np
import pytest
from contracts import random_frames, to_double

from cgrec.files import write_json
from cgrec.level import Level
from cgrec.mapping import Pick
from cgrec.potential import DensityNetwork, fit_priors
from cgrec.run import layout
from cgrec.run.digests import keep, keep_json, open_record

REASON = {
    "rule": "bonded",
    "word": "look",
    "found": "a bond is off",
    "expected": "about 1 pm",
    "do": "train longer",
}
ROW = {
    "level": "beads",
    "against": "parent",
    "variables": ["ends"],
    "excess": 0.0123,
    "error": 0.004,
    "floor": 0.02,
}


def write_run(folder):
    """level0 and level1 as a climb leaves them, with numbers of their report made up."""
    rng = np.random.default_rng(0)
    atoms = random_frames(300, forces=rng.normal(size=(300, 6, 3)))
    mapping = Pick(sites=["S0", "S2", "S4"])(atoms.system)
    targets = mapping(atoms)
    types = sorted(set(targets.system.types))
    network = DensityNetwork(types=types, cutoff=0.8, channels=4, width=8)
    potential = sum(fit_priors(targets, types=types, cutoff=0.8), to_double(network))
    potential.made_at(300.0)
    open_record(folder)
    keep(folder / layout.CONFIG, lambda p: p.write_text("source: {path: /home/me/data/run.trr}\n"))
    keep_json(folder / layout.RUN, {"commit": "abc", "versions": {"cgrec": "0"}, "seed": 3})
    zero, one = (layout.level_folder(folder, k) for k in (0, 1))
    for place in (zero, one):
        open_record(place)
    beside = lambda p: write_json(p / layout.SIMULATION, {"from": "/scratch/me/x.npz"})  # noqa: E731
    atoms.save(zero / layout.FRAMES, beside)
    keep_json(zero / layout.SOURCE, {"files": ["/home/me/data/run.trr"]})
    keep_json(zero / layout.REPORT, {"name": "atoms", "verdict": {"value": "trust", "reasons": []}})
    keep(one / layout.MAPPING, mapping.save)
    targets.save(one / layout.TARGETS)
    keep(one / layout.POTENTIAL, potential.save)
    targets.save(one / layout.FRAMES, beside)
    report = {
        "name": "beads",
        "explained_fraction": 0.876,
        "training": {"explained_fraction_error": 0.012},
        "ledger": [ROW],
        "verdict": {"value": "look", "reasons": [REASON]},
    }
    keep_json(one / layout.REPORT, report)
    Level(one, "beads").fit_backmapper(Level(zero, "atoms"), "library")
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("packed") / "run")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Packages are unpacked into a cache of the test's own; compiled kernels stay where they are."""
    import cgrec.package.opening as opening

    def folder():
        (tmp_path / "cache").mkdir(exist_ok=True)
        return tmp_path / "cache"

    monkeypatch.setattr(opening, "cache_folder", folder)
    return tmp_path / "cache"
