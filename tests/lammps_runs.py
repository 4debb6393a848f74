"""Real LAMMPS on a folder that was exported."""

import subprocess

import numpy as np
import pytest

from cgrec.export import lammps_command
from cgrec.units import ENERGY


def command(ranks):
    try:
        return lammps_command(ranks)
    except ModuleNotFoundError as missing:
        pytest.skip(str(missing))


def run(folder, script, ranks=1, *options):
    """stdout of LAMMPS."""
    start, environment = command(ranks)
    done = subprocess.run(
        [*start, "-in", script, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and "ERROR" not in done.stdout, (
        done.stdout[-2000:] + done.stderr[-2000:]
    )
    return done.stdout


def lammps(folder, ranks):
    """Energy in kJ/mol and forces in kJ/mol/nm of the exported frame."""
    setup = (folder / "run.in").read_text().split("velocity")[0]
    (folder / "once.in").write_text(
        setup + "thermo_style custom step pe\nthermo_modify format float %.16g\n"
        "dump forces all custom 1 forces.txt id fx fy fz\ndump_modify forces sort id format "
        "float %.16g\nrun 0\n"
    )
    said = run(folder, "once.in", ranks).splitlines()
    grid = next(line for line in said if "MPI processor grid" in line).split()
    assert int(grid[0]) * int(grid[2]) * int(grid[4]) == ranks
    energy = float(said[next(k for k, line in enumerate(said) if "PotEng" in line) + 1].split()[1])
    kcal = ENERGY["kcal/mol"]
    return energy * kcal, np.loadtxt(folder / "forces.txt", skiprows=9)[:, 1:] * 10 * kcal
