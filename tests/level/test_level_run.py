"""The run of a level and its corrections in turn: what lies where, and what a kill leaves."""

import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.test_corrections import TURN, chains, mean, size, springs, turned
from plugin.toy.correction import SameSize
from plugin.toy.engine import MetropolisWalk

from cgrec import Frames, Potential
from cgrec.corrections import PairRefinement, Populations
from cgrec.dynamics import AllLost
from cgrec.level import Level, LevelFolder
from cgrec.level.recipe import LevelRecipe
from cgrec.level.run import LevelRun
from cgrec.mapping import HeavyAtoms, Pick
from cgrec.remarks import remarks_in
from cgrec.roles import Corrected
from cgrec.run.digests import faults, keep_remarks, open_record, recorded
from cgrec.run.recipes import differences
from cgrec.training import ForceMatching


def level(folder, seed=1):
    """The run of a level in `folder`; its parent is turned and smaller."""
    folder.mkdir(exist_ok=True)
    open_record(folder)
    targets = chains(3000, 1, lambda f: np.exp(turned(f) - 15 * size(f)))
    engine = MetropolisWalk(n_replicas=40, n_frames=20, sweeps=3)
    return LevelRun(folder, "l1", engine, targets, targets, seed, torch.device("cpu"))


class Rerun:
    """A correction without frames of its own, after a run of its own."""

    def __call__(self, potential, run, targets, again):
        again(potential, "round_1")
        return Corrected(potential + springs(), about={"twice": True})


@pytest.mark.filterwarnings("ignore::cgrec.remarks.Remark")
def test_corrections_follow_each_other(tmp_path):
    one = level(tmp_path / "one")
    along = Populations({"turn": TURN.sites})
    one.make(springs(), [along, SameSize()])
    names = sorted(p.name for p in one.folder.iterdir() if p.suffix != ".json")
    assert names == ["corrected_1", "frames", "refined.pt", "unrefined"]
    first = Frames.load(one.folder / "corrected_1" / "frames")
    last = Frames.load(one.folder / "frames")
    aim = mean(one.targets, size)
    assert abs(mean(last, size) - aim) < 1e-6 < abs(mean(first, size) - aim)
    potential = Potential.load(one.folder / "refined.pt")
    np.testing.assert_allclose(potential.energy_and_forces(last)[1], last.forces, atol=1e-3)
    about = json.loads((one.folder / "frames" / "simulation.json").read_text())
    assert about["refined_along"] == {"turn": list(TURN.sites)} and about["spring"] > 0
    assert about["replicas"] == 40 and about["weight_efficiency"] == last.weight_efficiency()


@pytest.mark.filterwarnings("ignore::cgrec.remarks.Remark")
def test_a_correction_without_frames_is_run_again_with_another_seed(tmp_path):
    one = level(tmp_path / "one")
    one.make(springs(), [Rerun()])
    runs = [Frames.load(one.folder / name) for name in ("unrefined", "round_1", "frames")]
    assert not np.array_equal(runs[0].positions, runs[1].positions)
    assert mean(runs[2], size) < 0.7 * mean(runs[0], size)  # twice the springs
    assert LevelFolder(one.folder).simulation["twice"] is True  # what the correction says is kept
    again = level(tmp_path / "one")
    again.make(springs(), [Rerun()])
    np.testing.assert_array_equal(Frames.load(again.folder / "frames").positions, runs[2].positions)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cgrec.remarks.Remark")
@pytest.mark.parametrize("killed_at", ["unrefined", "corrected_1/frames", "round_1", "frames"])
def test_killed_while_it_corrects_it_goes_on_to_the_same_frames(tmp_path, monkeypatch, killed_at):
    corrections = [SameSize(), Rerun()]
    whole = level(tmp_path / "whole")
    whole.make(springs(), corrections)
    killed = level(tmp_path / "killed")
    save = Frames.save

    def stop(frames, folder, beside=None):
        if folder == killed.folder / killed_at:
            raise KeyboardInterrupt
        return save(frames, folder, beside)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Frames, "save", stop)
        killed.make(springs(), corrections)
    after = level(tmp_path / "killed")
    after.make(springs(), corrections)
    for name in ("unrefined", "corrected_1/frames", "round_1", "frames"):
        a, b = (Frames.load(run.folder / name) for run in (whole, after))
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.forces, b.forces)


@pytest.mark.filterwarnings("ignore::cgrec.remarks.Remark")
@pytest.mark.parametrize("before, after", [([], [SameSize()]), ([Rerun()], [])])
def test_run_again_with_other_corrections_once_the_old_frames_are_removed(tmp_path, before, after):
    """The way out of the refusal of a climb whose corrections were changed."""
    one = level(tmp_path / "one")
    one.make(springs(), before)
    for name in recorded(one.folder):
        product = one.folder / name
        shutil.rmtree(product) if product.is_dir() else product.unlink()
    with keep_remarks(one.folder):
        level(tmp_path / "one").make(springs(), after)
    kept = remarks_in(one.folder / "remarks.json")
    assert any("frames was made and is gone" in text for text in kept)
    fresh = level(tmp_path / "fresh")
    fresh.make(springs(), after)
    a, b = (Frames.load(run.folder / "frames") for run in (one, fresh))
    np.testing.assert_array_equal(a.positions, b.positions)
    made = [name for name in recorded(one.folder) if name != "remarks.json"]
    assert made == list(recorded(fresh.folder))
    assert not list(faults(one.folder))


