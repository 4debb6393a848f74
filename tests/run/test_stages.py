"""What has to be removed before a changed recipe may go on."""

import pytest

from cgrec.run.digests import open_record
from cgrec.run.recipes import OtherRecipe
from cgrec.run.stages import OF_LEVEL, claim


@pytest.fixture
def fitted(tmp_path):
    """A level with mean forces and a fit."""
    level = tmp_path / "level1"
    open_record(level)
    for name in ("mean_forces/frames.json", "training.json", "potential.pt"):
        (level / name).parent.mkdir(exist_ok=True)
        (level / name).touch()
    claim(level, recipe(), OF_LEVEL)
    return level


def recipe(steps=100, length=1.0, seed=1, strays=None):
    fit = {"training": {"steps": steps}, "mean_forces": {"length": length}}
    return {"map": {}, "fit": {**fit, "seed": seed, "strays": strays}}


@pytest.mark.parametrize("changed", [{"steps": 200}, {"strays": {"length": 5}}])
def test_mean_forces_stay_where_another_key_of_the_fit_changes(fitted, changed):
    with pytest.raises(OtherRecipe, match=r"remove \S*training.json, \S*potential.pt and run"):
        claim(fitted, recipe(**changed), OF_LEVEL)
    (fitted / "training.json").unlink()
    (fitted / "potential.pt").unlink()
    claim(fitted, recipe(**changed), OF_LEVEL)
    assert (fitted / "mean_forces" / "frames.json").exists()
    with pytest.raises(OtherRecipe, match="length=1.0 and now it is 2.0"):
        claim(fitted, recipe(**changed, length=2.0), OF_LEVEL)


@pytest.mark.parametrize("changed", [{"length": 2.0}, {"seed": 2}, {"seed": 2, "steps": 200}])
def test_mean_forces_go_where_they_would_be_others(fitted, changed):
    with pytest.raises(OtherRecipe, match=r"remove \S*mean_forces, \S*training.json, \S*potential"):
        claim(fitted, recipe(**changed), OF_LEVEL)
