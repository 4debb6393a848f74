"""ASE calculators by name, in this interpreter or in another one.

Some packages cannot be installed beside cgrec: mace-torch wants e3nn 0.4.4 exactly. Their
calculators run in an environment of their own, which needs ase and the package, not cgrec.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from ..files import Json

_WORKER = Path(__file__).with_name("worker.py")


def make_calculator(
    name: str, arguments: Mapping[str, object], python: str | None = None
) -> Calculator:
    """The calculator that "module:callable" makes of `arguments`.

    Args:
        name: "module:callable".
        arguments: plain values; lists become tuples.
        python: path of the interpreter it runs in; None: this one.

    Raises:
        ValueError: it cannot be imported or made there.
        FileNotFoundError: no such interpreter.
    """
    if python:
        return ForeignCalculator(python, name, arguments)
    module, _, callable_name = name.partition(":")
    try:
        make = getattr(import_module(module), callable_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"calculator: {name!r} cannot be imported ({error}); expected 'module:callable', "
            "e.g. 'tblite.ase:TBLite', of an "
            "installed package, or python= the interpreter that has it"
        ) from error
    return make(**{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()})


class ForeignCalculator(Calculator):
    """A calculator that computes in a process of another interpreter.

    Args:
        python: path of the interpreter.
        name: "module:callable", imported there.
        arguments: of the callable; plain values.

    Raises:
        FileNotFoundError: no such interpreter.
        ValueError: the calculator cannot be made there; the message says what that interpreter
            said.
    """

    implemented_properties = ["energy", "forces"]

    def __init__(self, python: str, name: str, arguments: Mapping[str, object]) -> None:
        self._process: subprocess.Popen[str] | None = None
        super().__init__()
        self.python = str(Path(python).expanduser())
        self.calculator = name
        if shutil.which(self.python) is None:
            raise FileNotFoundError(
                "python: expected a Python interpreter that can be run, found none at "
                f"{python}; it is bin/python of the "
                "environment that has the calculator"
            )
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the process)
        self._process = self._started()
        weakref.finalize(self, _end, self._process, self._said)
        answer = self._ask({"make": name, "arguments": dict(arguments)})
        self.parameters = dict(arguments)
        self.kind = answer["made"]

    def _started(self) -> subprocess.Popen[str]:
        # Variables of this environment would bring its packages into the other one.
        own = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        return subprocess.Popen(
            [self.python, str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={k: v for k, v in os.environ.items() if k not in own},
        )

    def _ask(self, request: Mapping[str, object]) -> Json:
        """The worker's answer.

        Raises:
            ValueError: the calculator could not be made. CalculationFailed: it failed, or its
                process ended.
        """
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            answer: Json = {
                "error": self._last_words(process.wait()),
                "where": "make" if "make" in request else "calculate",
            }
        else:
            answer = json.loads(line)
        if "error" not in answer:
            return answer
        said = f"{self.calculator} in {self.python}: {answer['error']}"
        if answer["where"] == "make":
            raise ValueError(
                f"{said}; expected 'module:callable' of a package installed there: "
                f"{self.python} -m pip install ase and the "
                "package of the calculator"
            )
        raise CalculationFailed(said)

    def _last_words(self, code: int) -> str:
        self._said.seek(0)
        words = [line.strip() for line in self._said.read().splitlines() if line.strip()]
        return (
            f"its process ended with code {code}, and said last: "
            f"{words[-1] if words else 'nothing'}"
        )

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy", "forces"),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Energy in eV and forces in eV/angstrom of `atoms`, from the other interpreter."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # it has taken them
        answer = self._ask(
            {
                "numbers": self.atoms.numbers.tolist(),
                "positions": self.atoms.positions.tolist(),
                "cell": self.atoms.cell.array.tolist() if self.atoms.pbc.any() else None,
            }
        )
        self.results = {"energy": answer["energy"], "forces": np.array(answer["forces"])}

    def reset(self) -> None:
        """Forget results here and there."""
        super().reset()
        if self._process is not None:
            self._ask({"forget": True})


def _end(process: subprocess.Popen[str], said: IO[str]) -> None:
    """End the worker: its stdin closes, and it leaves by itself."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # it had left before it read the last request
            process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
    said.close()
