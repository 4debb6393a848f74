"""`init`: look at somebody's files and write an experiment for them.

files       trajectories, topology, structure; the temperature that forces imply
molecules   one molecule whose energy is learned from quantum chemistry
experiment  what is chosen for them, by the rooms below
kinds       what molecules there are, which of them is the solvent
ladder      the sites of each level
slow        what a level is compared in
sizes       reach, time step, batch, replicas, priors, corrections
better      what would be better data
cost        minutes a level, from a few steps on this machine
times       minutes of a whole climb, level 0 of a bare structure included
writing     the YAML
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..ranges import expect
from .files import sample_of

__all__ = ["init"]

#: {goal: (minutes that all levels may take, factor of the length of runs)}.
GOALS = {"quick": (8.0, 1.0), "good": (120.0, 10.0)}


def init(
    files: str | Path | Sequence[str | Path],
    *,
    topology: str | Path | None = None,
    temperature: float | None = None,
    goal: str = "quick",
    to: str | Path = "mine.yaml",
    timing: bool = True,
    charge: int | None = None,
    **reading: object,
) -> str:
    """Write an experiment for somebody's own data; returns what was found and chosen.

    Args:
        files: a trajectory with forces, or several runs of one system, with the topology and a
            second file of forces among them or as options; or the structure of a peptide or protein
            with hydrogens, to be run in a force field; or another molecule (PDB, SDF, or a file with
            its SMILES), whose energy is learned from quantum chemistry.
        topology: file that says what the sites are.
        temperature: K, of the run; None: of the file, else what the forces imply.
        goal: "quick", minutes on two cores, or "good", an hour or two.
        to: YAML to be made; `cgrec climb TO` runs it.
        timing: time a few steps of each level on this machine, and fit the sizes to the goal.
        charge: e, of a molecule whose energy is learned; None: that of the file, else 0.
        **reading: other keywords of `cgrec.read`: forces_path, length_unit, species ...

    Raises:
        FileExistsError: there is such a YAML already.
        ValueError: an unknown goal; files that cannot be what they are said to be, as `cgrec.read`;
            no forces, no temperature.
    """
    path = Path(to).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"to: expected a name that ends in .yaml, found {to}; give to={to}.yaml")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"to: expected the folder {path.parent}, found none; make it first")
    if temperature is not None:
        expect("cgrec init", above=0, temperature=temperature)
    if path.exists():
        raise FileExistsError(
            f"{path}: expected a file that is not there yet, found one, which would be lost; give "
            "another to=, or move it away"
        )
    if goal not in GOALS:
        raise ValueError(f"goal: expected one of {', '.join(GOALS)}, found {goal!r}")
    listed = [files] if isinstance(files, str | Path) else list(files)
    for file in map(Path, listed):
        if not file.suffix and not file.exists():
            raise FileNotFoundError(
                f"{file}: expected a file, found none; if this is a SMILES, write it into a file .smi"
            )
    sys.stderr.write(f"cgrec init: reading {', '.join(map(str, listed))}\n")
    sample = sample_of(listed, topology, temperature, dict(reading), path, charge)
    from .experiment import experiment  # torch takes seconds to import, and a wrong file none

    return experiment(path, sample, *GOALS[goal], timing)
