"""Every shipped configuration composes and builds; what is misspelt is refused."""

import pytest
from hydra import compose, initialize_config_dir

from cgrec.cli import build, composed, configuration, main

#: What only the user can give.
OWN = {
    "five_beads": ["source.path=x.npy", "source.forces_path=f.npy"], "licl": ["source.path=x.xyz"], "nacl": ["source.path=x.npz"],
    "water_nnp": ["source.labels.path=x.npz"], "water_spce": ["source.path=x.npz"],
}  # fmt: skip
EXPERIMENTS = sorted(p.stem for p in (configuration() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_builds(experiment, tmp_path):
    chain = build(composed([f"experiment={experiment}", f"run={tmp_path}/run", *OWN.get(experiment, [])]))
    assert list(chain.recipes) == ["l1", "l2", "l3"][: len(chain.recipes)]
    assert chain.recipes or experiment.endswith("_nnp")


def test_default_is_alanine_dipeptide():
    assert composed([]).name == "alanine_dipeptide"


@pytest.mark.parametrize("override", ["levels.l1.potential.cutof=0.7", "sed=3", "levels.l9.training.steps=3"])
def test_unknown_key_is_refused(override):
    with pytest.raises(SystemExit, match=override.split("=")[0].split(".")[-1] + "|l9"):
        main(["climb", "experiment=gaussian_chain", override])


def test_unknown_key_forced_in_is_refused_by_the_signature(tmp_path):
    with pytest.raises(SystemExit, match="cutof"):
        main(["climb", "+levels.l1.potential.cutof=0.7", f"run={tmp_path}/run"])
    assert not (tmp_path / "run").exists()


def test_help_names_the_experiments(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0 and "gaussian_chain" in capsys.readouterr().out


def test_a_value_that_must_be_given_is_asked_for():
    with pytest.raises(SystemExit, match="source.path"):
        main(["climb", "experiment=five_beads"])


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_sweep_climbs_every_job(launcher, tmp_path):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    levels = ["~levels.l1", "~levels.l2", "~levels.l3"]
    own = [f"run={tmp_path}/seed_${{seed}}", f"hydra.sweep.dir={tmp_path}/log", f"hydra/launcher={launcher}"]
    main(["climb", "--multirun", "experiment=gaussian_chain", "seed=1,2", *levels, *own])
    for seed in (1, 2):
        assert (tmp_path / f"seed_{seed}" / "report.html").exists()


def test_cluster_launcher_composes():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    with initialize_config_dir(str(configuration()), version_base="1.3"):
        config = compose("config", ["hydra/launcher=slurm"], return_hydra_config=True).hydra.launcher
    assert config.cpus_per_task == 8 and config._target_.endswith("SlurmLauncher")
