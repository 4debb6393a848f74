"""What a stranger's YAML may call: cgrec's own roles, installed plugins, named calculators; nothing
else without --trust.
"""

from importlib.metadata import EntryPoint

import pytest
import yaml

from cgrec import plugins
from cgrec.cli import build, composed, configuration, main
from cgrec.configuration.targets import Allowed

HEAD = "# @package _global_\ndefaults: [gaussian_chain, _self_]\n"
CALCULATOR = "temperature: 300, n_frames: 5, stride: 1, timestep: 0.001"
#: Experiments that would run code, and the key that the refusal must name. MARK is the file that
#: they would leave.
HOSTILE = {
    "a function of os": (
        "source: {_target_: os.system, _args_: ['touch MARK']}",
        "source._target_",
    ),
    "subprocess": ("source: {_target_: subprocess.run, args: [touch, MARK]}", "source._target_"),
    "builtins": ('source: {_target_: builtins.exec, _args_: [\'open("MARK", "w")\']}', "source"),
    "a method": (
        "source: {_target_: pathlib.Path.write_text, _args_: [{_target_: pathlib.Path, _args_: "
        "[MARK]}, x]}",
        "source",
    ),
    "numpy": ("source: {_target_: numpy.load, file: evil.npy, allow_pickle: true}", "source"),
    "torch": ("source: {_target_: torch.load, f: evil.pt, weights_only: false}", "source"),
    "pickle, by argument": (
        "levels: {l1: {training: {allow_pickle: true}}}",
        "levels.l1.training.allow_pickle",
    ),
    "weights, by argument": (
        "levels: {l1: {training: {weights_only: false}}}",
        "levels.l1.training.weights_only",
    ),
    "our compiler": (
        "source: {_target_: cgrec.native.native_library, source: {_target_: pathlib.Path, "
        "_args_: [e.cpp]}}",
        "source",
    ),
    "our importer": (
        "source: {_target_: cgrec.configuration.targets.located, target: os.system}",
        "source._target_",
    ),
    "our main": ("source: {_target_: cgrec.cli.main, arguments: [report]}", "source._target_"),
    "through our imports": (
        "source: {_target_: cgrec.native.subprocess.run, args: [touch, MARK]}",
        "source",
    ),
    "a private class": ("source: {_target_: cgrec.training._Run}", "source._target_"),
    "a static method": (
        "source: {_target_: cgrec.potential.Potential.load, path: evil.pt}",
        "source._target_",
    ),
    "deep in a level": (
        "levels: {l1: {mapping: {_target_: cgrec.mapping.Protected, rule: {_target_: "
        "os.system}, sites: []}}}",
        "levels.l1.mapping.rule._target_",
    ),
    "in a list": ("variables: {a: [{_target_: os.getcwd}]}", "variables.a.0._target_"),
    "partial": (
        "levels: {l1: {mapping: {_target_: os.system, _partial_: true}}}",
        "levels.l1.mapping._target_",
    ),
    "positional": ("levels: {l1: {training: {_args_: [1]}}}", "levels.l1.training._args_"),
    "recursive": (
        "levels: {l1: {training: {_recursive_: false}}}",
        "levels.l1.training._recursive_",
    ),
    "assembled": ("word: system\nsource: {_target_: 'os.${word}'}", "source._target_"),
    "no name": ("source: {_target_: 'os.system(1)'}", "source._target_"),
    "a number": ("source: {_target_: 7}", "source._target_"),
}
FROM_FILE = "# @package _global_\ndefaults: [{/source: calculator}]\nname: mine\nlevels: {}\n"
QUANTUM = (
    "# @package _global_\ndefaults: [{/source: quantum}]\nname: mine\nlevels: {}\nvariables: {}\n"
)
#: The same through calculators, programs and model files.
CALLED = {
    "os": (
        FROM_FILE + "source: {structure: a.pdb, n_frames: 5, calculator: 'os:system'}",
        "source.calculator",
    ),
    "labeller": (
        QUANTUM + "source: {labeller: {calculator: 'os:system'}}",
        "source.labeller.calculator",
    ),
    "a shell calculator": (
        FROM_FILE
        + "source: {structure: a.pdb, n_frames: 5, calculator: 'ase.calculators.vasp:Vasp'}",
        "source.calculator",
    ),
    "an attribute": (
        FROM_FILE
        + "source: {structure: a.pdb, n_frames: 5, calculator: 'ase.calculators.emt:EMT.mro'}",
        "source.calculator",
    ),
    "another interpreter": (
        FROM_FILE + "source: {structure: a.pdb, n_frames: 5, python: ./evil}",
        "source.python",
    ),
    "a model file": (
        FROM_FILE + "source: {structure: a.pdb, n_frames: 5, calculator: "
        "'mace.calculators:MACECalculator', "
        "calculator_arguments: {model_paths: ./evil.model}}",
        "source.calculator_arguments.model_paths",
    ),
    "a model from the net": (
        FROM_FILE
        + "source: {structure: a.pdb, n_frames: 5, calculator: 'mace.calculators:mace_mp', "
        "calculator_arguments: {model: 'https://evil.org/m'}}",
        "source.calculator_arguments.model",
    ),
}


