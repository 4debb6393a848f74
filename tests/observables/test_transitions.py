"""Passages between two states, and the free energy between them."""

import numpy as np
import pytest
from variables_of_cln025 import PDB, native, pulled_apart, shaken

from cgrec import Frames
from cgrec.mapping import alpha_carbons
from cgrec.observables import basin_definitions, basins, helix_hand, mirror_images, transitions
from cgrec.variables import RMSD, NativeContacts


def test_passages_are_counted_once_whatever_happens_at_the_border():
    x = [0.0, 0.2, 0.5, 0.2, 0.5, 0.9, 0.5, 0.9, 0.5, 0.0, 0.5, 0.9]
    found = transitions(x, 0.1, 0.8)
    assert (found.up, found.down, found.round_trips) == (2, 1, 1)
    without = transitions(x, 0.4, 0.4)
    assert without.up == 3 and without.down == 2  # no hysteresis: each crossing counts
    assert np.isnan(found.error)


def test_replicas_are_runs_of_their_own():
    x = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    found = transitions(x, 0.3, 0.7, labels)
    assert found.by_replica.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert (found.up, found.down, found.round_trips) == (1, 2, 1)
    assert transitions(x, 0.3, 0.7).up == 2  # as one run there is a passage more
    assert found.error == pytest.approx(np.std([2, 1, 0], ddof=1) * np.sqrt(3))


def test_a_two_state_process_has_the_passages_of_its_rate():
    rng = np.random.default_rng(0)
    rate, n, replicas = 0.01, 20_000, 10
    states = (rng.random((replicas, n)) < rate).cumsum(1) % 2
    noisy = states + 0.1 * rng.normal(size=states.shape)
    found = transitions(noisy.ravel(), 0.3, 0.7, np.repeat(np.arange(replicas), n))
    expected = rate * n * replicas
    assert abs(found.up + found.down - expected) < 4 * np.sqrt(expected)
    assert found.error == pytest.approx(np.sqrt(expected), rel=0.6)


def test_what_cannot_be_is_told():
    with pytest.raises(ValueError, match="expected low <= high, found 1 and 0"):
        transitions([0.0], 1, 0)
    with pytest.raises(ValueError, match="finite values"):
        transitions([0.0, np.nan], 0, 1)
    with pytest.raises(ValueError, match="a replica for each value"):
        transitions([0.0, 1.0], 0, 1, [0])


def two_states(n=400, replicas=20, folded=0.8, seed=0):
    """Folded and pulled apart CLN025, each frame one or the other by chance."""
    rng = np.random.default_rng(seed)
    near, far = native(), pulled_apart()
    which = rng.random(n) < folded
    x = np.where(which[:, None, None], near.positions[0], far.positions[0])
    x = x + 0.02 * rng.normal(size=x.shape)
    labels = np.arange(n) * replicas // n
    return Frames(near.system, x, 300.0, replicas=labels), which


@pytest.mark.parametrize("variable", [RMSD(structure=PDB), NativeContacts(structure=PDB)])
def test_basins_of_rmsd_and_q_have_a_free_energy_with_an_error(variable):
    frames, which = two_states()
    given = {
        "RMSD": {"folded": {"RMSD": [0, 0.2]}, "unfolded": {"RMSD": [0.2, 9]}},
        "Q": {"folded": {"Q": [0.5, 1.1]}, "unfolded": {"Q": [-0.1, 0.5]}},
    }[variable.name]
    known = basin_definitions(given, (variable,))
    found = basins(frames, (variable,), known, relative_to="folded")
    assert found["folded"].population == pytest.approx(which.mean())
    p = which.mean()
    assert found["unfolded"].free_energy == pytest.approx(np.log(p / (1 - p)))
    independent = np.sqrt(1 / (400 * p * (1 - p)))  # of the logarithm of the ratio
    assert found["unfolded"].free_energy_error == pytest.approx(independent, rel=0.5)


def helix(n, hand):
    k = np.arange(n)
    turn = np.radians(100.0) * k * hand
    return np.stack([0.23 * np.cos(turn), 0.23 * np.sin(turn), 0.15 * k], 1)


def test_the_hand_of_a_trace():
    frames = alpha_carbons(native().system)(shaken(40, 0.02))
    ideal = Frames(frames.system, np.array([helix(10, 1)] * 3 + [helix(10, -1)]), 300.0)
    found = helix_hand(ideal)
    assert found.right[0] == pytest.approx(0.75) and found.left[0] == pytest.approx(0.25)
    assert found.turns == 7 and found.left[1] > 0
    mirrored = Frames(frames.system, frames.positions * [-1.0, 1.0, 1.0], 300.0)
    first = alpha_carbons(native().system)(native())
    assert mirror_images(frames, first) == 0 and mirror_images(mirrored, first) == 40
    assert helix_hand(frames[:2]).left[0] == helix_hand(mirrored[:2]).right[0]
    bare = Frames(frames.system.select([0, 1]), frames.positions[:, :2], 300.0)
    assert helix_hand(bare) is None
    with pytest.raises(ValueError, match="four alpha carbons or more"):
        mirror_images(bare, first)
