"""Independent surroundings of molecules, where their number is known."""

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.observables import renewal
from cgrec.observables.renewal import surroundings

BOX = np.array([[2.0, 0, 0], [0.4, 2.0, 0], [0.3, 0.2, 2.2]])
SALT = System(names=("NA",) * 10 + ("CL",) * 20, masses=np.full(30, 30.0))


def gas(n: int, keep: int = 1, replicas: int = 1, system: System = SALT, box=BOX) -> Frames:
    """Molecules anywhere, at new places every `keep` frames of each of some runs of n frames."""
    rng = np.random.default_rng(5)
    places = rng.random((replicas * -(-n // keep), system.n_sites, 3)) @ box
    x = np.repeat(places, keep, axis=0) + 1e-6 * rng.normal(size=(replicas * n, system.n_sites, 3))
    return Frames(system, x, 300.0, box=box, replicas=np.repeat(np.arange(replicas), n))


def test_a_gas_that_is_drawn_anew():
    found = surroundings(gas(200))
    assert set(found) == {"CL about CL", "CL about NA", "NA about NA"}
    for name, middles in (("CL about CL", 20), ("CL about NA", 10), ("NA about NA", 10)):
        assert found[name].independent == pytest.approx(200 * middles, rel=0.15)
        assert found[name].renewed == pytest.approx(200, rel=0.15)


@pytest.mark.parametrize("keep", [4, 20])
def test_one_that_stays_for_some_frames(keep):
    """Runs of k equal frames, cut at random, are worth one each: g = k for their triangle of correlation."""
    for one in surroundings(gas(800, keep)).values():
        assert one.renewed == pytest.approx(800 / keep, rel=0.3)


def test_one_that_never_moves_still_knows_its_beginning():
    assert all(one.renewed < 0.7 for one in surroundings(gas(100, 100)).values())


def test_molecules_that_rattle_keep_their_neighbours():
    """A crystal: distances are known well, who stands beside whom is what it began with."""
    rng = np.random.default_rng(2)
    places = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3) * 0.5
    places[:, 0] *= 0.8  # two neighbours are nearer than the others
    places[:, 1] *= 0.9  # and two the next
    x = places + 0.01 * rng.normal(size=(200, 64, 3))
    system = System(names=("AR",) * 64, masses=np.full(64, 40.0))
    (one,) = surroundings(Frames(system, x, 300.0, box=np.diag([1.6, 1.8, 2.0]))).values()
    assert one.independent == pytest.approx(64 * 200, rel=0.1)
    assert one.renewed == pytest.approx(0.5, abs=0.1)


def test_frames_and_runs_without_weight_are_left_out(monkeypatch):
    frames = gas(100, replicas=2)
    first = surroundings(frames[:100])
    silent = Frames(
        SALT,
        frames.positions,
        300.0,
        box=BOX,
        replicas=frames.replicas,
        weights=np.repeat([1.0, 0], 100),
    )
    assert surroundings(silent) == first
    monkeypatch.setattr("cgrec.observables.renewal._DISTANCES", 1)
    last = np.r_[np.zeros(195), np.ones(5)]
    assert surroundings(Frames(SALT, frames.positions, 300.0, box=BOX, weights=last))


def test_pairs_of_molecules_are_variables():
    two = System(names=("NA", "CL"), masses=np.full(2, 30.0))
    like = System(names=("NA", "NA"), masses=np.full(2, 30.0))
    assert surroundings(gas(50, system=two)) == surroundings(gas(50, system=like)) == {}
    one = System(names=("P",) + ("W",) * 20, masses=np.full(21, 30.0))
    assert set(surroundings(gas(50, system=one))) == {"W about W", "W about P"}


def test_kinds_with_one_name_are_told_apart():
    names, masses = ("C",) * 30, np.full(30, 12.0)
    bonds = np.array([(i, i + 1) for i in range(0, 10, 2)])  # 5 of two sites, 20 of one
    system = System(names=names, masses=masses, bonds=bonds)
    assert set(surroundings(gas(20, system=system))) == {
        "C of 1 site about C of 1 site",
        "C of 1 site about C of 2 sites",
        "C of 2 sites about C of 2 sites",
    }


def test_runs_add_up_and_one_molecule_does_not_tell_more_than_it_saw():
    one, four = surroundings(gas(100, 10)), surroundings(gas(100, 10, replicas=4))
    for name in one:
        assert four[name].independent == pytest.approx(4 * one[name].independent, rel=0.3)
        assert four[name].renewed == pytest.approx(one[name].renewed, rel=0.3)


def test_weights_count():
    frames = gas(400)
    weighted = Frames(SALT, frames.positions, 300.0, box=BOX, weights=np.repeat([1.0, 0.0], 200))
    for name, one in surroundings(frames).items():
        assert surroundings(weighted)[name].independent == pytest.approx(
            one.independent / 2, rel=0.1
        )


def test_images_and_the_place_of_the_box_change_nothing():
    frames = gas(50)
    shifts = np.random.default_rng(1).integers(-3, 4, (50, 30, 3)) @ BOX
    moved = Frames(SALT, frames.positions + shifts, 300.0, box=np.repeat(BOX[None], 50, 0))
    first, second = surroundings(frames), surroundings(moved)
    for name in first:
        assert second[name] == pytest.approx(first[name], rel=1e-4)


def test_molecules_of_several_sites_are_where_the_heaviest_is():
    names, masses = ("H", "O", "H") * 30, np.array([1.0, 16.0, 1.0] * 30)
    bonds = [(3 * k + i, 3 * k + 1) for k in range(30) for i in (0, 2)]
    water = System(names=names, masses=masses, bonds=np.array(bonds))
    alone = System(names=("O",) * 30, masses=np.full(30, 16.0))
    frames = gas(40, system=water)
    (found,) = surroundings(frames).items()
    beads = Frames(alone, frames.positions[:, 1::3], 300.0, box=BOX)
    assert found == ("O about O", pytest.approx(surroundings(beads)["O about O"]))


def test_many_molecules_and_frames_are_sampled(monkeypatch):
    whole = surroundings(gas(300, 3))
    monkeypatch.setattr("cgrec.observables.renewal._DISTANCES", 24_000)
    looked = []
    nearest = renewal._nearest

    def counted(x, middle, around, box):
        looked.append(len(middle) * len(around))
        return nearest(x, middle, around, box)

    monkeypatch.setattr(renewal, "_nearest", counted)
    for name, one in surroundings(gas(300, 3)).items():
        assert one.independent == pytest.approx(whole[name].independent, rel=0.4)
    assert sum(looked) < 4 * 24_000  # of three pairs of kinds


@pytest.mark.parametrize("order", ["run after run", "runs in turn"])
def test_a_share_of_long_runs_still_shows_that_they_renew(order, monkeypatch):
    monkeypatch.setattr("cgrec.observables.renewal._DISTANCES", 1)
    frames = gas(1000, 4, replicas=2)
    if order == "runs in turn":
        frames = frames[np.arange(2000).reshape(2, 1000).T.ravel()]
    for one in surroundings(frames).values():
        assert one.renewed > 30


def test_nothing_without_a_box_or_of_one_molecule():
    frames = gas(10)
    assert surroundings(Frames(SALT, frames.positions, 300.0)) == {}
    one = System(names=("A", "B"), masses=np.ones(2), bonds=np.array([(0, 1)]))
    assert surroundings(Frames(one, frames.positions[:, :2], 300.0, box=BOX)) == {}
