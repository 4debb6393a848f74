"""Calculators in an interpreter of their own: an environment that has ase and numpy, and neither
cgrec nor torch.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import CalculationFailed
from ase.calculators.emt import EMT

from cgrec.cli import main
from cgrec.io import read
from cgrec.sources import CalculatorSource, Labeller
from cgrec.sources.calculators import ForeignCalculator, _end, make_calculator
from cgrec.sources.nnp.labelling import cores

NAME = "ase.calculators.emt:EMT"
#: A calculator as people write them: it prints, it has a state, it fails for one element, and it
#: can die.
THEIRS = """
import os, sys
from ase.calculators.emt import EMT

class Theirs(EMT):
    def __init__(self, shift=0.0, pair=()):
        super().__init__()
        assert isinstance(pair, tuple), "a list"
        self.shift = shift

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        print("computing", flush=True)
        os.system("echo from a program")
        if "Ag" in atoms.get_chemical_symbols():
            raise RuntimeError("SCF did not converge")
        if "Au" in atoms.get_chemical_symbols():
            print("segmentation violation", file=sys.stderr, flush=True)
            os._exit(7)
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] += self.shift
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """bin/python of a fresh environment that sees ase, numpy and scipy of this one, and nothing
    else of it.
    """
    folder = tmp_path_factory.mktemp("other")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    shared, here = folder / "shared", Path(sysconfig.get_paths()["purelib"])
    shared.mkdir()
    for name in ("ase", "numpy", "numpy.libs", "scipy", "scipy.libs"):
        if (here / name).exists():
            (shared / name).symlink_to(here / name)
    (shared / "theirs.py").write_text(THEIRS)
    packages = next((folder / "env").glob("lib/python*/site-packages"))
    (packages / "shared.pth").write_text(str(shared))
    return str(folder / "env" / "bin" / "python")


@pytest.fixture
def copper(tmp_path):
    """Path of four copper atoms in an open system."""
    path = tmp_path / "copper.pdb"
    Atoms("Cu4", [[0, 0, 0], [2.5, 0, 0], [0, 2.5, 0], [0, 0, 2.5]]).write(path)
    return path


def test_the_environment_is_another_one(python):
    for package in ("cgrec", "torch"):
        done = subprocess.run(
            [python, "-c", f"import {package}"], capture_output=True, cwd="/", env={}, check=False
        )
        assert done.returncode != 0


@pytest.mark.parametrize("box", [None, [6.0, 6.5, 7.0]])
def test_same_numbers_as_here_to_the_last_bit(box, python):
    atoms = Atoms(
        "Cu4", [[0, 0, 0], [2.5, 0, 0], [0, 2.5, 0], [0, 0, 2.5]], cell=box, pbc=box is not None
    )
    here, there = atoms.copy(), atoms.copy()
    here.calc, there.calc = EMT(), ForeignCalculator(python, NAME, {})
    for _ in range(2):
        assert here.get_potential_energy() == there.get_potential_energy()
        assert np.array_equal(here.get_forces(), there.get_forces())
        for one in (here, there):
            one.positions[0] += 0.1


def source(copper, **more):
    settings = {
        "structure": copper,
        "temperature": 300,
        "n_frames": 4,
        "stride": 2,
        "equilibration": 2,
    }
    return CalculatorSource(calculator=NAME, **settings, **more)


def test_source_runs_there_as_here(python, copper, tmp_path):
    here = source(copper).make(tmp_path / "here", 3)
    there = source(copper, python=python).make(tmp_path / "there", 3)
    assert np.array_equal(here.positions, there.positions) and np.array_equal(
        here.forces, there.forces
    )
    assert np.array_equal(here.energies, there.energies)


@pytest.mark.slow
def test_labeller_labels_there_as_here(python, copper):
    frames = read(copper, temperature=300, check_units=False)
    x = np.repeat(frames.positions, 3, 0) + 0.01 * np.arange(3)[:, None, None] * np.eye(4, 3)
    found = [
        Labeller(NAME, {}, 1, python=where).label(frames.system, x, 300.0)
        for where in (None, python)
    ]
    assert (
        np.array_equal(found[0][0].forces, found[1][0].forces) and found[0][1] == found[1][1] == 0
    )
    assert np.array_equal(found[0][0].energies, found[1][0].energies)


def test_what_a_calculator_prints_is_no_answer(python):
    atoms = Atoms("Cu2", [[0, 0, 0], [2.5, 0, 0]])
    atoms.calc = ForeignCalculator(python, "theirs:Theirs", {"shift": 1.5, "pair": [1, 2]})
    first = atoms.get_potential_energy()
    atoms.calc = EMT()
    assert first == pytest.approx(atoms.get_potential_energy() + 1.5, abs=1e-12)


@pytest.mark.parametrize(
    "element, thing",
    [
        ("Ag", "theirs:Theirs in .*RuntimeError: SCF did not"),
        ("Au", "code 7.*segmentation violation"),
    ],
)
def test_failures_there_arrive_in_words(element, thing, python):
    atoms = Atoms(f"{element}2", [[0, 0, 0], [2.5, 0, 0]])
    atoms.calc = ForeignCalculator(python, "theirs:Theirs", {})
    with pytest.raises(CalculationFailed, match=thing):
        atoms.get_forces()


@pytest.mark.parametrize(
    "name, arguments, thing",
    [
        ("nopackage:Thing", {}, "nopackage.*-m pip install"),
        ("ase.calculators.emt:Nothing", {}, "Nothing"),
        ("theirs:Theirs", {"wrong": 1}, "wrong|argument"),
        ("theirs", {}, "theirs"),
    ],
)
def test_what_cannot_be_made_there_is_refused(name, arguments, thing, python):
    with pytest.raises(ValueError, match=thing):
        make_calculator(name, arguments, python)


@pytest.mark.parametrize("wrong", ["/nowhere/python", "", __file__, os.path.dirname(__file__)])
def test_no_interpreter(wrong):
    with pytest.raises(
        (FileNotFoundError, PermissionError), match="python: expected a Python interpreter"
    ):
        ForeignCalculator(wrong, NAME, {})


def test_a_program_that_is_no_python():
    with pytest.raises(ValueError, match="its process ended with code"):
        ForeignCalculator("/bin/false", NAME, {})


def test_a_worker_that_has_left_is_ended_without_a_word(tmp_path):
    """What it did not read is lost with it, and says nothing when its pipe is closed."""
    process = subprocess.Popen(
        ["/bin/false"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.wait()
    process.stdin.write("a request that nobody reads")
    with (tmp_path / "said").open("w+") as said:
        _end(process, said)
        assert process.stdin.closed and process.stdout.closed and said.closed


def test_from_the_command_line(python, copper, tmp_path):
    """A program is started where the user names it, not where a YAML does (tests/configuration/test_targets.py)."""
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [{/source: calculator}, _self_]\nname: mine\nlevels: {}\n"
        f"source: {{structure: {copper}, n_frames: 2, stride: 1, equilibration: 1, calculator: "
        f"{NAME!r}}}\n"
    )
    command = [
        "climb",
        "--config-dir",
        str(tmp_path / "own"),
        "experiment=mine",
        f"run={tmp_path}/run",
    ]
    main([*command, "source.calculator_arguments=null", f"source.python={python}"])
    assert (tmp_path / "run" / "level0" / "frames").exists()


def test_cores_without_affinity(monkeypatch):
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores() == os.cpu_count()
