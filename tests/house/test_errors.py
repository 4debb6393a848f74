"""Whatever a user can cause arrives as one line that names the thing: never a traceback, never exit
0.
"""

import errno
import os
import re
import shutil
import sys

import numpy as np
import pytest
import torch

from cgrec.cli import composed, main
from cgrec.cli.errors import told
from cgrec.dynamics import AllLost, Langevin

TINY = [
    "go_on=true",
    "experiment=gaussian_chain",
    "~levels.l2",
    "~levels.l3",
    "source.n_frames=120",
    "levels.l1.training.steps=3",
    "levels.l1.dynamics.n_replicas=4",
    "levels.l1.dynamics.length=8",
    "levels.l1.dynamics.equilibration=0",
]
GAUSS = ["climb", "experiment=gaussian_chain"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder with a finished run and files that are wrong in one way each."""
    folder = tmp_path_factory.mktemp("place")
    before = os.getcwd()
    os.chdir(folder)
    main(["climb", *TINY, "run=runs/done"])
    (folder / "empty").mkdir()
    (folder / "a_file").write_text("text")
    (folder / "empty.npz").write_bytes(b"")
    (folder / "junk.npz").write_bytes(b"PK\x03\x04 no archive")
    (folder / "notes.txt").write_text("hello")
    np.savez(folder / "nothing.npz", other=np.zeros(3))
    np.savez(folder / "noforces.npz", positions=np.zeros((4, 3, 3)))
    for name, text in EXPERIMENTS.items():
        (folder / "own" / "experiment").mkdir(parents=True, exist_ok=True)
        (folder / "own" / "experiment" / f"{name}.yaml").write_text(text)
    (folder / "shadow").mkdir()
    (folder / "shadow" / "config.yaml").write_text("seed: 3\n")
    shutil.copytree("runs/done", "half")
    (folder / "half" / "config.yaml").write_text("seed: [1, \n")
    yield folder
    os.chdir(before)


HEAD = "# @package _global_\ndefaults: [gaussian_chain, _self_]\n"
EXPERIMENTS = {
    "broken": "# @package _global_\nname: [a, b\nseed: 3\n",
    "tab": "# @package _global_\nname:\n\tx: 1\n",
    "list": "# @package _global_\n- a\n- b\n",
    "nobody": HEAD + "name: ${nobody}\n",
    "circle": HEAD + "name: ${name}\n",
    "no_such_base": "# @package _global_\ndefaults: [no_such, _self_]\n",
    "no_source": "# @package _global_\nname: x\nlevels: {}\n",
    "bare_level": HEAD + "levels: {l4: {mapping: {_target_: cgrec.mapping.HeavyAtoms}}}\n",
    "no_package": HEAD + "levels: {l1: {mapping: {_target_: nopackage.Rule}}}\n",
    "no_class": HEAD + "levels: {l1: {mapping: {_target_: cgrec.mapping.Heavyatoms}}}\n",
    "up": HEAD + "name: ../../up\n",
}
OWN = ["climb", "--config-dir", "own"]
#: Arguments, and what the one line must name (a regular expression).
WRONG = {
    "no such command": (["climbb"], "climbb"),
    "no such experiment": (["climb", "experiment=nope"], "experiment.*nope"),
    "a word": (["climb", "gaussian_chain"], "gaussian_chain"),
    "a flag": (["climb", "--frobnicate"], "--frobnicate"),
    "cfg without": (["climb", "--cfg"], "--cfg"),
    "misspelt key": ([*GAUSS, "sed=3"], "sed.*did you mean.*seed"),
    "misspelt deep key": (
        [*GAUSS, "levels.l1.trainig.steps=3"],
        "levels.l1.trainig.*levels.l1.training",
    ),
    "misspelt group": (["climb", "experment=gaussian_chain"], "experment.*experiment"),
    "new key": (
        [*GAUSS, "+levels.l1.training.stepz=3"],
        "levels.l1.training.stepz.*did you mean steps",
    ),
    "other key beside one that no YAML lists": (
        [*GAUSS, "source.n_frames=200", "basins={a: {ends: [0, 1]}}"],
        "basins: expected values for the keys it has.*~basins",
    ),
    "unread key": ([*GAUSS, "+contrl=false"], "contrl.*did you mean control"),
    "deleted key": ([*GAUSS, "~nothing"], "nothing"),
    "word for a number": (
        [*GAUSS, "levels.l1.training.steps=ten"],
        "levels.l1.training.steps.*whole number.*'ten'",
    ),
    "fraction": (
        [*GAUSS, "levels.l1.training.steps=1.5"],
        "levels.l1.training.steps.*whole number.*1.5",
    ),
    "word for a rate": (
        [*GAUSS, "levels.l1.training.learning_rate=fast"],
        "levels.l1.training.learning_rate.*'fast'",
    ),
    "negative": ([*GAUSS, "levels.l1.dynamics.timestep=-1"], "timestep.*-1"),
    "seed": ([*GAUSS, "seed=abc"], "seed.*whole number.*abc"),
    "control": ([*GAUSS, "control=perhaps"], "control.*true or false.*perhaps"),
    "bins": ([*GAUSS, "bins=0"], "bins.*0"),
    "threads": ([*GAUSS, "threads=-2"], "threads.*-2"),
    "variables": ([*GAUSS, "variables=3"], "variables.*3"),
    "sweep without": ([*GAUSS, "seed=1,2"], "seed.*multirun"),
    "open bracket": ([*GAUSS, "variables={a: [B0"], "variables"),
    "open quote": ([*GAUSS, "name='abc"], "name"),
    "empty argument": ([*GAUSS, "="], "="),
    "no such source": ([*GAUSS, "source=nope"], "source.*nope"),
    "missing value": (["climb", "experiment=five_beads"], "source.path"),
    "no such file": (["climb", "experiment=nacl", "source.path=no.npz", "run=runs/a"], "no.npz"),
    "empty file": (
        ["climb", "experiment=nacl", "source.path=empty.npz", "run=runs/b"],
        "empty.npz",
    ),
    "junk file": (["climb", "experiment=nacl", "source.path=junk.npz", "run=runs/c"], "junk.npz"),
    "text file": (["climb", "experiment=nacl", "source.path=notes.txt", "run=runs/d"], "notes.txt"),
    "other arrays": (
        ["climb", "experiment=nacl", "source.path=nothing.npz", "run=runs/e"],
        "nothing.npz",
    ),
    "no forces": (
        ["climb", "experiment=nacl", "source.path=noforces.npz", "run=runs/f"],
        "noforces.npz",
    ),
    "a folder as file": (["climb", "experiment=nacl", "source.path=empty", "run=runs/g"], "empty"),
    "a file as run": ([*GAUSS, "run=a_file"], "a_file"),
    "a file on the way": ([*GAUSS, "run=a_file/x"], "a_file"),
    "long name": ([*GAUSS, "run=" + 300 * "x"], "xxx"),
    "another recipe": (["climb", *TINY, "run=runs/done", "seed=9"], "runs/done.*seed"),
    "gpu": (["climb", *TINY, "run=runs/h", "+levels.l1.training.device=cuda"], "device.*cuda"),
    "device": (["climb", *TINY, "run=runs/i", "+levels.l1.training.device=gpu"], "device.*gpu"),
    "label": (["climb", *TINY, "run=runs/j", "levels.l1.mapping.sites=[B0,B99]"], "B99"),
    "precision": (
        ["climb", *TINY, "run=runs/l", "levels.l1.training.precision=float19"],
        "precision.*float19",
    ),
    "force map": (["climb", *TINY, "run=runs/m", "levels.l1.force_map=best"], "force_map.*best"),
    "calculator": (
        [
            "climb",
            "experiment=alanine_dipeptide",
            "source=calculator",
            "source.structure=a_file",
            "source.n_frames=3",
            "source.calculator=os:system",
            "levels={}",
        ],
        "source.calculator.*os:system",
    ),
    "config-dir": (["climb", "--config-dir", "nowhere"], "--config-dir.*nowhere"),
    "config.yaml in it": (["climb", "--config-dir", "shadow"], "shadow/config.yaml"),
    "broken yaml": ([*OWN, "experiment=broken"], "broken.yaml, line 3"),
    "tab": ([*OWN, "experiment=tab"], "tab.yaml, line 3"),
    "list": ([*OWN, "experiment=list"], "list"),
    "interpolation": ([*OWN, "experiment=nobody"], "nobody"),
    "circle": ([*OWN, "experiment=circle"], "run|name"),
    "no base": ([*OWN, "experiment=no_such_base"], "no_such"),
    "no source": ([*OWN, "experiment=no_source"], "source"),
    "bare level": ([*OWN, "experiment=bare_level"], "levels.l4"),
    "no package": ([*OWN, "experiment=no_package"], "levels.l1.mapping.*nopackage.Rule"),
    "no package, trusted": (
        [*OWN, "--trust", "experiment=no_package"],
        "levels.l1.mapping.*nopackage",
    ),
    "no class": ([*OWN, "experiment=no_class"], "levels.l1.mapping.*Heavyatoms"),
    "outside": ([*OWN, "experiment=up"], "name.*up"),
    "sweep of nothing": (["climb", "--multirun", "experiment=gaussian_chain", "sed=1,2"], "sed"),
    "report of nothing": (["report", "run=nowhere"], "no such run: nowhere"),
    "report of a file": (["report", "run=a_file"], "a_file"),
    "report of an empty folder": (["report", "run=empty"], "empty"),
    "report without": (["report"], "run="),
    "report twice": (["report", "run=runs/done", "run=empty"], "run="),
    "report and more": (["report", "run=runs/done", "level=1"], "level=1"),
    "distil nowhere": (["distil", "run=nowhere", "level=1"], "no such run: nowhere"),
    "distil level 7": (["distil", "run=runs/done", "level=7"], "level=.*7"),
    "distil level 0": (["distil", "run=runs/done", "level=0"], "level0.*potential"),
    "distil a word": (["distil", "run=runs/done", "level=1", "cutoff=far"], "cutoff.*far"),
    "distil misspelt": (["distil", "run=runs/done", "level=1", "cutof=1"], "cutof=1.*cutoff="),
    "friction nowhere": (
        ["friction", "run=nowhere", "level=1", "interval=1"],
        "no such run: nowhere",
    ),
    "friction without": (["friction", "run=runs/done", "level=1"], "interval"),
    "friction nan": (["friction", "run=runs/done", "level=1", "interval=nan"], "interval.*nan"),
    "descend nowhere": (["descend", "run=nowhere", "from=2", "to=0"], "no such run: nowhere"),
    "descend too high": (["descend", "run=runs/done", "from=5", "to=0"], "from.*5"),
    "descend upwards": (["descend", "run=runs/done", "from=0", "to=1"], "from|to"),
    "descend a word": (["descend", "run=runs/done", "from=one", "to=0"], "from=.*one"),
    "descend by magic": (
        ["descend", "run=runs/done", "from=1", "to=0", "method=magic"],
        "method.*magic",
    ),
    "descend no frames": (["descend", "run=runs/done", "from=1", "to=0", "frames=0"], "frames.*0"),
    "judge nowhere": (["analyse-backmapping", "run=nowhere", "level=1"], "no such run: nowhere"),
    "judge level 0": (["analyse-backmapping", "run=runs/done", "level=0"], "level=.*0"),
    "export what": (["export"], "lammps"),
    "export to where": (["export", "gromacs", "run=runs/done"], "gromacs"),
    "export nowhere": (
        ["export", "lammps", "run=nowhere", "level=1", "to=x"],
        "no such run: nowhere",
    ),
    "export undistilled": (["export", "lammps", "run=runs/done", "level=1", "to=x"], "distil"),
    "map nothing": (["map"], "system="),
    "map both": (["map", "run=runs/done", "system=a_file"], "both"),
    "map nowhere": (["map", "run=nowhere"], "no such run: nowhere"),
    "map level 9": (["map", "run=runs/done", "level=9"], "level=.*9"),
    "map no file": (["map", "system=no.pdb"], "no.pdb"),
    "map a word": (["map", "run=runs/done", "n_sites=many"], "n_sites.*many"),
    "map method": (["map", "run=runs/done", "method=guess"], "method.*guess"),
    "map too many": (["map", "run=runs/done", "n_sites=99"], "99"),
    "typo in a class": (
        ["climb", *TINY, "levels.l1.mapping._target_=cgrec.mapping.Pik"],
        r"levels.l1.mapping._target_: .*did you mean Pick\?",
    ),
    "key unlike any": (["climb", *TINY, "source.path=foo"], r"source.path: .*source takes .*bond"),
    "key at the top": (["climb", *TINY, "temperature=300"], "temperature: .*at the top stand"),
    "table unlike any": (["climb", *TINY, "levels.l1.foo.bar=2"], "no table levels.l1.foo"),
    "kind of cfg": (["climb", "--cfg", "joob"], "--cfg: expected job"),
    "file of that name": (["map", "system=nope.pdb"], "path: expected a file.*nope.pdb"),
    "map place": (["map", "run=runs/done", "n_sites=4", "place=moon"], "place.*moon"),
}
LADDER = "+levels.l1.dynamics.exchange={_target_: cgrec.dynamics.Exchange, rungs: 4, highest: "
#: Numbers and words that a class would take, or find wrong when the work is done.
WRONG |= {
    "seed below zero": ([*GAUSS, "seed=-1"], "seed: expected 0 or more, found -1"),
    "nan": (
        ["climb", "levels.l1.potential.cutoff=nan"],
        "levels.l1.potential.cutoff: expected a finite number, found nan",
    ),
    "infinite": (
        ["climb", "levels.l1.dynamics.length=.inf"],
        "levels.l1.dynamics.length: expected a (finite number, found inf|number)",
    ),
    "angstroms": (
        ["climb", "levels.l1.potential.cutoff=8"],
        "levels.l1.potential.cutoff: expected nm, .*give 0.8$",
    ),
    "no channels": (
        ["climb", "levels.l1.potential.channels=0"],
        "l1.potential.channels: .*found 0",
    ),
    "femtoseconds": (
        ["climb", "levels.l1.dynamics.timestep=4"],
        "levels.l1.dynamics.timestep: expected ps, .*give 0.004$",
    ),
    "saved too seldom": (
        ["climb", "levels.l1.dynamics.length=10", "levels.l1.dynamics.save_every=20"],
        "levels.l1.dynamics.save_every: .*at most the length of 10 ps, found 20",
    ),
    "a prior that may be": (
        ["climb", "levels.l1.priors.dihedrals=maybe"],
        "levels.l1.priors.dihedrals: expected true or false, found 'maybe'",
    ),
    "kelvin": (
        ["climb", LADDER + "450}"],
        "levels.l1.dynamics.exchange.highest: .*450 K above 300 K is highest=1.5",
    ),
    "no whole ladders": (
        ["climb", LADDER + "1.5}", "levels.l1.dynamics.n_replicas=15"],
        "levels.l1.dynamics.n_replicas: expected a multiple of 4, .*give n_replicas=16",
    ),
    "hot frames of a PMF": (
        [*GAUSS, LADDER + "1.5, keep: all}", "levels.l1.dynamics.n_replicas=16"],
        "levels.l1.dynamics.exchange.keep: expected lowest at a level above the atoms",
    ),
    "a basin of one bound": (
        [*GAUSS, "+basins.near.ends=[0]"],
        r"basins.near.ends: expected two bounds, .*found \[0\]",
    ),
    "a basin upside down": (
        [*GAUSS, "+basins.near.ends=[0.15, 0]"],
        r"basins.near.ends: expected two bounds, .*found \[0.15, 0\]",
    ),
    "a basin of no number": ([*GAUSS, "+basins.near.ends=[nan, 1]"], "basins.near.ends.*found nan"),
    "a site twice": ([*GAUSS, "+variables.foo=[B0, B0]"], "variables.foo: .*found 'B0' twice"),
    "a site alone": ([*GAUSS, "+variables.foo=[B0]"], "variables.foo: expected labels of 2 sites"),
    "a name of one's own": (
        [*GAUSS, "variables.foo=[B0, B15]"],
        r"variables.foo: .*put a plus before it: \+variables.foo=",
    ),
    "a table for a list": (
        [*GAUSS, "levels.l1.corrections={_target_: cgrec.corrections.ChainRefinement}"],
        r"levels.l1.corrections: expected a list, .*such as \[\{_target_: ...\}\]",
    ),
    "a TICA without numbers": (
        [
            *GAUSS,
            "+variables.slow={_target_: cgrec.variables.TICA, features: [], lag: 1}",
        ],
        "variables.slow.mean: .*_target_: cgrec.variables.TICA.from_file",
    ),
    "a chain too short to correct": (
        [
            *GAUSS,
            "run=runs/short",
            "+levels.l2.corrections=[{_target_: cgrec.corrections.ChainRefinement, offset: 50}]",
        ],
        r"levels.l2.corrections.0: .*chain of 52 sites or more \(offset=50\), found",
    ),
    "a level of one site": (
        [*GAUSS, "run=runs/one", "levels.l3.mapping.sites=[B0]", "levels.l3.variables={}"],
        "levels.l3.mapping: expected two sites or more, found one",
    ),
}
WRONG["broken recipe"] = (["climb", *TINY, "run=half"], "half/config.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG)
def test_wrong_command_line_is_told_in_one_line(case, place, capsys):
    arguments, thing = WRONG[case]
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    said = str(stop.value)
    assert said not in ("1", "2"), "an exit code alone tells nobody anything"
    assert stop.value.code in (said, 2)  # text is printed, and the status is then 1
    assert said.startswith("cgrec: ") and "\n" not in said and "Traceback" not in said
    assert re.search(thing, said), said
    assert "a fault of cgrec" not in said, said


@pytest.mark.parametrize("words", [["climbb"], ["climb", "--frobnicate"], ["check", "a_word"]])
def test_wrong_usage_has_a_status_of_its_own(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("cgrec: ")


def test_debug_shows_the_traceback(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="no such run"):
        main(["report", "run=nowhere", "--debug"])
    assert "Traceback" in capsys.readouterr().err


class SamplingStopped(RuntimeError):
    """As of the sources."""


def _torch_error():
    with pytest.raises(RuntimeError) as raised:
        torch.linalg.cholesky(-torch.eye(2))
    return raised.value


def _missing(package):
    with pytest.raises(ImportError) as raised:
        __import__(package)
    return raised.value


FULL = "[enforce fail at inline_container.cc:672] . unexpected pos 30528 vs 30416"
#: Errors as the system and other packages raise them, and what the line must say.
FOREIGN = [
    (
        OSError(errno.ENOSPC, "No space left on device", "runs/x/level1/frames.npy"),
        "runs/x/level1/frames.npy.*disk is full",
    ),
    (OSError(errno.ENOSPC, "No space left on device"), "runs/mine: the disk is full"),
    (OSError(errno.EDQUOT, "Quota exceeded", "a"), "a: your quota"),
    (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: expected leave"),
    (OSError(errno.EROFS, "Read-only file system", "a/b"), "a/b: .*read-only"),
    (FileNotFoundError(errno.ENOENT, "No such file", "a/b"), "a/b: expected a file"),
    (RuntimeError(FULL), "runs/mine: .*disk is full"),
    (RuntimeError("PytorchStreamReader failed finding central directory"), "runs/mine: .*pt file"),
    (AssertionError("Torch not compiled with CUDA enabled"), "device: expected a GPU.*device=cpu"),
    (
        RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8e12 bytes"
        ),
        "not enough memory",
    ),
    (MemoryError(), "not enough memory"),
    (np.linalg.LinAlgError("Singular matrix"), "runs/mine: a matrix"),
    (EOFError("No data left in file"), "runs/mine: a file ends"),
    (KeyError("site 'Q': expected one of A, B"), "^site 'Q': expected"),
    (KeyError("abc"), "a fault of cgrec.*KeyError.*--debug"),
    (SamplingStopped("the run stopped: no. 3 frames are kept"), "^the run stopped"),
    (TypeError("unsupported operand"), "a fault of cgrec.*TypeError.*--debug"),
    (ZeroDivisionError("division by zero"), "a fault of cgrec.*ZeroDivisionError"),
    (ValueError("two\n  lines"), "^two lines$"),
    (
        ImportError("OpenMM is needed: pip install 'cgrec[openmm]'"),
        "^OpenMM is needed: pip install 'cgrec",
    ),
    (
        ModuleNotFoundError("No module named 'openmm'", name="openmm"),
        r"pip install 'cgrec\[openmm\]'",
    ),
    (
        ModuleNotFoundError("No module named 'lightning.fabric'", name="lightning.fabric"),
        r"pip install 'cgrec\[distributed\]'",
    ),
]


@pytest.mark.parametrize(
    "error, thing", FOREIGN, ids=lambda x: type(x).__name__ if isinstance(x, Exception) else ""
)
def test_errors_of_others_are_put_into_words(error, thing):
    line = told(error, "runs/mine")
    assert re.search(thing, line) and "\n" not in line, line


def test_errors_that_torch_really_raises():
    assert "a matrix" in told(_torch_error(), "runs/mine")
    assert "pip install 'surely_not_there'" in told(_missing("surely_not_there"))
    with pytest.raises(Exception) as raised:
        torch.zeros(10**15)
    assert "not enough memory" in told(raised.value)


@pytest.mark.parametrize(
    "raised, code, words",
    [(KeyboardInterrupt(), 130, "same command goes on"), (BrokenPipeError(), 141, "")],
    ids=["stopped", "pipe"],
)
def test_stopped(raised, code, words, monkeypatch, capsys):
    def stop(arguments):
        raise raised

    monkeypatch.setattr("cgrec.commands.climb.climb", stop)
    before = sys.stdout
    monkeypatch.setattr(sys, "stdout", before)
    with pytest.raises(SystemExit) as stopped:
        main(["climb"])
    if sys.stdout is not before:  # where nobody listens any more
        sys.stdout.close()
    said = capsys.readouterr().err
    assert stopped.value.code == code and words in said and "Traceback" not in said


NAMES = [
    "a=b.npz",
    "run(1).npz",
    "a,b.npz",
    "it's.npz",
    "f[1].npz",
    "[1].npz",
    "a#b.npz",
    "my file.npz",
    "ö ü ß.npz",
    "水.npz",
    "a{b}.npz",
    "a&b;c.npz",
    "a!b?.npz",
    "007",
    "1e5",
    "true",
    "a:b.npz",
    "100%.npz",
    "back\\slash.npz",
    'quo"te.npz',
    "a@b.npz",
    "(x).npz",
    "tail\\",
]


@pytest.mark.parametrize("name", NAMES)
def test_paths_are_taken_as_they_are_written(name, tmp_path):
    """Also where the file is not there, so that the error names it rather than hydra's grammar."""
    given = [f"source.path={name}", f"run={tmp_path}/{name}/run"]
    config = composed(["experiment=nacl", *given])
    assert config.source.path == name and config.run == f"{tmp_path}/{name}/run"
    assert composed(["experiment=nacl", f'source.path="{tmp_path}"']).source.path == str(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a=b (1), it's [x] # ö"])
def test_a_run_in_a_folder_of_any_name(name, tmp_path):
    """Through a whole climb, its report, and our own commands."""
    run = tmp_path / name
    main(["climb", *TINY, f"run={run}"])
    main(["report", f"run={run}"])
    assert (run / "report.html").exists()


def test_hydra_keeps_its_own_signs():
    config = composed(
        [
            "experiment=gaussian_chain",
            "variables={ends: [B0, B3]}",
            "source.bond=0.4",
            "run=runs/${name}",
        ]
    )
    assert (
        config.variables.ends == ["B0", "B3"]
        and config.source.bond == 0.4
        and config.run == "runs/gaussian_chain"
    )
    assert composed(["experiment=nacl", "source.topology=null"]).source.topology is None


@pytest.mark.slow
def test_a_climb_that_ends_by_an_error_leaves_the_report_of_what_is_finished(
    place, monkeypatch, capsys
):
    def lost(*arguments, **options):
        raise AllLost("all 4 replicas were lost before a frame could be kept.")

    monkeypatch.setattr(Langevin, "__call__", lost)
    with pytest.raises(SystemExit, match="all 4 replicas were lost"):
        main(["climb", *TINY, "run=runs/ended"])
    assert "report: runs/ended/report.html" in capsys.readouterr().out
    assert "level 0" in (place / "runs" / "ended" / "report.html").read_text()
