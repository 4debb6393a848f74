"""A level as a folder that torch-sim runs: `cgrec export torch_sim`."""

from __future__ import annotations

from pathlib import Path

from ..files import write_text
from ..frames import Frames
from ..potential import Potential
from ..ranges import expect
from .marks import exports
from .model_folder import check_of, write_model
from .new_folder import filled, refuse_existing


@exports(then="run it with python {0}/run.py (needs cgrec and torch-sim: cgrec[torch_sim])")
def write_torch_sim(
    potential: Potential,
    frames: Frames,
    folder: str | Path,
    *,
    timestep: float = 0.002,
    friction: float = 1.0,
    steps: int = 100_000,
    save_every: int = 1000,
    seed: int = 1,
    copies: int = 16,
) -> Path:
    """Write `folder`: run.py, which is Langevin dynamics in torch-sim of copies of the last frame,
    side by side, with potential.pt and start/ (Frames), which it reads; and check.json, that frame's
    energy and forces by cgrec.

    Args:
        potential: any.
        frames: of the System it is for; the last one is where all copies start, its temperature the
            run's.
        folder: to be made.
        timestep: ps.
        friction: 1/ps.
        steps: of the run.
        save_every: steps between frames.
        seed: of velocities and noise.
        copies: that run side by side.

    Raises:
        FileExistsError: `folder` exists.
        ValueError: a number makes no sense.
    """
    folder = refuse_existing(folder)
    expect("torch-sim export", above=0, timestep=timestep, friction=friction)
    expect("torch-sim export", at_least=1, steps=steps, save_every=save_every)
    expect("torch-sim export", at_least=1, seed=seed, copies=copies)
    numbers = {
        "STEPS": steps,
        "SAVE_EVERY": save_every,
        "TIMESTEP": float(timestep),
        "FRICTION": float(friction),
        "SEED": seed,
        "COPIES": copies,
    }
    settings = "\n".join(f"{name} = {value!r}" for name, value in numbers.items())
    with filled(folder) as partial:
        write_model(partial, potential, frames, None)
        write_text(partial / "check.json", check_of(potential, frames))
        write_text(partial / "run.py", _SCRIPT.replace("SETTINGS", settings))
    return folder


_SCRIPT = '''"""Langevin dynamics of a level of cgrec in torch-sim; written by cgrec export torch_sim.

python run.py leaves copy0.h5, copy1.h5, ... here, trajectories of torch-sim.
Needs cgrec and torch-sim 0.3: pip install "cgrec[torch_sim]"
"""

from pathlib import Path

import torch
import torch_sim

import cgrec
from cgrec.export.ase import atoms_of
from cgrec.export.torch_sim import SitesModel

# steps, steps, ps, 1/ps
SETTINGS

here = Path(__file__).parent
potential = cgrec.Potential.load(here / "potential.pt")
start = cgrec.Frames.load(here / "start")
model = SitesModel(potential, start.system)
atoms = [atoms_of(start) for _ in range(COPIES)]
state = torch_sim.io.atoms_to_state(atoms, model.device, model.dtype)
state.masses = torch.tensor(start.system.masses, dtype=model.dtype).repeat(COPIES)
torch_sim.integrate(
    system=state,
    model=model,
    integrator=torch_sim.nvt_langevin,
    n_steps=STEPS,
    temperature=start.temperature,
    timestep=TIMESTEP,
    gamma=FRICTION / torch_sim.units.MetalUnits.time,
    seed=SEED,
    trajectory_reporter={
        "filenames": [here / f"copy{k}.h5" for k in range(COPIES)],
        "state_frequency": SAVE_EVERY,
    },
)
'''
