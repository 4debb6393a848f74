"""What a molecule's frames show of its covalent geometry, so that restored atoms can be checked
against it and mended.

Two beads whose atoms are drawn one after the other need not meet where a bond joins them. A draw
with such a bond is not a configuration of the molecule: it is mended where the sites allow it, and
named where they do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import geometry
from ..frames import Frames
from ..system import System
from ..units import thermal_energy
from .coordinates import State
from .scaled import wrapped

#: rad; a dihedral about a peptide bond, a double bond or in a ring that spreads less is part of the
#: covalent geometry.
STIFF = 0.35
#: Spreads beyond all that was seen that a floppy term, such as a bond between beads, may lie where
#: that is more than its margin.
FLOPPY = 4.0
#: Signed volume of three arms below which a site is planar: it is 0.77 at a tetrahedral one.
FLAT = 0.3
#: rad; an atom with two neighbours at such an angle lies in a plane: 117 degrees is between those
#: of sp3 and sp2 carbon.
OPEN, STRAIGHT = 2.04, 2.9


class Kind(NamedTuple):
    """How one kind of term is measured and judged.

    Attributes:
        of: (positions, sites) -> values.
        least: smallest spread believed; constrained bonds have none of their own.
        margin: how far outside all that was seen a value is broken. Thermal motion spreads a bond
            by 2 to 3 %, an angle by 0.05 rad and a peptide bond by 0.15 rad; these are some five
            times that.
        scale, unit: for words.
    """

    of: Callable[[Tensor, Tensor], Tensor]
    least: float
    margin: float
    scale: float
    unit: str


def _sine(positions: Tensor, sites: Tensor) -> Tensor:
    return geometry.dihedral(positions, sites).sin()


KINDS = {
    "bond": Kind(geometry.distance, 0.002, 0.02, 1.0, "nm"),
    "angle": Kind(geometry.angle, 0.03, 0.35, math.degrees(1.0), "degrees"),
    "dihedral": Kind(geometry.dihedral, 0.1, 0.7, math.degrees(1.0), "degrees"),
    "plane": Kind(_sine, 0.1, 0.4, 1.0, "(sine of the dihedral)"),
    "branch": Kind(
        geometry.signed_volume, 0.05, 0.35, 1.0, "(signed volume, which tells the hand)"
    ),
}


@dataclass(frozen=True)
class Terms:
    """Terms of one kind: sites (n, k), mean, spread, and the lowest and highest deviation from the
    mean seen, (n,) each.
    """

    sites: Tensor
    mean: Tensor
    spread: Tensor
    low: Tensor
    high: Tensor


class ReferenceGeometry:
    """Bonds, angles, stiff dihedrals and handedness of one molecule.

    Args:
        terms: {name of one of `KINDS`: Terms}; a kind may be missing.
    """

    def __init__(self, terms: dict[str, Terms]) -> None:
        self.terms = terms

    @classmethod
    def fit(cls, system: System, atoms: Tensor) -> ReferenceGeometry:
        """From configurations (n, n_atoms, 3) nm of one copy of `system`, as an unweighted sample."""
        found = {kind: cls.sites_of(system, kind) for kind in KINDS}
        terms = {
            k: Terms(torch.tensor(s), *measured(k, atoms, torch.tensor(s)))
            for k, s in found.items()
            if s
        }
        return cls(terms).stiff(system)

    @staticmethod
    def sites_of(system: System, kind: str) -> list[list[int]]:
        """Sites of all terms of one kind: bonds, angles and proper dihedrals along bonds, and sites
        with three neighbours.

        Planes that may be cis or trans are not found in a bond graph.
        """
        if kind == "plane":
            return []
        if kind == "branch":
            return [[k, *near[:3]] for k, near in enumerate(system.neighbours()) if len(near) >= 3]
        length = {"bond": 2, "angle": 3, "dihedral": 4}[kind]
        return [list(path) for path in system.bonded_paths(length)]

    def stiff(self, system: System) -> ReferenceGeometry:
        """The same without dihedrals that can turn, however little of it was seen: kept are those
        about bonds of a ring and about bonds between two planar sites, such as peptide bonds.
        """
        if "dihedral" not in self.terms:
            return self
        dihedrals, flat = self.terms["dihedral"], self._flat(system)
        held = dihedrals.spread < STIFF
        for k, (_, b, c, _) in enumerate(dihedrals.sites.tolist()):
            held[k] &= {b, c} <= flat or system.beyond(b, c) is None
        return ReferenceGeometry(
            {**self.terms, "dihedral": Terms(*(v[held] for v in vars(dihedrals).values()))}
        )

    def _flat(self, system: System) -> set[int]:
        """Planar sites: with three neighbours in one plane, or atoms with two neighbours at the
        angle of such a plane.
        """
        branches, angles = self.terms.get("branch"), self.terms.get("angle")
        found: set[int] = set()
        if branches is not None:
            found |= set(branches.sites[branches.mean.abs() < FLAT, 0].tolist())
        if angles is not None:
            wide = (angles.mean > OPEN) & (angles.mean < STRAIGHT)
            near = system.neighbours()
            middle = angles.sites[wide, 1].tolist()
            found |= {k for k in middle if len(near[k]) == 2 and system.elements[k] != "X"}
        return found

    def state(self) -> State:
        """Plain tensors, for `from_state`."""
        return {kind: vars(t) for kind, t in self.terms.items()}

    @classmethod
    def from_state(cls, state: State) -> ReferenceGeometry:
        """Inverse of `state`."""
        return cls({kind: Terms(**t) for kind, t in state.items()})

    def strain(self, kind: str, atoms: Tensor) -> Tensor:
        """(..., n_terms) how far terms of (..., n_atoms, 3) nm are outside all that was seen, in
        margins; above 1: broken.
        """
        t = self.terms[kind]
        off = _deviation(kind, atoms, t)
        margin = (FLOPPY * t.spread).clamp(min=KINDS[kind].margin)
        return torch.maximum(off - t.high, t.low - off).clamp(min=0.0) / margin

    def broken(self, atoms: Tensor) -> Tensor:
        """(...,) whether any term of (..., n_atoms, 3) nm is broken."""
        found = torch.zeros(atoms.shape[:-2], dtype=torch.bool)
        for kind in self.terms:
            found |= (self.strain(kind, atoms) > 1).any(-1)
        return found

    def worst(self, atoms: Tensor, labels: Sequence[str]) -> tuple[float, str]:
        """Strain of the most strained term of (n_atoms, 3) nm, and that term in words."""
        worst = (0.0, "nothing")
        for kind, t in self.terms.items():
            strain = self.strain(kind, atoms)
            if not strain.numel() or float(strain.max()) <= worst[0]:
                continue
            k, (_, _, _, scale, unit) = int(strain.argmax()), KINDS[kind]
            value, low, high = (
                scale * float(v[k])
                for v in (_values(kind, atoms, t), t.mean + t.low, t.mean + t.high)
            )
            names = "-".join(labels[i] for i in t.sites[k].tolist())
            words = f"{kind} {names} of {value:.3g} {unit} where {low:.3g} to {high:.3g} were seen"
            worst = (float(strain.max()), words)
        return worst

    def energy(self, atoms: Tensor) -> Tensor:
        """(...,) in kT: half the sum of squared deviations in spreads, which is the energy of
        independent Gaussians.
        """
        total = atoms.new_zeros(atoms.shape[:-2])
        for kind, t in self.terms.items():
            total = total + 0.5 * (_deviation(kind, atoms, t) / t.spread).square().sum(-1)
        return total


class ReferenceField:
    """Energy and forces of reference geometries, where a corrector asks for a potential.

    Args:
        parts: (geometry, (n_copies, n_atoms) indices of its molecules in the fine System).
    """

    def __init__(self, parts: Sequence[tuple[ReferenceGeometry, NDArray[np.int64]]]) -> None:
        self.parts = list(parts)

    def energy_and_forces(self, frames: Frames) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n_frames,) kJ/mol and (n_frames, n_sites, 3) kJ/mol/nm."""
        x = torch.tensor(np.asarray(frames.positions, float)).requires_grad_()
        energy = sum(
            (g.energy(x[:, atoms]).sum(-1) for g, atoms in self.parts), x.new_zeros(len(x))
        )
        (gradient,) = torch.autograd.grad(energy.sum(), x)
        kT = thermal_energy(frames.temperature)
        return kT * energy.detach().numpy(), -kT * gradient.numpy()


def _values(kind: str, atoms: Tensor, terms: Terms) -> Tensor:
    return KINDS[kind].of(atoms, terms.sites)


def _deviation(kind: str, atoms: Tensor, terms: Terms) -> Tensor:
    off = _values(kind, atoms, terms) - terms.mean
    return wrapped(off) if kind == "dihedral" else off


def measured(kind: str, atoms: Tensor, sites: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, spread, lowest and highest deviation, (n_terms,) each, of terms in configurations (n,
    n_atoms, 3) nm.
    """
    x, least = KINDS[kind].of(atoms, sites), KINDS[kind].least
    if kind == "dihedral":
        turn = torch.exp(1j * x).mean(0)
        mean = turn.angle()
        # circular standard deviation
        spread = torch.sqrt(-2 * turn.abs().clamp(min=1e-12, max=1.0).log())
        off = wrapped(x - mean)
    else:
        mean, spread = x.mean(0), x.std(0, correction=0)
        off = x - mean
    return mean, spread.clamp(min=least), off.amin(0), off.amax(0)
