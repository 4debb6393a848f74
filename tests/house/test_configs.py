"""Every shipped configuration composes and builds; what is misspelt is refused."""

import pytest
import yaml
from hydra import compose, initialize_config_dir

from cgrec.cli import build, composed, configuration, main

#: What only the user can give.
OWN = {
    "five_beads": ["source.path=x.npy", "source.forces_path=f.npy"],
    "licl": ["source.path=x.xyz"],
    "nacl": ["source.path=x.npz"],
    "water_nnp": ["source.labels.path=x.npz"],
    "water_spce": ["source.path=x.npz"],
    "tetrapeptide": ["source.path=frames"],
}
EXPERIMENTS = sorted(p.stem for p in (configuration() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_builds(experiment, tmp_path):
    chain = build(
        composed([f"experiment={experiment}", f"run={tmp_path}/run", *OWN.get(experiment, [])])
    )
    assert list(chain.recipes) == ["l1", "l2", "l3"][: len(chain.recipes)]
    assert chain.recipes or experiment.endswith("_nnp")


#: Values that neither config.yaml nor any shipped experiment has.
FOREIGN = {"control": "false", "seed": "7", "bins": "21", "threads": "3", "run": "elsewhere/mine"}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_what_a_shipped_experiment_says_counts(experiment):
    """Above config.yaml, below the command line."""
    said = yaml.safe_load((configuration() / "experiment" / f"{experiment}.yaml").read_text())
    config = composed([f"experiment={experiment}"])
    for key in ("control", "seed", "bins", "threads", "run", "name"):
        if key in said:
            assert config[key] == said[key], key
            assert composed([f"experiment={experiment}", f"{key}=1"])[key] == 1


def test_shipped_liquids_have_no_control():
    """Their YAMLs always said so; config.yaml used to have the last word."""
    assert [
        composed([f"experiment={e}"]).control for e in ("water", "water_spce", "nacl", "licl")
    ] == 4 * [False]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_what_a_foreign_experiment_says_counts(experiment, tmp_path):
    """One built on a shipped experiment, and the command line above it."""
    said = [f"{key}: {value}" for key, value in FOREIGN.items()]
    lines = ["# @package _global_", f"defaults: [{experiment}, _self_]", *said]
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("\n".join(lines))
    config = composed(["experiment=mine"], str(tmp_path))
    assert {key: config[key] for key in FOREIGN} == {
        k: yaml.safe_load(v) for k, v in FOREIGN.items()
    }
    given = composed(["experiment=mine", *(f"{key}=1" for key in FOREIGN)], str(tmp_path))
    assert [str(given[key]) for key in FOREIGN] == ["1"] * len(FOREIGN)


def test_own_experiment_takes_the_place_of_a_shipped_one(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "water.yaml").write_text(
        "# @package _global_\ndefaults: [{/source: gaussian_chain}]\nname: water\nseed: "
        "9\nlevels: {}\n"
    )
    config = composed(["experiment=water"], str(tmp_path))
    assert config.seed == 9 and config.source._target_.endswith("GaussianChainSource")


@pytest.mark.parametrize(
    "text, thing",
    [
        (
            "# @package _global_\ndefaults: [gaussian_chain, _self_]\ncontorl: false\n",
            "contorl: .*control",
        ),
        ("defaults: [gaussian_chain, _self_]\nseed: 7\n", "experiment: .*@package _global_"),
    ],
)
def test_what_nothing_reads_is_refused(text, thing, tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=thing):
        composed(["experiment=mine"], str(tmp_path))


def test_a_key_of_ones_own_counts_where_it_is_used(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [gaussian_chain, _self_]\nsize: 12\nsource: {n_sites: "
        "'${size}'}\n"
    )
    assert composed(["experiment=mine"], str(tmp_path)).source.n_sites == 12


def test_default_is_alanine_dipeptide():
    assert composed([]).name == "alanine_dipeptide"


@pytest.mark.parametrize(
    "override", ["levels.l1.potential.cutof=0.7", "sed=3", "levels.l9.training.steps=3"]
)
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


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_sweep_climbs_every_job(launcher, tmp_path):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    levels = ["~levels.l1", "~levels.l2", "~levels.l3"]
    own = [
        f"run={tmp_path}/seed_${{seed}}",
        f"hydra.sweep.dir={tmp_path}/log",
        f"hydra/launcher={launcher}",
    ]
    main(["climb", "--multirun", "experiment=gaussian_chain", "seed=1,2", *levels, *own])
    for seed in (1, 2):
        assert (tmp_path / f"seed_{seed}" / "report.html").exists()


@pytest.mark.slow
def test_sweep_of_an_experiment_of_ones_own_that_has_a_shipped_name(tmp_path):
    own = tmp_path / "conf" / "experiment"
    own.mkdir(parents=True)
    shipped = (configuration() / "experiment" / "gaussian_chain.yaml").read_text()
    (own / "gaussian_chain.yaml").write_text(shipped + "\nbins: 7\n")
    levels = ["~levels.l1", "~levels.l2", "~levels.l3"]
    places = [f"run={tmp_path}/seed_${{seed}}", f"hydra.sweep.dir={tmp_path}/log"]
    command = [
        "climb",
        "--multirun",
        "--config-dir",
        str(tmp_path / "conf"),
        "experiment=gaussian_chain",
    ]
    main([*command, "seed=1,2", *levels, *places])
    for seed in (1, 2):
        assert yaml.safe_load((tmp_path / f"seed_{seed}" / "config.yaml").read_text())["bins"] == 7


def test_cluster_launcher_composes():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    with initialize_config_dir(str(configuration()), version_base="1.3"):
        config = compose(
            "config", ["hydra/launcher=slurm"], return_hydra_config=True
        ).hydra.launcher
    assert config.cpus_per_task == 8 and config._target_.endswith("SlurmLauncher")
