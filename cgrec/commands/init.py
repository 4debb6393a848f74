"""look at your own files and write an experiment for them, which cgrec climb runs"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ..io import read as read_files
from ..options import described, options_of, read
from ..setup import init as init_from_files

_HELP = """cgrec init FILES: look at your own files and write an experiment for them, with a comment for every choice

FILES: a trajectory with forces (TRR, H5MD, LAMMPS dump, Amber NetCDF, extended XYZ, npz, npy ...) or several
runs of one system, with the file that says what the sites are (TPR, PDB, GRO, PSF, prmtop ...) beside them;
or the structure of a peptide or protein with hydrogens (PDB), to be run in a force field;
or another molecule (PDB, SDF, or its SMILES in a file .smi), whose energy is learned from quantum chemistry.

Options, as key=value:
{options}

Beside these every keyword of cgrec.read: {reading}.

Example:
    cgrec init traj.trr topol.tpr temperature=400
    cgrec climb mine.yaml
"""


def init(arguments: list[str]) -> None:
    """Write an experiment for files of one's own; `explain` says how."""
    files = [word for word in arguments if _is_file(word)]
    words = [word for word in arguments if word not in files]
    own = options_of(init_from_files)
    keys = {option.word for option in own}
    reading = _reading([word for word in words if word.partition("=")[0] not in keys])
    if not files:
        raise ValueError(
            "cgrec init: expected files, found none; give a trajectory with forces and what says "
            "what its sites are, such as traj.trr topol.tpr"
        )
    given = read("cgrec init", [w for w in words if w.partition("=")[0] in keys], own)
    print(init_from_files(files, **given, **reading))


def explain(words: list[str]) -> str:
    """What --help says."""
    return _HELP.format(
        options=described(options_of(init_from_files)), reading=", ".join(_keywords(read_files))
    ).rstrip()


def _is_file(word: str) -> bool:
    """Whether it is a path and no key=value; a path may hold = itself."""
    return "=" not in word or Path(word).exists()


def _reading(words: list[str]) -> dict[str, Any]:
    """Keywords of `cgrec.read`; values as YAML has them.

    Raises:
        ValueError: it has no such keyword, with the nearest; a value that is no YAML.
    """
    known = _keywords(read_files)
    found: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        if key not in known:
            every = [*(option.word for option in options_of(init_from_files)), *known]
            near = get_close_matches(key, every, 1)
            raise ValueError(
                f"cgrec init: expected keys {', '.join(every)}, found {key}"
                + (f"; did you mean {near[0]}=?" if near else "")
            )
        try:
            found[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(
                f"cgrec init: expected {key}= a value as YAML has it, found {text!r}"
            ) from error
    return found


def _keywords(function: Callable[..., object]) -> list[str]:
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "temperature"
    ]
