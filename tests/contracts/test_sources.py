"""Every source that needs no engine of its own here: made once, the same again, and another recipe
refused.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from plugin.toy.source import SpringRing

from cgrec import Frames, System
from cgrec.dynamics import Langevin
from cgrec.io import write
from cgrec.roles import Source
from cgrec.run.recipes import OtherRecipe
from cgrec.sources import CalculatorSource, FileSource, ForceFieldSource, GaussianChainSource


@pytest.fixture
def water(tmp_path):
    """A file of ten frames of one water molecule, with forces."""
    rng = np.random.default_rng(0)
    system = System(
        names=("O", "H", "H"),
        masses=[15.999, 1.008, 1.008],
        elements=("O", "H", "H"),
        bonds=[(0, 1), (0, 2)],
    )
    still = np.array([(0.0, 0.0, 0.0), (0.0957, 0.0, 0.0), (-0.024, 0.0927, 0.0)])
    positions = still + 0.002 * rng.normal(size=(10, 3, 3))
    return write(
        Frames(system, positions, 300.0, forces=rng.normal(size=(10, 3, 3))), tmp_path / "water.npz"
    )


def chain(water):
    return GaussianChainSource(n_sites=4, n_frames=50)


def file(water):
    return FileSource(path=water)


def calculator(water):
    write(FileSource(path=water).sample(water.parent, 0)[:1], water.with_suffix(".extxyz"))
    return CalculatorSource(
        structure=water.with_suffix(".extxyz"),
        calculator="ase.calculators.emt:EMT",
        temperature=300,
        n_frames=6,
        stride=2,
        timestep=0.0005,
    )


def force_field(water):
    pytest.importorskip("openmm")
    return ForceFieldSource(
        structure=Path(__file__).parents[1] / "data" / "peptides" / "ala2.pdb",
        force_field=["amber14-all.xml"],
        temperature=300,
        dynamics=Langevin(n_replicas=2, length=0.02, save_every=0.01, equilibration=0),
    )


def plugin(water):
    return SpringRing(n_sites=5, n_frames=50)


@pytest.fixture(
    params=[chain, file, calculator, force_field, plugin], ids=lambda make: make.__name__
)
def source(request, water):
    return request.param(water)


def test_it_has_the_role(source):
    assert isinstance(source, Source)
    assert json.loads(json.dumps(source.stages(1))).keys() == source.products.keys()


def test_frames_are_kept_and_made_once(source, tmp_path):
    made = source.make(tmp_path / "level0", seed=1)
    assert made.forces is not None and len(made) > 1 and made.temperature == 300
    known = source.system()
    assert known is None or known.labels == made.system.labels
    written = (tmp_path / "level0" / "frames" / "positions.npy").stat().st_mtime_ns
    again = source.make(tmp_path / "level0", seed=1)
    assert (tmp_path / "level0" / "frames" / "positions.npy").stat().st_mtime_ns == written
    np.testing.assert_array_equal(again.positions, made.positions)


def test_another_place_gives_the_same(source, tmp_path):
    one, two = (source.make(tmp_path / name, seed=1) for name in ("a", "b"))
    for name in ("positions", "forces"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.system.fingerprint() == two.system.fingerprint()


def test_another_seed_is_refused(source, tmp_path):
    source.make(tmp_path / "level0", seed=1)
    source.claim(tmp_path / "level0", 1, dry=True)
    with pytest.raises(OtherRecipe, match="source.seed=1 and now it is 2"):
        source.make(tmp_path / "level0", seed=2)


def test_a_run_that_is_killed_goes_on_to_the_same_frames(source, tmp_path, monkeypatch):
    whole = source.make(tmp_path / "whole", seed=1)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            Frames, "save", killed
        )  # all is sampled, and nothing is kept but what the source keeps itself
        source.make(tmp_path / "level0", seed=1)
    after = source.make(tmp_path / "level0", seed=1)
    np.testing.assert_array_equal(after.positions, whole.positions)
    np.testing.assert_array_equal(after.forces, whole.forces)
