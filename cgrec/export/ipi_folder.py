"""A level as a folder that i-PI runs: `cgrec export ipi`.

i-PI (M. Ceriotti, J. More, D. E. Manolopoulos, Comput. Phys. Commun. 185, 1019, 2014) moves sites and
asks a client for forces by a socket. The client here is that of ASE with the potential itself, so
nothing is lost. A PMF is a classical free energy: input.xml has one bead for each site.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np

from ..files import write_text
from ..frames import Frames
from ..potential import Potential
from ..ranges import expect
from ..units import length_factor
from .marks import exports
from .model_folder import check_of, write_model
from .new_folder import KeepGuard, filled, refuse_existing

ANGSTROM, BOHR = length_factor("angstrom"), length_factor("bohr")
#: Angstrom of the box that an open system is given: i-PI wants one, and the client leaves it out.
OPEN = 1e4


@exports(guard=True, then="run it with bash {0}/run.sh (needs i-PI: pip install ipi)")
def write_ipi(
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
    pressure: bool = False,
) -> Path:
    """Write `folder`: input.xml, which is Langevin dynamics in i-PI from the last frame, client.py,
    which gives it the forces, run.sh, which starts both, and check.json, that frame's energy and
    forces by cgrec.

    Args:
        potential: any.
        frames: of the System it is for; the last one is where the run starts, its temperature the
            run's.
        folder: to be made.
        keep_guard: writes the guard of the potential; None where it has none.
        timestep: ps.
        friction: 1/ps.
        steps: of the run.
        save_every: steps between frames.
        seed: of velocities and noise.
        pressure: give i-PI the virial as well, which costs an energy more at each step: for
            barostats, which are to be put into input.xml.

    Raises:
        FileExistsError: `folder` exists.
        ValueError: a number makes no sense; the pressure of an open system; a box that i-PI does not
            take.
    """
    folder = refuse_existing(folder)
    expect("i-PI export", above=0, timestep=timestep, friction=friction)
    expect("i-PI export", at_least=1, steps=steps, save_every=save_every, seed=seed)
    _check_box(frames, pressure)
    with filled(folder) as partial:
        last = write_model(partial, potential, frames, keep_guard)
        numbers = {
            "STEPS": steps,
            "EVERY": save_every,
            "TIMESTEP": float(timestep),
            "TAU": 1 / friction,
            "SEED": seed,
            "TEMPERATURE": float(frames.temperature),
        }
        text = _filled(_INPUT, {**numbers, **_sites(last)})
        # of the socket, which is in /tmp: runs that differ have different ones
        address = f"cgrec_{sha256(text.encode()).hexdigest()[:12]}"
        write_text(partial / "input.xml", _filled(text, {"ADDRESS": address}))
        about = {"ADDRESS": repr(address), "PRESSURE": pressure}
        write_text(partial / "client.py", _filled(_CLIENT, about))
        write_text(partial / "run.sh", _filled(_RUN, {"ADDRESS": address}))
        write_text(partial / "check.json", check_of(potential, frames))
    return folder


def _check_box(frames: Frames, pressure: bool) -> None:
    """ValueError of the pressure of an open system, and of a box that i-PI does not take."""
    box = frames.boxes()
    if pressure and box is None:
        raise ValueError(
            "i-PI export.pressure: expected false for a system without a box, found true; leave it "
            "out"
        )
    if box is not None and np.triu(box[-1], 1).any():
        raise ValueError(
            "i-PI export: expected a box whose first vector lies along x and whose second in the "
            f"plane of x and y, found {np.asarray(box[-1]).tolist()} nm; turn the frames first"
        )


def _sites(frames: Frames) -> dict[str, str]:
    """Cell, positions, masses and names as input.xml has them."""
    box = frames.boxes()
    cell = OPEN * np.eye(3) if box is None else np.asarray(box[0], float) / ANGSTROM
    return {
        "CELL": _list(cell.T.ravel()),  # i-PI has the vectors as columns
        # in Bohr: i-PI 3.3 reads no unit of positions that stand in its input
        "POSITIONS": _list(np.asarray(frames.positions[0], float).ravel() / BOHR),
        "MASSES": _list(frames.system.masses),
        "LABELS": "[" + ", ".join(_name(kind) for kind in frames.system.types) + "]",
    }


def _list(values: np.ndarray) -> str:
    return "[" + ", ".join(repr(float(value)) for value in values) + "]"


def _name(kind: str) -> str:
    """A site type as i-PI can hold it, four letters or digits at most."""
    return "".join(letter for letter in kind if letter.isalnum())[:4] or "X"


def _filled(text: str, words: Mapping[str, object]) -> str:
    for name, value in words.items():
        text = text.replace(f"@{name}@", str(value))
    return text


_INPUT = """<!-- Langevin dynamics of a level of cgrec in i-PI; written by cgrec export ipi -->
<simulation verbosity='medium'>
  <output prefix='run'>
    <properties stride='@EVERY@' filename='out'>
      [ step, time{picosecond}, temperature{kelvin}, potential{electronvolt}, conserved{electronvolt} ]
    </properties>
    <trajectory filename='pos' stride='@EVERY@' format='xyz' cell_units='angstrom'>
      positions{angstrom}
    </trajectory>
    <checkpoint stride='@EVERY@'/>
  </output>
  <total_steps> @STEPS@ </total_steps>
  <prng> <seed> @SEED@ </seed> </prng>
  <ffsocket name='cgrec' mode='unix' pbc='false'>
    <address> @ADDRESS@ </address>
  </ffsocket>
  <system>
    <initialize nbeads='1'>
      <positions mode='manual'> @POSITIONS@ </positions>
      <labels mode='manual'> @LABELS@ </labels>
      <masses mode='manual' units='dalton'> @MASSES@ </masses>
      <cell mode='manual' units='angstrom'> @CELL@ </cell>
      <velocities mode='thermal' units='kelvin'> @TEMPERATURE@ </velocities>
    </initialize>
    <forces> <force forcefield='cgrec'/> </forces>
    <ensemble> <temperature units='kelvin'> @TEMPERATURE@ </temperature> </ensemble>
    <motion mode='dynamics'>
      <fixcom> False </fixcom>
      <dynamics mode='nvt'>
        <timestep units='picosecond'> @TIMESTEP@ </timestep>
        <thermostat mode='langevin'> <tau units='picosecond'> @TAU@ </tau> </thermostat>
      </dynamics>
    </motion>
  </system>
