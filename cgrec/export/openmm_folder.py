"""A level as a folder that runs in OpenMM: `cgrec export openmm`.

OpenMM has no form for a network of cgrec, and its own forces none for a sum of splines and priors that
is exact. So the system is made when the script runs, by `openmm_system`: it needs cgrec and OpenMM 8.4
or later (`pip install "cgrec[openmm]"`), and nothing of the run the level is from.
"""

from __future__ import annotations

from pathlib import Path

from ..files import write_text
from ..frames import Frames
from ..io import write
from ..potential import Potential
from ..ranges import expect
from .marks import exports
from .model_folder import write_model
from .new_folder import KeepGuard, filled, refuse_existing


@exports(guard=True, then="run it with python {0}/run.py (needs cgrec and OpenMM 8.4 or later)")
def write_openmm(
    potential: Potential,
    frames: Frames,
    folder: str | Path,
    keep_guard: KeepGuard | None = None,
    *,
    timestep: float = 0.002,
    friction: float = 1.0,
    steps: int = 100_000,
    save_every: int = 1000,
    seed: int = 1,
) -> Path:
    """Write `folder`: run.py, which is Langevin dynamics in OpenMM from the last frame, with
    potential.pt, start/ (Frames), topology.pdb and guard.npz, which it reads.

    Args:
        potential: any.
        frames: of the System it is for; the last one is where the run starts, its temperature the
            run's.
        folder: to be made.
        keep_guard: writes the guard of the potential; None where it has none.
        timestep: ps.
        friction: 1/ps.
        steps: of the run.
        save_every: steps between frames of run.dcd.
        seed: of velocities and noise.

    Raises:
        FileExistsError: `folder` exists.
        ValueError: a number makes no sense.
    """
    folder = refuse_existing(folder)
    expect("OpenMM export", above=0, timestep=timestep, friction=friction)
    expect("OpenMM export", at_least=1, steps=steps, save_every=save_every, seed=seed)
    numbers = {
        "STEPS": steps,
        "SAVE_EVERY": save_every,
        "TIMESTEP": float(timestep),
        "FRICTION": float(friction),
        "SEED": seed,
    }
    settings = "\n".join(f"{name} = {value!r}" for name, value in numbers.items())
    with filled(folder) as partial:
        last = write_model(partial, potential, frames, keep_guard)
        write(last, partial / "topology.pdb")
        write_text(partial / "run.py", _SCRIPT.replace("SETTINGS", settings))
    return folder


_SCRIPT = '''"""Langevin dynamics of a level of cgrec in OpenMM; written by cgrec export openmm.

python run.py leaves run.dcd and run.csv here: vmd topology.pdb run.dcd
Needs cgrec and OpenMM 8.4 or later: pip install "cgrec[openmm]"
Another integrator, a barostat or a bias: change what stands below. A remark says once when a
configuration lies outside of what the model was trained on, if guard.npz is here.
"""

from pathlib import Path

from openmm import LangevinMiddleIntegrator, app, unit

import cgrec
from cgrec.dynamics.guard_file import load_guard
from cgrec.export.openmm import openmm_system

# steps, steps, ps, 1/ps
SETTINGS

here = Path(__file__).parent
potential = cgrec.Potential.load(here / "potential.pt")
start = cgrec.Frames.load(here / "start")
guard = None
if (here / "guard.npz").exists():
    guard = load_guard(here / "guard.npz", potential)
box = None if start.box is None else start.boxes()[0]
system = openmm_system(potential, start.system, box, guard=guard)
topology = app.PDBFile(str(here / "topology.pdb")).topology
if box is not None:
    topology.setPeriodicBoxVectors(box * unit.nanometer)
integrator = LangevinMiddleIntegrator(
    start.temperature * unit.kelvin, FRICTION / unit.picosecond, TIMESTEP * unit.picosecond
)
integrator.setRandomNumberSeed(SEED)
simulation = app.Simulation(topology, system, integrator)
simulation.context.setPositions(start.positions[0])
simulation.context.setVelocitiesToTemperature(start.temperature * unit.kelvin, SEED)
simulation.reporters = [
    app.DCDReporter(str(here / "run.dcd"), SAVE_EVERY),
    app.StateDataReporter(
        str(here / "run.csv"), SAVE_EVERY, step=True, potentialEnergy=True, temperature=True
    ),
]
simulation.step(STEPS)
'''
