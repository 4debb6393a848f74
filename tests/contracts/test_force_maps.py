"""Every force map: another B of the same mapping, with B M^T = I and constrained atoms together."""

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.mapping import FORCE_MAPS, CentresOfMass, Pick, Weighted

#: A chain of eight with a rigid pair.
SYSTEM = System(
    names=tuple(f"B{k}" for k in range(8)),
    masses=np.arange(1.0, 9.0),
    bonds=[(k, k + 1) for k in range(7)],
    constraints=[(3, 4)],
)
MAPPINGS = {
    "picks": Pick(["#0", "#5", "#7"]),
    "overlapping": Weighted({"a": {"#0": 0.5, "#1": 0.5}, "b": {"#1": 0.3, "#2": 0.7}}),
    "with the rigid pair": CentresOfMass({"a": ["#0", "#1"], "b": ["#2", "#3", "#4"]}),
}


@pytest.fixture(params=FORCE_MAPS)
def force_map(request):
    return FORCE_MAPS[request.param]


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(400, 8, 3))
    return Frames(
        SYSTEM, positions, 300.0, forces=rng.normal(size=positions.shape) * np.arange(1, 9)[:, None]
    )


@pytest.mark.parametrize("name", MAPPINGS)
def test_its_forces_are_those_of_the_sites(force_map, name, frames):
    before = MAPPINGS[name](SYSTEM)
    after = force_map(before, frames)
    weights, forces = np.asarray(after.position_weights), np.asarray(after.force_weights)
    np.testing.assert_array_equal(weights, before.position_weights)
    np.testing.assert_allclose(forces @ weights.T, np.eye(len(weights)), atol=1e-9)
    assert after.coarse.fingerprint() == before.coarse.fingerprint()


@pytest.mark.parametrize("name", MAPPINGS)
def test_it_depends_on_m_alone(force_map, name, frames):
    """Not on the B that came with the mapping."""
    mapping = MAPPINGS[name](SYSTEM)
    other = FORCE_MAPS["constraint_aware"](mapping, frames)
    np.testing.assert_allclose(
        force_map(mapping, frames).force_weights, force_map(other, frames).force_weights, atol=1e-9
    )


@pytest.mark.parametrize("name", MAPPINGS)
def test_a_larger_number_of_frames_of_the_same_changes_nothing(force_map, name, frames):
    twice, mapping = Frames.concatenate([frames, frames]), MAPPINGS[name](SYSTEM)
    np.testing.assert_allclose(
        force_map(mapping, frames).force_weights, force_map(mapping, twice).force_weights, atol=1e-9
    )
