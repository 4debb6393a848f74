"""The terms of an OpenMM System as tensors; what `ForceField` cannot compute is refused here, in
words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor

from ...system import System
from .openmm_born import BornTerms, custom_born, native_born
from .terms import ORDERS, BornConfig

if TYPE_CHECKING:
    import openmm

#: amu by which an atom may differ: tables of elements have different digits.
SAME_MASS = 0.1
#: How to make an OpenMM System that can be taken over.
WAY = (
    "make it by createSystem(topology, nonbondedMethod=NoCutoff, constraints=None, "
    "rigidWater=False), with no hydrogenMass, or run it by cgrec.sources.OpenMMSource"
)


class Counts(TypedDict):
    """How many terms of each kind there are; tables and points: of maps; necks: rows of their
    tables.
    """

    bonds: int
    angles: int
    torsions: int
    maps: int
    tables: int
    points: int
    exceptions: int
    necks: int


Terms = list[tuple[tuple[int, ...], list[float]]]  # sites and numbers of each term


def terms_of(
    plain: openmm.System, system: System
) -> tuple[dict[str, Tensor], Counts, BornConfig | None]:
    """Tensors of a `ForceField` by their names, how many terms there are, and the numbers of its
    solvent.

    Raises:
        ValueError: see `ForceField`.
    """
    _check_system(plain, system)
    found = _Found(system.n_sites)
    for force in plain.getForces():
        name = type(force).__name__
        if name not in _READERS:
            raise ValueError(
                f"ForceField: expected forces among {', '.join(sorted(_READERS))}, found "
                f"{name}: take a force field without it, or run it by cgrec.sources.OpenMMSource"
            )
        _READERS[name](force, found)
    _check_bonds([sites for sites, _ in found.bonds], system)
    return found.tensors(), found.counts(), None if found.born is None else found.born.numbers


def _check_system(plain: openmm.System, system: System) -> None:
    n = plain.getNumParticles()
    virtual = [k for k in range(n) if plain.isVirtualSite(k)]
    if virtual:
        raise ValueError(
            f"ForceField: expected atoms, found {len(virtual)} virtual sites, the first is "
            f"particle {virtual[0]}: take a model without them, or run it by "
            "cgrec.sources.OpenMMSource"
        )
    if n != system.n_sites:
        raise ValueError(
            f"ForceField: expected the System of the {n} particles of the OpenMM System, found "
            f"one of {system.n_sites} sites: read both from one structure"
        )
    if plain.getNumConstraints():
        raise ValueError(
            f"ForceField: expected no constraints, found {plain.getNumConstraints()}: OpenMM "
            f"leaves out the bond terms of what it constrains; {WAY}"
        )
    if plain.usesPeriodicBoundaryConditions():
        raise ValueError(f"ForceField: expected a molecule in the open, found a box; {WAY}")
    masses = np.array([plain.getParticleMass(k)._value for k in range(n)])
    off = np.abs(masses - system.masses)
    if off.max() > SAME_MASS:
        worst = int(off.argmax())
        raise ValueError(
            f"ForceField: expected {system.labels[worst]} (site {worst}) of "
            f"{system.masses[worst]:.4g} amu, found {masses[worst]:.4g} amu in the OpenMM "
            f"System: bring both into one order; where masses were repartitioned, {WAY}, and let "
            "Langevin(minimum_mass=12) make hydrogens heavier"
        )


def _check_bonds(terms: Sequence[tuple[int, ...]], system: System) -> None:
    """Compare the bond terms of the OpenMM System with the bonds of `system`: masses agree in many
    wrong orders, bonds in hardly one.

    A term between two atoms bonded to a third is right, too: some force fields hold angles so
    (Urey-Bradley). A System without bonds says nothing, nor does one without bond terms.

    Raises:
        ValueError: a bond without a term, or a term without a bond.
    """
    if not len(system.bonds) or not terms:
        return
    bonds = {(min(i, j), max(i, j)) for i, j in system.bonds.tolist()}
    held = {(min(pair), max(pair)) for pair in terms}
    neighbours: list[set[int]] = [set() for _ in range(system.n_sites)]
    for i, j in bonds:
        neighbours[i].add(j)
        neighbours[j].add(i)
    lacking = sorted(bonds - held)
    foreign = sorted((i, j) for i, j in held - bonds if not neighbours[i] & neighbours[j])
    if not lacking and not foreign:
        return
    i, j = (lacking or foreign)[0]
    pair = f"{system.labels[i]} - {system.labels[j]} (sites {i} and {j})"
    what = (
        f"a bond term for the bond {pair}, found none"
        if lacking
        else f"no bond term between {pair}, which are not bonded, found one"
    )
    more = len(lacking) + len(foreign) - 1
    raise ValueError(
        f"ForceField: expected in the OpenMM System {what}{f' (and {more} more such pairs)' if more else ''}: the atoms of the two "
        "are in another order, or the bonds of one are not those of the other; read both from one "
        "structure"
    )


class _Found:
    """Terms gathered so far."""

    def __init__(self, n_sites: int) -> None:
        self.n_sites = n_sites
        self.bonds: Terms = []
        self.angles: Terms = []
        self.torsions: dict[tuple[int, ...], NDArray[np.float64]] = {}
        self.maps: Terms = []
        self.tables = np.zeros((0, 0, 0, 4))
        self.atoms = np.tile([0.0, 1.0, 0.0], (n_sites, 1))  # charge, sigma, epsilon
        self.exceptions: Terms = []
        self.charged = False
        self.born: BornTerms | None = None

    def counts(self) -> Counts:
        return {
            "bonds": len(self.bonds),
            "angles": len(self.angles),
            "torsions": len(self.torsions),
            "maps": len(self.maps),
            "tables": len(self.tables),
            "points": self.tables.shape[1],
            "exceptions": len(self.exceptions),
            "necks": 0 if self.born is None else len(self.born.heights),
        }

    def tensors(self) -> dict[str, Tensor]:
        torsions: Terms = [(s, series.tolist()) for s, series in self.torsions.items()]
        made = {
            **_table("bond", "terms", self.bonds, 2, 2),
            **_table("angle", "terms", self.angles, 3, 2),
            **_table("torsion", "series", torsions, 4, 1 + 2 * ORDERS),
            **_table("exception", "terms", self.exceptions, 2, 3),
            "map_sites": torch.tensor([s for s, _ in self.maps], dtype=torch.int64).reshape(-1, 8),
            "map_kinds": torch.tensor([int(k) for _, (k,) in self.maps], dtype=torch.int64),
            "map_tables": torch.from_numpy(self.tables),
            "charges": torch.from_numpy(self.atoms[:, 0].copy()),
            "sizes": torch.from_numpy(self.atoms[:, 1:].copy()),
        }
        return made if self.born is None else {**made, **self.born.tensors()}


def _table(kind: str, numbers: str, terms: Terms, n_sites: int, n: int) -> dict[str, Tensor]:
    sites = np.array([s for s, _ in terms], dtype=np.int64).reshape(-1, n_sites)
    values = np.array([v for _, v in terms], dtype=np.float64).reshape(-1, n)
    return {
        f"{kind}_sites": torch.from_numpy(sites),
        f"{kind}_{numbers}": torch.from_numpy(values),
    }


def _plain(values: Sequence[object]) -> list[float]:
    """Numbers without units: nm, kJ/mol, e, radians."""
    return [float(getattr(v, "_value", v)) for v in values]  # type: ignore[arg-type]


def _bonds(force: openmm.HarmonicBondForce, found: _Found) -> None:
    for k in range(force.getNumBonds()):
        i, j, *numbers = force.getBondParameters(k)
        found.bonds.append(((i, j), _plain(numbers)))


def _angles(force: openmm.HarmonicAngleForce, found: _Found) -> None:
    for k in range(force.getNumAngles()):
        *sites, theta, stiffness = force.getAngleParameters(k)
        found.angles.append((tuple(sites), _plain([theta, stiffness])))


def _torsions(force: openmm.PeriodicTorsionForce, found: _Found) -> None:
    """k (1 + cos(m phi - phase)); all terms of the same four atoms become one series."""
    for k in range(force.getNumTorsions()):
        *sites, order, phase, size = force.getTorsionParameters(k)
        if not 0 <= order <= ORDERS:
            raise ValueError(
                f"ForceField: expected torsions of a multiplicity up to {ORDERS}, found {order} "
                f"between atoms {sites}: run it by cgrec.sources.OpenMMSource"
            )
        phase, size = _plain([phase, size])
        series = found.torsions.setdefault(tuple(sites), np.zeros(1 + 2 * ORDERS))
        series[0] += size
        series[order] += size * np.cos(phase)
        if order:
            series[ORDERS + order] += size * np.sin(phase)


def _maps(force: openmm.CMAPTorsionForce, found: _Found) -> None:
    terms = [force.getTorsionParameters(k) for k in range(force.getNumTorsions())]
    used = sorted({kind for kind, *_ in terms})
    sizes = {force.getMapParameters(kind)[0] for kind in used}
    if len(sizes) > 1 or found.maps:
        raise ValueError(
            f"ForceField: expected one CMAPTorsionForce with maps of one size, found sizes "
            f"{sorted(sizes)}: run it by cgrec.sources.OpenMMSource"
        )
    if used:
        found.tables = np.stack([_table_of(*force.getMapParameters(kind)) for kind in used])
        found.maps = [(tuple(sites), [used.index(kind)]) for kind, *sites in terms]


def _table_of(points: int, energies: Sequence[object]) -> NDArray[np.float64]:
    """(points, points, 4) of `terms.maps`, from energies whose first angle runs fastest: slopes of
    the periodic cubic splines through them.
    """
    values = np.array(_plain(energies)).reshape(points, points).T
    along = _slopes(values, 0)
    return np.stack([values, along, _slopes(values, 1), _slopes(along, 1)], -1)


def _slopes(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """At each point of a period, per step."""
    n = values.shape[axis]
    closed = np.concatenate([values, values.take([0], axis)], axis)
    spline = CubicSpline(np.arange(n + 1), closed, axis=axis, bc_type="periodic")
    return np.asarray(spline(np.arange(n), 1))


def _pairs(force: openmm.NonbondedForce, found: _Found) -> None:
    if force.getNonbondedMethod() != force.NoCutoff:
        raise ValueError(f"ForceField: expected NonbondedForce without a cutoff, found one; {WAY}")
    if found.charged:
        raise ValueError(
            "ForceField: expected one NonbondedForce, found two: run it by "
            "cgrec.sources.OpenMMSource"
        )
    offsets = force.getNumParticleParameterOffsets() + force.getNumExceptionParameterOffsets()
    if offsets:
        raise ValueError(
            f"ForceField: expected charges that are numbers, found {offsets} that depend on "
            "global parameters of NonbondedForce: set them by setParticleParameters"
        )
    found.charged = True
    for k in range(force.getNumParticles()):
        found.atoms[k] = _plain(force.getParticleParameters(k))
    for k in range(force.getNumExceptions()):
        i, j, *numbers = force.getExceptionParameters(k)
        found.exceptions.append(((i, j), _plain(numbers)))


def _solvent(read: Callable[..., BornTerms]) -> Callable[..., None]:
    def reader(force: openmm.Force, found: _Found) -> None:
        if found.born is not None:
            raise ValueError(
                "ForceField: expected one implicit solvent, found two: give createSystem one "
                "file of implicit/"
            )
        if force.getNonbondedMethod() != force.NoCutoff:
            raise ValueError(
                f"ForceField: expected {type(force).__name__} without a cutoff, found one; {WAY}"
            )
        found.born = read(force)

    return reader


def _nothing(force: openmm.CMMotionRemover, found: _Found) -> None:
    """It changes velocities and no energy."""


_READERS: dict[str, Callable[..., None]] = {
    "HarmonicBondForce": _bonds,
    "HarmonicAngleForce": _angles,
    "PeriodicTorsionForce": _torsions,
    "CMAPTorsionForce": _maps,
    "NonbondedForce": _pairs,
    "GBSAOBCForce": _solvent(native_born),
    "CustomGBForce": _solvent(custom_born),
    "CMMotionRemover": _nothing,
}
