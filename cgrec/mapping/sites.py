"""Rules that choose the sites of the next level: `rule(system) -> Mapping`, with the basic force
map.

Labels are those of `System.site`: "A:TYR2:CA", and "TYR2:CA", "TYR:CA" or "CA" where unique, "#3"
for an index. In place of a list of labels may stand a selection, any `system -> indices`;
`cgrec.io.select_sites` makes them from MDAnalysis' language. The coarse System has no
constraints; its sites keep the chain, residue number and insertion code of the site they begin
with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass
from itertools import chain, combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..bonds import connected_components
from ..remarks import remark
from ..system import System
from .linear import Mapping
from .made_for import by_index, check_made_for

#: Labels of sites, or what finds their indices.
Sites = Sequence[str] | Callable[[System], Sequence[int]]


@dataclass(frozen=True)
class Pick:
    """Single sites kept, all others dropped.

    A kept site carries the mass and charge of itself and of the hydrogens bonded to it; what else
    is dropped is gone.

    Attributes:
        sites: labels of the sites to keep, in the order wanted, or a selection.
        made_for: fingerprint of the molecules that hold them (`cgrec.mapping.made_for`); None: any
            that have such sites.
    """

    sites: Sites
    made_for: str | None = None

    def __call__(self, system: System) -> Mapping:
        """The Mapping; KeyError for an unknown label, ValueError for a site picked twice, or other
        molecules.
        """
        sites = find_sites(system, self.sites, "Pick")
        indexed = not callable(self.sites) and by_index(self.sites)
        check_made_for(self.made_for, system, sites, indexed, "Pick")
        return pick(system, sites)


@dataclass(frozen=True)
class Drop:
    """Everything but some residues: the solvent is integrated out and only what it does to the rest
    is left.

    Attributes:
        residues: names of the residues to drop, e.g. ["HOH"].
    """

    residues: Sequence[str]

    def __call__(self, system: System) -> Mapping:
        """The Mapping; its sites keep their types. ValueError: a name that is not there, or nothing
        is left.
        """
        if isinstance(self.residues, str):
            raise ValueError(f"Drop: expected a list of residue names, found {self.residues!r}")
        unknown = sorted(set(self.residues) - set(system.residue_names))
        kept = [i for i, name in enumerate(system.residue_names) if name not in self.residues]
        if unknown or not kept:
            raise ValueError(
                f"Drop: expected some of the residues {sorted(set(system.residue_names))} and "
                "something left, found "
                f"{list(self.residues)}"
            )
        return build(system, [Bead(system.names[i], {i: 1.0}, (i,), system.types[i]) for i in kept])


@dataclass(frozen=True)
class HeavyAtoms:
    """All atoms but the hydrogens, whose mass and charge go to the atom they are bonded to."""

    def __call__(self, system: System) -> Mapping:
        """The Mapping; ValueError where elements are unknown or there is no heavy atom."""
        if "X" in system.elements:
            unknown = system.elements.index("X")
            raise ValueError(
                "HeavyAtoms: expected a chemical element at every site, found none ('X') at "
                f"site {unknown} "
                f"({system.labels[unknown]}); give System.elements, or choose sites by name "
                "with Pick"
            )
        heavy = [i for i, element in enumerate(system.elements) if element != "H"]
        if not heavy:
            raise ValueError(
                "HeavyAtoms: expected an atom that is not hydrogen, found none; use MoleculeCentres"
            )
        return pick(system, heavy)


@dataclass(frozen=True)
class CentresOfMass:
    """One site at the centre of mass of each bead.

    Attributes:
        beads: {bead name: labels of its sites, or a selection}, in the order wanted.
    """

    beads: Table[str, Sites]

    def __call__(self, system: System) -> Mapping:
        """The Mapping; KeyError: unknown label, ValueError: an empty bead or a site twice in one
        bead. A remark where beads share sites, which may be meant.
        """
        found = {
            name: find_sites(system, labels, f"bead {name!r}")
            for name, labels in self.beads.items()
        }
        count = Counter(chain.from_iterable(found.values()))
        shared = [site for site, n in count.items() if n > 1]
        if shared:
            owners = " and ".join(repr(name) for name, sites in found.items() if shared[0] in sites)
            remark(
                f"CentresOfMass: {system.unique_labels[shared[0]]} is in the beads {owners}"
                + (
                    f", and {len(shared) - 1} other sites are in several beads"
                    if len(shared) > 1
                    else ""
                )
                + ": each of them has it, its mass is divided among them; take it out of one if "
                "that is a slip"
            )
        return build(system, [centre(system, name, atoms) for name, atoms in found.items()])


@dataclass(frozen=True)
class MoleculeCentres:
    """One site per molecule at its centre of mass; its name and type are the molecule's residue
    name(s).
    """

    def __call__(self, system: System) -> Mapping:
        """The Mapping; ValueError where two different molecules would get one type."""
        molecules = system.molecule_sites()
        names = [_residue_sequence(system, atoms) for atoms in molecules]
        _need_one_kind_per_name(system, names, molecules)
        beads = [centre(system, name, atoms.tolist()) for name, atoms in zip(names, molecules)]
        return build(system, [bead._replace(type=bead.name) for bead in beads])


@dataclass(frozen=True)
class Weighted:
    """Sites with explicit position weights.

    Attributes:
        beads: {bead name: {label: weight}}, in the order wanted; the weights of a bead sum to one.
    """

    beads: Table[str, Table[str, float]]

    def __call__(self, system: System) -> Mapping:
        """The Mapping; KeyError: unknown label, ValueError: an empty bead, or weights not summing
        to one.
        """
        beads = []
        for name, weights in self.beads.items():
            found = dict(zip(find_sites(system, weights, f"bead {name!r}"), weights.values()))
            kept = {atom: float(weight) for atom, weight in found.items() if weight != 0}
            beads.append(Bead(name, kept, tuple(kept)))
        return build(system, beads)


class Bead(NamedTuple):
    """`weights` {atom: weight} make its position, `members` its mass and charge; type "" is its
    label.
    """

    name: str
    weights: dict[int, float]
    members: tuple[int, ...]
    type: str = ""


def find_sites(
    system: System, labels: Iterable[str] | Callable[[System], Sequence[int]], owner: str
) -> list[int]:
    """Indices of labels or of a selection; KeyError: unknown label, ValueError: a bare string or a
    site twice.
    """
    if isinstance(labels, str):
        raise ValueError(
            f"{owner}: expected a list of site labels, found {labels!r}; write [{labels}]"
        )
    if callable(labels):
        sites = [int(site) for site in labels(system)]
    else:
        sites = [system.site(label) for label in labels]
    twice = [system.labels[site] for site, count in Counter(sites).items() if count > 1]
    if twice:
        raise ValueError(
            f"{owner}: expected every site once, found {', '.join(twice)} again; remove the "
            "repetition"
        )
    return sites


def centre(system: System, name: str, atoms: Sequence[int], type: str = "") -> Bead:
    """The bead at the centre of mass of `atoms`."""
    mass = system.masses[list(atoms)]
    return Bead(name, dict(zip(atoms, mass / mass.sum())), tuple(atoms), type)


def pick(system: System, sites: Sequence[int]) -> Mapping:
    """The Mapping onto single sites, each with the hydrogens bonded to it."""
    neighbours, picked = system.neighbours(), set(sites)
    carried = {h for h, element in enumerate(system.elements) if element == "H" and h not in picked}
    members = {i: (i, *(h for h in neighbours[i] if h in carried)) for i in sites}
    return build(system, [Bead(system.names[i], {i: 1.0}, members[i]) for i in sites])


@dataclass(frozen=True)
class Parts:
    """One site at the centre of mass of each part of the system, beads of one type where nothing
    tells them apart (see `from_partition`).

    Attributes:
        beads: labels of the sites of each part.
        made_for: fingerprint of the molecules that hold them (`cgrec.mapping.made_for`); None: any
            that have such sites.
    """

    beads: Sequence[Sequence[str]]
    made_for: str | None = None

    def __call__(self, system: System) -> Mapping:
        """The Mapping; KeyError: unknown label, ValueError: a part that is empty or in pieces, a
        site in two parts, or other molecules.
        """
        parts = [find_sites(system, part, f"part {k}") for k, part in enumerate(self.beads)]
        indexed = by_index(chain.from_iterable(self.beads))
        check_made_for(self.made_for, system, list(chain.from_iterable(parts)), indexed, "Parts")
        return from_partition(system, parts)


def from_partition(system: System, partition: Sequence[Sequence[int]]) -> Mapping:
    """One site at the centre of mass of each part, named after its heavy atoms.

    Parts get one type where the bond graph cannot tell their atoms apart or where they hold the
    same names of the same residues.

    Args:
        partition: atom indices, a list a bead.

    Raises:
        ValueError: an empty part, an atom in two parts, or a part in pieces.
    """
    beads: list[Bead] = []
    types: dict[tuple[int, ...], str] = {}
    alike = system.equivalent_sites()
    for atoms in partition:
        heavy = [i for i in atoms if system.elements[i] != "H"] or list(atoms)
        name = "-".join(system.names[i] for i in heavy)
        own: dict[int, list[int]] = {}
        for i in heavy:
            own.setdefault(int(system.residues[i]), []).append(i)
        called = "+".join(
            f"{system.residue_names[k[0]]}:{'-'.join(system.names[i] for i in k)}"
            for k in own.values()
        )
        type = types.setdefault(tuple(sorted(alike[i] for i in atoms)), called)
        beads.append(centre(system, name, atoms, type))
    need_connected(system, beads)
    return build(system, beads)


def carriers(system: System) -> dict[int, int]:
    """{hydrogen: the heavy atom it is bonded to}; hydrogens bonded to hydrogens only, as in H2, are
    left out.

    Raises:
        ValueError: a hydrogen without a bond.
    """
    found = {}
    for i, around in enumerate(system.neighbours()):
        if system.elements[i] == "H":
            if not around:
                raise ValueError(
                    f"hydrogen {system.labels[i]} (#{i}): expected a bond to the atom that "
                    "carries it, found none; give "
                    "the System its bonds"
                )
            heavy = [j for j in around if system.elements[j] != "H"]
            if heavy:
                found[i] = heavy[0]
    return found


def need_connected(system: System, beads: Sequence[Bead]) -> None:
    """ValueError where two beads share an atom, or the atoms of one are not connected by bonds
    among themselves.
    """
    count = Counter(i for bead in beads for i in bead.members)
    shared = [i for i in count if count[i] > 1]
    if shared:
        names = ", ".join(repr(bead.name) for bead in beads if shared[0] in bead.members)
        raise ValueError(
            f"expected every atom in one bead, found {system.labels[shared[0]]} (#{shared[0]}) "
            f"more than once in {names}; "
            "take it out of the others"
        )
    for bead, pieces in zip(beads, connected_pieces(system, [bead.members for bead in beads])):
        if len(pieces) > 1:
            found = "; ".join(
                ", ".join(f"{system.labels[i]} (#{i})" for i in piece[:6]) for piece in pieces[:4]
            )
            raise ValueError(
                f"bead {bead.name!r}: expected atoms connected by bonds, found {len(pieces)} "
                f"pieces: {found}; make each "
                "its own bead, or give the bonds between them"
            )


def connected_pieces(system: System, partition: Sequence[Sequence[int]]) -> list[list[list[int]]]:
    """Each part divided where no bond among its atoms connects them; no atom lies in two parts."""
    owner = np.full(system.n_sites, -1)
    for k, atoms in enumerate(partition):
        owner[list(atoms)] = k
    i, j = system.bonds.T
    piece = connected_components(system.n_sites, system.bonds[owner[i] == owner[j]])
    found: list[dict[int, list[int]]] = [{} for _ in partition]
    for k, atoms in enumerate(partition):
        for atom in atoms:
            found[k].setdefault(int(piece[atom]), []).append(int(atom))
    return [list(pieces.values()) for pieces in found]


def build(system: System, beads: Sequence[Bead]) -> Mapping:
    """The Mapping onto `beads`; a member of several lends each an equal share of its mass and
    charge.

    A bead belongs to the residue and chain of the first atom in its weights, also where it has
    atoms of several residues: two residues GLY1 and TYR2 in one bead make "A:GLY1:GLY-TYR".
    """
    _check_beads(system, beads)
    shape = (len(beads), system.n_sites)
    weights = _rows(
        [list(bead.weights) for bead in beads],
        [list(bead.weights.values()) for bead in beads],
        shape,
    )
    members = _rows([list(dict.fromkeys(bead.members)) for bead in beads], None, shape)
    owners = np.maximum(members.sum(axis=0), 1)
    first = [next(iter(bead.weights)) for bead in beads]
    residue_names = tuple(system.residue_names[i] for i in first)
    coarse = System(
        names=tuple(bead.name for bead in beads),
        masses=members @ (system.masses / owners),
        types=tuple(
            bead.type or f"{residue}:{bead.name}" for bead, residue in zip(beads, residue_names)
        ),
        elements=tuple(
            system.elements[i] if len(bead.weights) == 1 else "X" for i, bead in zip(first, beads)
        ),
        charges=members @ (system.charges / owners),
        bonds=_bead_bonds(system, weights),
        residues=system.residues[first],
        residue_names=residue_names,
        **system.origin(first),
    )
    return Mapping(fine=system, coarse=coarse, position_weights=weights)


def _rows(
    columns: Sequence[Sequence[int]],
    values: Sequence[Sequence[float]] | None,
    shape: tuple[int, int],
) -> csr_array:
    """The sparse matrix with `values` (else ones) at the `columns` of each row; a column once in a
    row.
    """
    counts = [len(row) for row in columns]
    indices = np.fromiter(chain.from_iterable(columns), np.int64, sum(counts))
    data = (
        np.ones(len(indices))
        if values is None
        else np.fromiter(chain.from_iterable(values), float, len(indices))
    )
    return csr_array((data, indices, np.append(0, np.cumsum(counts))), shape=shape)


def _check_beads(system: System, beads: Sequence[Bead]) -> None:
    if not 0 < len(beads) <= system.n_sites:
        raise ValueError(
            f"expected 1 to {system.n_sites} beads for {system.n_sites} sites, found {len(beads)}"
        )
    for bead in beads:
        if not bead.weights:
            raise ValueError(
                f"bead {bead.name!r}: expected a site of non-zero weight, found none; remove "
                "the bead"
            )


def _bead_bonds(system: System, weights: csr_array) -> NDArray[np.int64]:
    """(n_bonds, 2) beads joined by a bond, or by a path of beadless atoms that are no nearer to a
    third bead.

    Without the last condition a dropped backbone would bond each side chain to all others.
    """
    owners = _nearest_beads(system, weights)
    pairs: set[tuple[int, int]] = set()
    for beads in owners.values():
        if len(beads) > 1:
            pairs.update(combinations(sorted(beads), 2))
    nobody: set[int] = set()
    for i, j in system.bonds.tolist():
        left, right = owners.get(i, nobody), owners.get(j, nobody)
        if left != right or len(left) > 1:
            pairs.update((min(p), max(p)) for p in product(left, right) if p[0] != p[1])
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _nearest_beads(system: System, weights: csr_array) -> dict[int, set[int]]:
    """{atom: the beads it is part of, or fewest bonds away from}; atoms connected to no bead are
    absent.
    """
    owners: dict[int, set[int]] = {}
    entries = weights.tocoo()
    for bead, atom in zip(entries.row.tolist(), entries.col.tolist()):
        owners.setdefault(atom, set()).add(bead)
    if len(owners) == system.n_sites:
        return owners
    front, neighbours = dict(owners), system.neighbours()
    while front:
        reached: dict[int, set[int]] = {}
        for atom, beads in front.items():
            for k in neighbours[atom]:
                if k not in owners:
                    reached.setdefault(k, set()).update(beads)
        owners.update(reached)
        front = reached
    return owners


def _residue_sequence(system: System, atoms: NDArray[np.int64]) -> str:
    residues = dict.fromkeys((int(system.residues[i]), system.residue_names[i]) for i in atoms)
    return "-".join(name for _, name in residues)


def _need_one_kind_per_name(
    system: System, names: Sequence[str], molecules: Sequence[NDArray[np.int64]]
) -> None:
    """One type must not stand for two kinds of molecule: the network could not tell them apart."""
    kinds: dict[str, list[str]] = {}
    for name, atoms in zip(names, molecules):
        kind = sorted(system.types[i] for i in atoms)
        if kinds.setdefault(name, kind) != kind:
            raise ValueError(
                f"MoleculeCentres: expected one kind of molecule called {name!r}, found one of "
                f"{' '.join(kinds[name][:12])} and one of {' '.join(kind[:12])}; name their "
                "residues apart"
            )
