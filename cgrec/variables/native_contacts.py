"""The fraction of native contacts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames
from ..geometry import X
from ..ranges import expect, expect_in_nm
from ..roles import Mapped
from ..system import System
from ..trace import amino_residues, is_alpha_carbon, largest_molecule, longest_chain
from .base import FrameVariable
from .evaluate import in_portions, like
from .structure import Sites, on_level, paired, structure_of


class Criterion(NamedTuple):
    """When two sites are in contact in the native structure, nm, and how far they may part."""

    cutoff: float
    factor: float


#: By what the sites are. R. B. Best, G. Hummer, W. A. Eaton, PNAS 110, 17874 (2013): heavy atoms
#: within 0.45 nm, lambda 1.8 for all atoms and 1.2 for their model of alpha carbons. Alpha carbons
#: within 0.8 nm are the usual choice where the side chains are not there to touch each other.
CRITERIA: dict[str, Criterion] = {"heavy": Criterion(0.45, 1.8), "CA": Criterion(0.8, 1.2)}
#: 1/nm: with less, contacts break over more than half a nanometre, and Q says little of them.
SOFTEST = 10.0
#: Residues of a contact are further apart along the chain than this (the same paper).
NEAREST = 3


class Contacts(NamedTuple):
    """(n_contacts, 2) sites, and (n_contacts,) their distances in the native structure, nm, times
    lambda: where the contact counts one half.
    """

    pairs: Sites
    half: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class NativeContacts(FrameVariable):
    """Fraction of the contacts of a structure that are there, Q of R. B. Best, G. Hummer, W. A.
    Eaton, PNAS 110, 17874 (2013): the mean of 1 / (1 + exp(beta (r - lambda r0))) over the pairs of
    sites in contact in the structure, at r0 there, whose residues are more than three apart.

    Attributes:
        structure: Frames, of which the first is taken, or the path of a PDB file.
        between: "heavy", all atoms but hydrogens; "CA", one site a residue; None: heavy atoms where
            a residue has several, else CA. "CA" is the same number at every level that has them.
        cutoff: nm, of r0; by default 0.45 for heavy atoms and 0.8 for CA.
        factor: lambda; by default 1.8 for heavy atoms and 1.2 for CA.
        beta: 1/nm, how sharply a contact breaks.
        name: what plots and tables call it.

    Raises:
        ValueError: no such file, a word that `between` does not know, or no contact.
    """

    structure: Frames | str | Path
    between: Literal["heavy", "CA"] | None = None
    cutoff: float | None = None
    factor: float | None = None
    beta: float = 50.0
    name: str = "Q"
    _native: Frames = field(init=False, repr=False)
    _known: dict[str, Contacts] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.between is not None and self.between not in CRITERIA:
            raise ValueError(
                f"{self.name}: between: expected {' or '.join(CRITERIA)}, found {self.between!r}"
            )
        self._check_numbers()
        object.__setattr__(self, "_native", structure_of(self.structure, self.name))
        object.__setattr__(self, "_known", {})
        self.contacts(self._native.system)

    def _check_numbers(self) -> None:
        """ValueError where a number cannot be meant, or is in angstroms."""
        given = {"cutoff": self.cutoff, "beta": self.beta}
        expect(self.name, above=0, **{k: v for k, v in given.items() if v is not None})
        if self.factor is not None:  # below 1 a native contact counts as broken
            expect(self.name, at_least=1, factor=self.factor)
        if self.cutoff is not None:
            expect_in_nm(self.name, cutoff=self.cutoff)
        if self.beta < SOFTEST:
            raise ValueError(
                f"{self.name}.beta: expected 1/nm, {SOFTEST:g} or more, found {self.beta:g}; if "
                f"these are 1/angstrom, give {10 * self.beta:g}"
            )

    @property
    def sites(self) -> tuple[str, ...]:
        """None by name: the structure says which."""
        return ()

    @property
    def unit(self) -> str:
        """A share of one."""
        return "1"

    def missing_on(self, system: System) -> str | None:
        """Why it cannot be computed there, in words; None where it can."""
        try:
            self.contacts(system)
        except (KeyError, ValueError) as error:
            return str(error)
        return None

    def through(self, mapping: Mapped) -> NativeContacts:
        """The fraction of contacts of the structure as a level sees it: mapped as its frames are.

        Raises:
            ValueError: the structure lacks an atom of the mapping, sites stand for several
                residues, or nothing is in contact.
        """
        mapped = on_level(self._native, mapping)
        residues = len(amino_residues(self._native.system))
        sites = len(largest_molecule(mapped.system))
        if sites < residues:
            raise ValueError(
                f"{self.name} counts contacts of residues: the structure has {residues}, this "
                f"level {sites} sites, so that a site stands for several of them"
            )
        return replace(self, structure=mapped)

    def contacts(self, system: System) -> Contacts:
        """Pairs of sites of `system` that are in contact in the structure.

        Raises:
            ValueError: sites that the structure does not have, or no contact between them.
        """
        key = system.fingerprint()
        if key not in self._known:
            self._known[key] = self._found(system)
        return self._known[key]

    def _found(self, system: System) -> Contacts:
        kind = self.between or ("heavy" if several_heavy_atoms(system) else "CA")
        place = _by_residue(system, kind)
        own, theirs = paired(system, list(place), self._native)
        i, j = np.triu_indices(len(own), 1)
        residue = np.array([place[int(site)] for site in own])
        apart = np.abs(residue[i] - residue[j]) > NEAREST
        i, j = i[apart], j[apart]
        x = np.asarray(self._native.positions[0], float)
        native = geometry.distance(x, np.stack([theirs[i], theirs[j]], 1))
        cutoff = CRITERIA[kind].cutoff if self.cutoff is None else self.cutoff
        factor = CRITERIA[kind].factor if self.factor is None else self.factor
        near = native < cutoff
        if not near.any():
            raise ValueError(
                f"{self.name}: expected sites within {cutoff} nm whose residues are more than "
                f"{NEAREST} apart in the structure, found none among its {len(own)} sites"
            )
        return Contacts(np.stack([own[i], own[j]], 1)[near], factor * native[near])

    def values(self, positions: X, system: System) -> X:
        """(...,) 0 to 1 for positions (..., n_sites, 3) nm, a numpy array or a torch tensor."""
        pairs, half = self.contacts(system)
        distance = geometry.distance(positions, pairs)
        beyond = distance - like(distance, half)
        # 1 / (1 + exp(2 z)) in a form that does not overflow
        found: X = (0.5 - 0.5 * geometry.tanh(self.beta / 2 * beyond)).mean(-1)
        return found

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) 0 to 1. Molecules must be whole."""
        return in_portions(self.values, frames, len(self.contacts(frames.system).pairs))


def several_heavy_atoms(system: System) -> bool:
    """Whether its residues have more atoms than the alpha carbon, hydrogens not counted."""
    heavy = [
        [i for i in sites if system.elements[i] not in ("H", "X")]
        for sites in amino_residues(system)
    ]
    return bool(heavy) and sum(map(len, heavy)) > len(heavy)


def _by_residue(system: System, kind: str) -> dict[int, int]:
    """{site: place of its residue along the chain} of the sites between which contacts are."""
    residues = amino_residues(system)
    if not residues:  # beads that are no alpha carbons: all of a residue count
        largest = largest_molecule(system)
        order = np.unique(system.residues[largest], return_inverse=True)[1].tolist()
        chain = longest_chain(system)
        return dict(zip(largest, order)) if max(order) else {s: k for k, s in enumerate(chain)}
    return {
        site: place
        for place, sites in enumerate(residues)
        for site in sites
        if (system.elements[site] != "H" if kind == "heavy" else is_alpha_carbon(system, site))
    }
