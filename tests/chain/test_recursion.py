"""The recursion itself, on systems with a known answer."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from samples import TINY

import cgrec
from cgrec.cli import main
from cgrec.mapping import Pick
from cgrec.sources.gaussian_chain import GaussianChainSource, chain_laplacian

pytestmark = pytest.mark.slow  # its tests look at a climb that they make


def pmf_stiffness(stiffness, weights):
    """K of the PMF of a harmonic system: inverse of M Sigma M^T on the space without translation."""
    return np.linalg.pinv(weights @ np.linalg.pinv(stiffness) @ weights.T)


def centred(weights):
    """M acting on configurations about their own centre, in coarse and fine space."""
    n = len(weights)
    return (np.eye(n) - 1 / n) @ weights


def test_gaussian_chain_16_8_4_2_analytically(tmp_path):
    """Semigroup through the code's own mappings: stepwise PMFs equal the direct ones and the closed
    form.
    """
    frames = GaussianChainSource(n_frames=10).make(tmp_path / "level0", 0)
    stiffness = step = GaussianChainSource().stiffness * chain_laplacian(16)
    path = None
    for sites in (
        ["#0", "#2", "#4", "#6", "#9", "#11", "#13", "#15"],
        ["#0", "#2", "#5", "#7"],
        ["#0", "#3"],
    ):
        mapping = Pick(sites=sites)(frames.system)
        frames = mapping(frames)
        step = pmf_stiffness(step, centred(mapping.position_weights))
        path = mapping if path is None else mapping @ path
        direct = pmf_stiffness(stiffness, centred(path.position_weights))
        np.testing.assert_allclose(step, direct, atol=1e-10 * step.max())
    spring = 1 / np.sum(1 / np.full(15, GaussianChainSource().stiffness))  # springs in series
    np.testing.assert_allclose(step, spring * chain_laplacian(2), rtol=1e-10)


def test_a_climb_leaves_what_the_design_says(tiny):
    chain = cgrec.load(tiny)
    assert [level.system.n_sites for level in chain.levels] == [16, 8, 4, 2]
    for level in chain.levels[1:]:
        assert (
            level.frames.forces is not None
            and level.targets.system.fingerprint() == level.system.fingerprint()
        )
        assert level.report["ledger"] and level.potential is not None
        np.testing.assert_allclose(
            level.mapping.force_weights @ level.mapping.position_weights.T,
            np.eye(level.system.n_sites),
            atol=1e-10,
        )
    assert (tiny / "report.html").stat().st_size > 20_000
    assert isinstance(cgrec.load(tiny / "level2"), cgrec.Level)
    assert json.loads((tiny / "run.json").read_text())["versions"]["torch"]


def test_again_makes_nothing_again(tiny):
    before = {p: p.stat().st_mtime_ns for p in tiny.rglob("positions.npy")}
    main(["climb", *TINY, f"run={tiny}"])
    assert before == {p: p.stat().st_mtime_ns for p in tiny.rglob("positions.npy")}


def test_check_looks_at_the_folder_of_the_run_and_changes_nothing(tiny, capsys):
    """It said nothing of another recipe, which the climb then refused."""
    before = {path: path.read_bytes() for path in tiny.rglob("*") if path.is_file()}
    main(["check", *TINY, f"run={tiny}"])
    assert f"{tiny} is there, and the climb goes on in it" in capsys.readouterr().out
    for words in ("seed=5", "levels.l2.training.steps=7"):
        with pytest.raises(SystemExit, match="was made with .* and now it is .: choose another"):
            main(["check", *TINY, f"run={tiny}", words])
    assert before == {path: path.read_bytes() for path in tiny.rglob("*") if path.is_file()}


def test_a_changed_recipe_is_refused_with_key_and_values(tiny):
    with pytest.raises(SystemExit, match=r"levels\.l2\.training\.steps=100 and now it is 7"):
        main(["climb", *TINY, "levels.l2.training.steps=7", f"run={tiny}"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ("seed=5", r"run was made with seed=1 and now it is 5"),
        ("levels.l2.training.steps=7", r"level2 was made with levels\.l2\.training\.steps=100"),
        (
            "levels.l2.dynamics.n_replicas=8",
            r"level2 was made with levels\.l2\.dynamics\.n_replicas=16",
        ),
    ],
)
def test_another_recipe_goes_on_after_what_the_refusal_says_is_removed(
    tiny, tmp_path, changed, key
):
    """The first way offered keeps what is there; the other one is enough for the same command."""
    run = shutil.copytree(tiny, tmp_path / "run")
    command = ["climb", *TINY, changed, f"run={run}"]
    with pytest.raises(
        SystemExit, match=key + ".*: choose another run=FOLDER; or remove "
    ) as refused:
        main(command)
    gone = re.search(r"or remove (.*?) and run the same command again", str(refused.value))[1]
    for path in map(Path, gone.split(", ")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    main(command)
    assert len(cgrec.load(run).levels) == 4


@pytest.mark.slow
def test_another_experiment_is_named_by_a_key_that_exists(tiny, tmp_path):
    # with forces: what the file holds is looked at before the folder is
    shift = np.random.default_rng(0).normal(0, 0.05, (20, 3, 3))
    places = np.arange(9.0).reshape(3, 3)
    np.savez(tmp_path / "x.npz", positions=places + shift, forces=-1000 * shift)
    with pytest.raises(
        SystemExit,
        match=r"level0 was made with source=GaussianChainSource and now it is FileSource: choose "
        r"another "
        r"run=",
    ):
        main(
            [
                "climb",
                "experiment=water_spce",
                f"source.path={tmp_path}/x.npz",
                "source.temperature=300",
                "seed=1",
                f"run={tiny}",
            ]
        )
    with pytest.raises(
        SystemExit, match=r"levels\.l1\.mapping\._target_=cgrec.*Pick and now it is .*HeavyAtoms"
    ):
        main(
            [
                "climb",
                *TINY,
                "~levels.l1.mapping",
                "+levels.l1.mapping._target_=cgrec.mapping.HeavyAtoms",
                f"run={tiny}",
            ]
        )


@pytest.mark.slow
def test_killed_climb_gives_the_same_frames(tiny, tmp_path, monkeypatch):
    from cgrec.dynamics.run import Run

    real, count = Run.stretch, []

    def stretch(self, bar):
        count.append(1)
        if len(count) in (5, 35):
            raise KeyboardInterrupt
        real(self, bar)

    monkeypatch.setattr(Run, "stretch", stretch)
    for _ in range(2):
        with pytest.raises(SystemExit, match="130"):
            main(["climb", *TINY, f"run={tmp_path}/run"])
    main(["climb", *TINY, f"run={tmp_path}/run"])
    for k in (1, 2, 3):
        a, b = (cgrec.load(folder / f"level{k}").frames for folder in (tiny, tmp_path / "run"))
        np.testing.assert_array_equal(a.positions, b.positions)


@pytest.mark.slow
def test_a_refined_level_is_refined_once(tmp_path, monkeypatch):
    """Killed between the refined potential and its frames it goes on to the same frames, its raw
    run kept.
    """
    command = ["climb", *TINY, "+levels.l1.refine={turn: [B0, B2, B4, B6]}", f"run={tmp_path}/run"]
    save = cgrec.Frames.save

    def killed(frames, folder, beside=None):
        if folder.parent.name == "level1" and folder.name == "frames":
            raise KeyboardInterrupt
        return save(frames, folder, beside)

    with monkeypatch.context() as patch:
        patch.setattr(cgrec.Frames, "save", killed)
        with pytest.raises(SystemExit, match="130"):
            main(command)
    assert (tmp_path / "run/level1/refined.pt").exists() and not (
        tmp_path / "run/level1/frames"
    ).exists()
    main(command)
    level = cgrec.load(tmp_path / "run").levels[1]
    raw = cgrec.Frames.load(level.folder / "unrefined")
    np.testing.assert_array_equal(raw.positions, level.frames.positions)
    assert raw.weights is None and 0.1 < level.frames.weight_efficiency() < 1
    np.testing.assert_allclose(
        level.potential.energy_and_forces(level.frames)[1],
        level.frames.forces,
        rtol=1e-3,
        atol=0.05,
    )
    assert [v.name for v in level.bias_variables()] == ["turn"]
    assert any("forces alone" in row["level"] for row in level.report["ledger"])


@pytest.mark.slow
def test_gaussian_chain_by_sampling_and_fitting(tmp_path):
    """<R^2> of the ends within 2 % at each level, and recursion no worse than the direct model."""
    main(["climb", "experiment=gaussian_chain", "threads=1", f"run={tmp_path}/run"])
    exact = 15 * 0.38**2
    for level in cgrec.load(tmp_path / "run").levels[1:]:
        ends = level.frames.positions[:, [0, -1]].astype(float)
        assert ((ends[:, 0] - ends[:, 1]) ** 2).sum(-1).mean() == pytest.approx(exact, rel=0.02)
        rows = {(r["level"], r["against"]): r for r in level.report["ledger"]}
        own, direct = rows[level.name, "level 0"], rows.get((f"{level.name} (direct)", "level 0"))
        if direct is not None:
            assert own["excess"] <= direct["excess"] + 2 * np.hypot(own["error"], direct["error"])