class Losing:
    """A correction whose own run, or the level's with what it comes to, loses all its replicas."""

    def __init__(self, own):
        self.own = own

    def __call__(self, potential, run, targets, again):
        if self.own:
            again(potential + springs(), "round_1")
        return Corrected(potential + springs(), about={"twice": True})


@pytest.mark.parametrize("own", [True, False])
def test_a_correction_that_loses_all_replicas_is_left_out(tmp_path, monkeypatch, own):
    """The level stays what it was, the next correction goes on from there, and so does the same
    command.
    """
    walk = MetropolisWalk.__call__

    def lose(engine, potential, start, place, **options):
        if place.name == ("round_1" if own else "frames") and "corrected_1" in str(place):
            raise AllLost("all 40 replicas were lost before a frame could be kept.")
        return walk(engine, potential, start, place, **options)

    monkeypatch.setattr(MetropolisWalk, "__call__", lose)
    for again in (False, True):
        one = level(tmp_path / "one")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            one.make(springs(), [Losing(own), Populations({"turn": TURN.sites})])
        if not again:
            assert any("l1: Losing is left out" in str(w.message) for w in said)
    first = Frames.load(one.folder / "unrefined")
    middle = Frames.load(one.folder / "corrected_1" / "frames")
    np.testing.assert_array_equal(first.positions, middle.positions)
    about = json.loads((one.folder / "corrected_1" / "frames" / "simulation.json").read_text())
    assert about["left_out"] == "Losing" and "twice" not in about
    kept = Potential.load(one.folder / "corrected_1" / "refined.pt")
    np.testing.assert_allclose(kept.energy_and_forces(first)[1], first.forces, atol=1e-3)
    assert not LevelFolder(one.folder).simulation.get("left_out")


def recipe(**given):
    return LevelRecipe(HeavyAtoms(), None, ForceMatching(), MetropolisWalk(), **given)


def test_a_folder_knows_its_corrections_by_either_key():
    """Recipes with a list are those with the two keys of before, of which old folders hold
    descriptions.
    """
    along = {"turn": list(TURN.sites)}
    pairs = PairRefinement(cutoff=0.8)
    old = recipe(refine=along, refine_pairs=pairs)
    new = recipe(corrections=[Populations(along), pairs])
    assert [type(c) for c in new.all_corrections] == [Populations, PairRefinement]
    assert old.stages(1)["run"] == new.stages(1)["run"]
    stored = {
        "class": "cgrec.refinement.PairRefinement",  # where it stood
        "cutoff": 0.8,
        "spacing": 0.04,
        "rounds": 3,
        "efficiency": 0.2,
    }
    assert (
        differences(
            {"refine_pairs": stored}, {"refine_pairs": new.stages(1)["run"]["refine_pairs"]}
        )
        == []
    )
    plain = recipe().stages(1)["run"]
    assert plain.keys() == {"seed", "dynamics", "refine", "refine_pairs"}
    assert plain["refine"] == [] and plain["refine_pairs"] is None
    more = recipe(corrections=[SameSize(), Populations(along)]).stages(1)["run"]
    assert [one["class"].rpartition(".")[2] for one in more["corrections"]] == [
        "SameSize",
        "Populations",
    ]
    other = replace(new, corrections=[Populations(along), PairRefinement(cutoff=0.9)])
    ((key, before, now),) = differences(new.stages(1), other.stages(1))
    assert (key, before, now) == ("run.refine_pairs.cutoff", 0.8, 0.9)


def test_names_of_classes_are_compared_without_their_modules():
    assert (
        differences({"class": "cgrec.old.place.Pick"}, {"class": "cgrec.mapping.sites.Pick"}) == []
    )
    assert differences(["cgrec.a.Net.for_frames"], ["cgrec.b.Net.for_frames"]) == []
    assert differences(["cgrec.a.Net.for_frames"], ["cgrec.a.Other.for_frames"]) != []
    assert differences("cgrec.mapping.forces.basic", "cgrec.mapping.forces.least_noise") != []
    assert differences("toy.a.Pick", "toy.b.Pick") != []


def test_what_is_no_correction_is_refused():
    with pytest.raises(ValueError, match="corrections: expected corrections .*found 3"):
        recipe(corrections=[3])
    with pytest.raises(ValueError, match="priors: expected priors .*found Pick"):
        recipe(priors=[Pick(["B0"])])
    with pytest.raises(ValueError, match="one or two dihedrals, .*found far"):
        recipe(refine={"far": ["A", "B"]})


@pytest.mark.parametrize("kept", [1, 300], ids=["one frame", "three quarters"])
def test_weights_that_leave_next_to_nothing_are_refused_before_the_level_is_mapped(tmp_path, kept):
    """A ladder that is cut leaves all weight on a few frames of its lowest rung."""
    parent = chains(400, 1, lambda f: np.ones(len(f)))
    weights = np.zeros(len(parent))
    weights[:kept] = 1.0
    one = Level(tmp_path / "level1", "l1")
    one.folder.mkdir()
    with pytest.raises(
        ValueError, match=rf"levels.l1: .*worth {kept}.0 \(\d+ weigh nothing\).*rungs"
    ):
        one.make(replace(parent, weights=weights), recipe(), 1)
    assert not (one.folder / "mapping.npz").exists()