</simulation>
"""

_CLIENT = '''"""Forces of a level of cgrec for i-PI; written by cgrec export ipi.

python client.py, while i-pi input.xml runs. A remark says once when a configuration lies outside of
what the model was trained on, if guard.npz is here.
"""

from pathlib import Path

from ase.calculators.socketio import SocketClient

import cgrec
from cgrec.dynamics.guard_file import load_guard
from cgrec.export.ase import PotentialCalculator, atoms_of

ADDRESS = @ADDRESS@
PRESSURE = @PRESSURE@

here = Path(__file__).parent
potential = cgrec.Potential.load(here / "potential.pt")
start = cgrec.Frames.load(here / "start")
guard = None
if (here / "guard.npz").exists():
    guard = load_guard(here / "guard.npz", potential)
atoms = atoms_of(start)
atoms.calc = PotentialCalculator(potential, start.system, guard=guard)
SocketClient(unixsocket=ADDRESS).run(atoms, use_stress=PRESSURE)
'''

_RUN = """#!/bin/bash
# i-PI moves the sites, client.py gives it the forces; run.out and run.pos_0.xyz are left here
cd "$(dirname "$0")"
rm -f /tmp/ipi_@ADDRESS@
i-pi input.xml > i-pi.log 2>&1 &
server=$!
while kill -0 $server 2>/dev/null && [ ! -S /tmp/ipi_@ADDRESS@ ]; do sleep 0.2; done
python client.py
wait $server
"""
