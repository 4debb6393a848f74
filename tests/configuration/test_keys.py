"""`cgrec keys` knows every argument that a YAML can reach, with meaning and unit."""

import re

import pytest

from cgrec.cli import main
from cgrec.configuration import as_plain, composed, experiments, keys_of, keys_of_class
from cgrec.configuration.keys import class_names
from cgrec.configuration.kinds import in_words

UNIT = re.compile(r"(\([^)]*\),? )?(1/ps|1/nm|kJ/mol|nm|ps|K|amu|e|kT|bar)\b")
#: Floats that are pure numbers.
NUMBERS = set(
    [
        "accuracy",
        "average",
        "balance",
        "bias_factor",
        "efficiency",
        "energy_weight",
        "factor",
        "held_out",
        "highest",
        "hot",
        "learning_rate",
        "margin",
        "neighbours",
        "permittivity",
        "share",
        "torque_weight",
        "validation_fraction",
        "weight",
        "weight_decay",
    ]
)
#: Classes that only hold what was found: no table makes one.
FOUND = {"Audit", "DescentStep", "MetropolisReport", "SimulationReport", "TrainingReport"}
CLASSES = sorted(set(class_names()) - FOUND)


@pytest.mark.parametrize("name", CLASSES)
def test_every_argument_has_a_meaning_and_a_unit(name):
    for key in keys_of_class(name):
        said = key.argument.says
        assert said, f"{name}.{key.key} has no meaning"
        plain = in_words(key.argument.hint).replace(" or null", "")
        number = key.key.rpartition(".")[2] in NUMBERS | {"looks", "false_alarms", "few"}
        if plain == "a number" and not number:
            assert UNIT.match(said), (
                f"{name}.{key.key}: its meaning must begin with the unit: {said}"
            )


@pytest.mark.parametrize("experiment", experiments())
def test_every_key_of_an_experiment_is_explained(experiment):
    found = {key.key: key for key in keys_of(as_plain(composed([f"experiment={experiment}"])))}
    assert all(key.argument.says for key in found.values())
    for key in ("run", "seed", "source", "source.temperature"):
        assert key in found or key == "source.temperature"
    if experiment not in ("alanine_dipeptide_nnp", "water_nnp"):
        for key in ("training.device", "dynamics.skin", "force_map", "corrections"):
            assert f"levels.l1.{key}" in found


def test_a_table_is_listed_with_defaults_ranges_and_values(capsys):
    main(["keys", "levels.l1.dynamics"])
    said = capsys.readouterr().out
    assert re.search(r"l1\.dynamics\.n_replicas  \(a whole number, 1 or more; default 128\)", said)
    assert re.search(r"l1\.dynamics\.length .*\n    ps per replica", said)
    assert "levels.l1.training" not in said and "levels.l2" not in said
    main(["keys", "levels.l1.dynamics.timestep", "levels.l1.dynamics.timestep=0.002"])
    assert "more than 0, less than 0.5; default 0.003; here 0.002" in capsys.readouterr().out


def test_a_file_and_a_class(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.yaml").write_text("defaults: [/experiment/gaussian_chain, _self_]\n")
    monkeypatch.chdir(tmp_path)
    main(["keys", "mine.yaml", "source"])
    assert "source.bond  (a number, more than 0; default 0.38)" in capsys.readouterr().out
    main(["keys", "Exchange"])
    assert "keep  (one of lowest, all; default lowest)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("levels.l1.dynamics.stepz", "timestep"),
        ("sourc", "source"),
        ("Exchang", "Exchange"),
        ("levels.l1.dynamis", "levels.l1.dynamics"),
    ],
)
def test_an_unknown_key_has_near_misses(key, near, capsys):
    with pytest.raises(SystemExit, match=f"{key}: expected a key.*did you mean.*{near}"):
        main(["keys", key])
