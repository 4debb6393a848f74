"""An ASE calculator in an interpreter of its own: what `calculators.ForeignCalculator` starts
there.

This file is all of cgrec that the other interpreter sees. It needs ase and numpy, and talks in
lines of json: requests on stdin, one answer each on what was stdout. Units are ASE's: eV,
eV/angstrom, angstrom.

    {"make": "module:callable", "arguments": {...}}    -> {"made": name of its class}
    {"numbers": [...], "positions": [...], "cell": [...] or null}
                                                       -> {"energy": E, "forces": [[...], ...]}
    {"forget": true}                                   -> {"forgotten": true}

Whatever goes wrong is answered by {"error": sentence, "where": "make" or "calculate"}.
"""

import json
import os
import sys

# The folder of this file would hide packages that are called like its neighbours, e.g. openmm.
sys.path[:] = [
    p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))
]


def main():
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what calculators print must not end up among the answers
    state = {"calculator": None, "atoms": None}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = answered(request, state)
        except Exception as error:  # calculators fail each in their own way
            where = "make" if "make" in request else "calculate"
            answer = {"error": f"{type(error).__name__}: {error}", "where": where}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def answered(request, state):
    """The answer to one request; `state` holds the calculator and the atoms of the last one."""
    if "make" in request:
        state["calculator"] = make(request["make"], request["arguments"])
        return {"made": type(state["calculator"]).__name__}
    if "forget" in request:
        state["atoms"] = None
        forget(state["calculator"])
        return {"forgotten": True}
    atoms = atoms_of(request, state)
    return {"energy": float(atoms.get_potential_energy()), "forces": atoms.get_forces().tolist()}


def make(name, arguments):
    """The calculator that "module:callable" makes."""
    from importlib import import_module

    module, _, callable_name = name.partition(":")
    # json has no tuples, and some calculators take nothing else
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}
    return getattr(import_module(module), callable_name)(**arguments)


def atoms_of(request, state):
    """Atoms as asked for, the same object as before where only positions moved."""
    from ase import Atoms

    cell = request["cell"]
    if state["atoms"] is None or state["atoms"].numbers.tolist() != request["numbers"]:
        state["atoms"] = Atoms(numbers=request["numbers"], positions=request["positions"])
        state["atoms"].calc = state["calculator"]
    state["atoms"].set_cell(cell if cell is not None else [0, 0, 0])
    state["atoms"].set_pbc(cell is not None)
    state["atoms"].set_positions(request["positions"])
    return state["atoms"]


def forget(calculator):
    """Drop cached results and starting guesses."""
    if hasattr(calculator, "reset"):
        calculator.reset()
    if getattr(calculator, "_res", None) is not None:  # tblite keeps its wavefunction past a reset
        calculator._res = None


if __name__ == "__main__":
    main()
