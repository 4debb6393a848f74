"""Ions in water, in small: solvent dropped, charges screened by what the solvent's dipoles say,
pairs corrected.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from cgrec import Frames, Potential, System
from cgrec.chain import Chain
from cgrec.cli import composed
from cgrec.level import Level
from cgrec.level.maker import measured_priors
from cgrec.potential import ScreenedCoulomb, UF3Potential
from cgrec.sources import Source

BOX = 2.0


class Brine(Source):
    """Ions without correlations but for a wall, and dipoles of fixed length turned at random:
    epsilon is known.
    """

    def recipe(self):
        return {}

    def sample(self, folder, seed):
        rng = np.random.default_rng(seed)
        n_frames, n_ions, n_water = 60, 16, 30
        lattice = (
            np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3) * BOX / 4
        )
        places = lattice[np.argsort(rng.random((n_frames, 64)), axis=1)[:, : n_ions + n_water]]
        places = places + rng.normal(scale=0.03, size=places.shape)
        arm = rng.normal(size=(n_frames, n_water, 3))
        arm *= 0.3 / np.linalg.norm(arm, axis=-1, keepdims=True)
        water = np.stack([places[:, n_ions:], places[:, n_ions:] + arm], 2).reshape(n_frames, -1, 3)
        positions = np.concatenate([places[:, :n_ions], water], 1)
        bonds = n_ions + np.arange(2 * n_water).reshape(-1, 2)
        system = System(
            names=("NA", "CL") * (n_ions // 2) + ("O", "H") * n_water,
            types=("Na", "Cl") * (n_ions // 2) + ("O", "H") * n_water,
            masses=np.full(positions.shape[1], 20.0),
            charges=np.array([1, -1] * (n_ions // 2) + [-0.8, 0.8] * n_water),
            bonds=bonds,
            residue_names=("ION",) * n_ions + ("HOH",) * (2 * n_water),
        )
        forces = rng.normal(scale=5, size=positions.shape)
        return Frames(system, positions, 300.0, forces=forces, box=BOX * np.eye(3))


def recipe(**changes):
    own = {
        "training": {"steps": 20, "batch_size": 4, "validate_every": 10, "compile": False},
        "potential": {"cutoff": 0.8, "channels": 8, "width": 8},
        "dynamics": {
            "n_replicas": 2,
            "length": 1.0,
            "save_every": 0.05,
            "equilibration": 0.1,
            "friction": 20,
            "compile": False,
        },
        "refine_pairs": {"cutoff": 0.8, "rounds": 2},
    }
    config = composed(["experiment=licl", "source.path=x"]).levels.l1
    OmegaConf.set_struct(config, False)
    for part, values in own.items():
        config[part].update(values)
    config.priors.coulomb.update({"charges": {"Na": 1, "Cl": -1}, "permittivity": None})
    return replace(instantiate(config, _convert_="all"), **changes)


@pytest.mark.slow
def test_from_brine_to_ions(tmp_path):
    first = (
        Chain(tmp_path, Brine(), {"l1": recipe()}, control=False, seed=2, go_on=True)
        .climb()
        .levels[1]
    )
    about = json.loads((first.folder / "coulomb.json").read_text())
    # Independent dipoles of moment mu: epsilon = 1 + N mu^2 / (3 V kT eps0).
    mu2, kT = (0.8 * 0.3) ** 2, 2.494339
    expected = 1 + 4 * np.pi * 138.935458 * 30 * mu2 / (3 * BOX**3 * kT)
    assert (
        about["permittivity"] == pytest.approx(expected, rel=0.3)
        and about["from"] == "dipoles of the parent"
    )
    second = Level(tmp_path / "second")
    second.folder.mkdir()
    # the level above has no solvent to measure
    *_, coulomb = measured_priors(second, recipe(), first.frames, first.measured)
    assert coulomb.permittivity == first.permittivity
    assert second.permittivity == first.permittivity
    assert first.system.types == ("Na", "Cl") * 8
    parts = {type(p) for p in first.potential.parts}
    assert {ScreenedCoulomb, UF3Potential} <= parts
    assert (first.folder / "correction_2.pt").exists() and isinstance(
        Potential.load(first.folder / "correction_1.pt"), UF3Potential
    )
    rows = first.report["liquid"]
    assert {row["level"] for row in rows} == {"l1", "l1 (forces alone)"}
    assert {tuple(row["types"]) for row in rows if row["what"] == "g(r)"} == {
        ("Cl", "Cl"),
        ("Cl", "Na"),
        ("Na", "Na"),
    }