def experiment(folder, text):
    (folder / "own" / "experiment").mkdir(parents=True)
    (folder / "own" / "experiment" / "mine.yaml").write_text(
        text.replace("MARK", str(folder / "OWNED"))
    )
    return ["climb", "--config-dir", str(folder / "own"), "experiment=mine", f"run={folder}/run"]


@pytest.mark.parametrize("case", [*HOSTILE, *CALLED])
def test_a_strangers_yaml_is_refused_before_anything_is_called(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, key = (HEAD + HOSTILE[case][0], HOSTILE[case][1]) if case in HOSTILE else CALLED[case]
    with pytest.raises(SystemExit) as stop:
        main(experiment(tmp_path, text))
    said = str(stop.value.code)
    assert said.startswith(f"cgrec: {key}") and "--trust" in said, said
    assert not (tmp_path / "OWNED").exists() and not (tmp_path / "run").exists()


def test_trust_calls_what_it_is_told(tmp_path):
    """The refusals above are for want of trust, not because nothing would have happened."""
    text = (
        "# @package _global_\nname: mine\nlevels: {}\nsource: {_target_: os.system, _args_: "
        "['touch MARK']}"
    )
    with pytest.raises(SystemExit, match="source"):
        main([*experiment(tmp_path, text), "--trust"])
    assert (tmp_path / "OWNED").exists()


SWEEPS = {
    "launcher": "hydra: {launcher: {_target_: os.system}}",
    "callback": "hydra: {callbacks: {evil: {_target_: os.system, command: 'touch MARK'}}}",
    "logging": "hydra: {job_logging: {handlers: {x: {'()': os.system, command: 'touch MARK'}}}}",
    "external": "hydra: {job_logging: {handlers: {x: {class: logging.StreamHandler, stream: "
    "'ext://os.system'}}}}",
    "folder": "hydra: {sweep: {dir: ../../elsewhere}}",
}


@pytest.mark.parametrize("case", SWEEPS)
def test_what_hydra_itself_would_call_is_looked_at(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = experiment(tmp_path, HEAD + SWEEPS[case])
    with pytest.raises(SystemExit, match=r"cgrec: hydra\..*"):
        main([*command, "--multirun", "seed=1,2"])
    with pytest.raises(SystemExit, match=r"cgrec: hydra\..*"):  # as one of several experiments
        main([*command[:3], "--multirun", "experiment=gaussian_chain,mine", f"run={tmp_path}/r"])
    assert not (tmp_path / "OWNED").exists()


def test_search_path_is_for_folders(tmp_path, monkeypatch):
    """hydra would import the package of pkg://."""
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "__init__.py").write_text(f"open({str(tmp_path / 'OWNED')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SystemExit, match=r"hydra\.searchpath.*--config-dir"):
        main(["climb", "experiment=gaussian_chain", "hydra.searchpath=[pkg://evil]"])
    with pytest.raises(SystemExit, match="hydra"):
        main(experiment(tmp_path, HEAD + "hydra: {searchpath: ['pkg://evil']}"))
    assert not (tmp_path / "OWNED").exists()


def test_run_and_name_stay_inside(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for text in ("name: ../../up", "run: ../up", f"run: {tmp_path}/up", "run: runs/../../up"):
        folder = tmp_path / str(abs(hash(text)))
        command = experiment(folder, HEAD + text)
        with pytest.raises(SystemExit, match="cgrec: (name|run): expected a folder inside"):
            main(command[:-1])  # without run=
    assert not (tmp_path / "up").exists()


def test_every_shipped_target_is_allowed():
    """Each name that conf/ calls, and every experiment as a whole."""
    names = set()

    def walk(node):
        for key, value in (
            node.items()
            if isinstance(node, dict)
            else enumerate(node)
            if isinstance(node, list)
            else ()
        ):
            names.update([value] if key == "_target_" else [])
            walk(value)

    for path in configuration().rglob("*.yaml"):
        if "hydra" not in path.parts:
            walk(yaml.safe_load(path.read_text()))
    assert len(names) > 25
    for name in names:
        Allowed().check({"source": {"_target_": name}})


def test_a_plugin_is_allowed_by_its_entry_point(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text("class Rule:\n    def __call__(self, system): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {"levels": {"l1": {"mapping": {"_target_": "theirs.Rule"}}}}
    with pytest.raises(ValueError, match="levels.l1.mapping._target_"):
        Allowed().check(config)
    point = EntryPoint(name="theirs", value="theirs", group="cgrec.plugins")
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [point] if group == "cgrec.plugins" else []
    )
    Allowed().check(config)
    made = build(
        composed(
            [
                "experiment=gaussian_chain",
                "~levels.l1.mapping",
                "+levels.l1.mapping._target_=theirs.Rule",
            ]
        )
    )
    assert type(made.recipes["l1"].mapping).__name__ == "Rule"


def test_named_calculators_and_the_users_own_word_are_allowed():
    for calculator in ("tblite.ase:TBLite", "ase.calculators.emt:EMT", "mace.calculators:mace_mp"):
        Allowed().check(
            {"source": {"calculator": calculator, "calculator_arguments": {"model": "small"}}}
        )
    own = frozenset({"source.python", "source.calculator_arguments.model_paths"})
    Allowed(given=own).check(
        {"source": {"python": "/x/python", "calculator_arguments": {"model_paths": "/a/my.model"}}}
    )
