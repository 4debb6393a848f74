"""`System`: who the particles are. Nothing here changes in time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from . import bonds as graph
from .bonds import as_pairs, connected_components, members_of
from .cards import card, some
from .files import read_json, write_json
from .site_labels import Address, SiteLabels


class Origin(TypedDict):
    """Where sites stand in the file they come from; fields as in `System`."""

    chain_ids: tuple[str, ...]
    residue_numbers: NDArray[np.int64] | None
    insertion_codes: tuple[str, ...]


#: Fields that say where in a file's residues and chains a site stands. A System that nobody told
#: has none of them, and is then written, compared and hashed as if they did not exist.
ORIGIN = tuple(Origin.__annotations__)


@dataclass(frozen=True, eq=False, repr=False)
class System:
    """The sites of a level: atoms at level 0, beads above.

    Only `names` and `masses` are needed; the rest has the defaults a user expects (types are the
    names, charges are zero, the bond graph gives the molecules).

    Attributes:
        names: site names, e.g. ("C", "CA"), length n_sites.
        masses: (n_sites,) amu, positive.
        types: what the network calls alike; default: the names. Atoms usually carry their element
            here.
        elements: chemical symbol per site, "X" where a site is no atom.
        charges: (n_sites,) e.
        bonds: (n_bonds, 2) site indices.
        constraints: (n_constraints, 2) site pairs held at fixed distance while the frames were
            made.
        residues: (n_sites,) residue index; default: the molecule.
        residue_names: residue name per site.
        chain_ids: chain (PDB, mmCIF) or segment (PSF) per site, "" where it has none; () where
            nobody states them.
        residue_numbers: (n_sites,) number of the residue in its file, which need not start at 1;
            None where nobody states them.
        insertion_codes: "A" of residue 52A per site, "" where it has none; () where nobody states
            them.

    Raises:
        ValueError: a length disagrees, a mass is not positive, or an index points at no site.
    """

    names: tuple[str, ...]
    masses: NDArray[np.float64]
    types: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    charges: NDArray[np.float64] = None  # type: ignore[assignment]
    bonds: NDArray[np.int64] = None  # type: ignore[assignment]
    constraints: NDArray[np.int64] = None  # type: ignore[assignment]
    residues: NDArray[np.int64] = None  # type: ignore[assignment]
    residue_names: tuple[str, ...] = ()
    chain_ids: tuple[str, ...] = ()
    residue_numbers: NDArray[np.int64] | None = None
    insertion_codes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _fill_in(self)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return len(self.names)

    @property
    def molecules(self) -> NDArray[np.int64]:
        """(n_sites,) index of the connected component of the bond graph each site belongs to."""
        return connected_components(self.n_sites, self.bonds)

    def molecule_sites(self) -> list[NDArray[np.int64]]:
        """Sites of each molecule, in order."""
        return list(members_of(self.molecules)[0].values())

    def states(self, field: str) -> bool:
        """Whether a field of `ORIGIN` is known."""
        value = getattr(self, field)
        return value is not None and len(value) > 0

    @property
    def labels(self) -> tuple[str, ...]:
        """'residue name:site name' of each site, e.g. "ALA:CA": what sites of one kind have in
        common.
        """
        return tuple(f"{r}:{n}" for r, n in zip(self.residue_names, self.names))

    @property
    def full_labels(self) -> tuple[str, ...]:
        """All that is known of each site, e.g. "A:TYR52A:CA": chain, residue name, number with
        insertion code, name.
        """
        return self._labels.full

    @property
    def unique_labels(self) -> tuple[str, ...]:
        """The shortest label with a residue name that means each site alone: "ALA:CA", "TYR2:CA" or
        "A:TYR2:CA".

        Where no label does, because nobody states residue numbers, the index stands behind it:
        "HOH:O (#12)".
        """
        return self._labels.unique

    @cached_property
    def _labels(self) -> SiteLabels:
        return SiteLabels(_addresses(self))

    def site(self, label: str) -> int:
        """Index of the one site called `label`.

        "A:TYR2:CA", and "A:TYR:CA", "TYR2:CA", "TYR:CA" or "CA" where that means one site. These
        are the same at every level. "#7" is the index, and another site at every level.

        Raises:
            SiteError: (a KeyError) no site, or several, are called so; it names near misses or the
                candidates.
        """
        return self._labels.site(label)

    def neighbours(self) -> list[list[int]]:
        """Bonded sites of each site."""
        return graph.neighbours(self.n_sites, self.bonds.tolist())

    def bonded_paths(self, n: int) -> list[tuple[int, ...]]:
        """Simple paths of `n` sites along bonds, each once: n = 2 bonds, 3 angles, 4 proper
        dihedrals.
        """
        return graph.paths(self.neighbours(), n)

    def beyond(self, b: int, c: int) -> list[int] | None:
        """Sites that turn with c about the bond b-c while those of b stay; None in a ring, where
        nothing turns freely.
        """
        return graph.beyond(self.neighbours(), b, c)

    def equivalent_sites(self) -> list[int]:
        """A number per site, equal for sites the bond graph cannot tell apart, such as the
        hydrogens of a methyl group.

        Sites start as different as their elements are, or types where a site is no atom
        (`cgrec.bonds.refined`).
        """
        kinds = [t if e == "X" else e for t, e in zip(self.types, self.elements)]
        return graph.refined(graph.ranks(kinds), self.neighbours())

    def select(self, sites: Sequence[int]) -> System:
        """The same sites and bonds restricted to `sites`, in that order."""
        return _selected(self, sites)

    def origin(self, sites: Sequence[int]) -> Origin:
        """The fields of `ORIGIN` for `sites`, as keyword arguments of another System."""
        numbers = self.residue_numbers
        return Origin(
            chain_ids=_picked(self.chain_ids, sites),
            residue_numbers=None if numbers is None else numbers[list(sites)],
            insertion_codes=_picked(self.insertion_codes, sites),
        )

    def __repr__(self) -> str:
        return _described(self)

    def _repr_html_(self) -> str:
        return _card(self)

    def to_dict(self) -> dict[str, list[object]]:
        """Plain lists, for json. What nobody states of chains and numbers is left out."""
        values = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in ORIGIN or self.states(f.name)
        }
        return {k: v.tolist() if isinstance(v, np.ndarray) else list(v) for k, v in values.items()}

    def save(self, path: str | Path) -> None:
        """Write as json."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> System:
        """Read what `save` wrote."""
        return cls(**read_json(path))

    def agrees_with(self, other: System) -> bool:
        """Whether both are the same System. Chains and numbers count where both state them: older
        files have none.
        """
        return _agree(self, other)

    def fingerprint(self) -> str:
        """Short sha256 of everything in the System: two systems with one fingerprint are the same."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]


def _fill_in(system: System) -> None:
    n = len(system.names)
    put = lambda name, value: object.__setattr__(system, name, value)  # noqa: E731  (frozen dataclass)
    for name, default in (
        ("names", ()),
        ("types", system.names),
        ("elements", ("X",) * n),
        ("residue_names", ("MOL",) * n),
    ):
        put(name, tuple(str(s) for s in (getattr(system, name) or default)))
    for name in ("chain_ids", "insertion_codes"):  # only empty strings say nothing
        stated = tuple(str(s).strip() for s in getattr(system, name))
        put(name, stated if any(stated) else ())
    if system.residue_numbers is not None:
        put("residue_numbers", np.asarray(system.residue_numbers, np.int64))
    put("masses", np.asarray(system.masses, float))
    put("charges", np.zeros(n) if system.charges is None else np.asarray(system.charges, float))
    put("bonds", as_pairs(system.bonds))
    put("constraints", as_pairs(system.constraints))
    _check_pairs(system)
    put(
        "residues",
        system.molecules if system.residues is None else np.asarray(system.residues, np.int64),
    )
    _check(system)


def _selected(system: System, sites: Sequence[int]) -> System:
    sites = [int(s) for s in sites]
    new = {s: k for k, s in enumerate(sites)}
    keep = lambda pairs: [(new[i], new[j]) for i, j in pairs.tolist() if i in new and j in new]  # noqa: E731
    return System(
        names=_picked(system.names, sites),
        masses=system.masses[sites],
        types=_picked(system.types, sites),
        elements=_picked(system.elements, sites),
        charges=system.charges[sites],
        bonds=as_pairs(keep(system.bonds)),
        constraints=as_pairs(keep(system.constraints)),
        residues=system.residues[sites],
        residue_names=_picked(system.residue_names, sites),
        **system.origin(sites),
    )


def _agree(system: System, other: System) -> bool:
    if system is other or system.fingerprint() == other.fingerprint():
        return True
    mine, theirs = system.to_dict(), other.to_dict()
    return set(mine) != set(theirs) and all(
        mine[name] == theirs[name] for name in set(mine) & set(theirs)
    )


def _card(system: System) -> str:
    rows = [
        ("sites", str(system.n_sites)),
        ("molecules", str(int(system.molecules.max()) + 1)),
        ("residues", some([f"{n} {r}" for r, n in Counter(system.residue_names).most_common()])),
        ("types", some(sorted(set(system.types)), 12)),
        ("bonds", str(len(system.bonds))),
        ("constraints", str(len(system.constraints)) if len(system.constraints) else ""),
        ("mass", f"{system.masses.sum():.5g} amu"),
        ("charge", f"{system.charges.sum():.3g} e" if system.charges.any() else ""),
    ]
    return card("System", rows)


def _described(system: System) -> str:
    kinds = Counter(system.residue_names)
    counted = ", ".join(f"{n} {name}" for name, n in kinds.most_common(4)) + (
        ", ..." if len(kinds) > 4 else ""
    )
    return (
        f"System({system.n_sites} sites in {int(system.molecules.max()) + 1} molecules and "
        f"{len(np.unique(system.residues))} residues, {len(system.bonds)} bonds, "
        f"{len(system.constraints)} "
        f"constraints; sites by residue: {counted})"
    )


def _check_pairs(system: System) -> None:
    """ValueError: a bond or a constraint of no site."""
    n = system.n_sites
    for field in ("bonds", "constraints"):
        pairs = getattr(system, field)
        if pairs.size and (pairs.min() < 0 or pairs.max() >= n):
            raise ValueError(
                f"System.{field}: expected site indices 0..{n - 1}, found "
                f"{pairs.min()}..{pairs.max()}"
            )


def _check(system: System) -> None:
    """ValueError: no site, a length that disagrees, or a mass that is not positive."""
    n = system.n_sites
    if n == 0:
        raise ValueError("a System needs at least one site, found none")
    stated = [field for field in ORIGIN if system.states(field)]
    for field in (
        "types",
        "elements",
        "residue_names",
        "masses",
        "charges",
        "residues",
        *stated,
    ):
        if len(getattr(system, field)) != n:
            raise ValueError(
                f"System.{field}: expected {n} entries, one a site, found "
                f"{len(getattr(system, field))}"
            )
    if not np.all(system.masses > 0):
        bad = int(np.flatnonzero(~(system.masses > 0))[0])
        raise ValueError(
            f"System.masses: expected positive amu, found {system.masses[bad]} at site {bad} "
            f"({system.names[bad]})"
        )


def _picked(values: tuple[str, ...], sites: Sequence[int]) -> tuple[str, ...]:
    """Entries of one field at `sites`; what nobody states stays so."""
    return tuple(values[s] for s in sites) if values else values


def _addresses(system: System) -> tuple[Address, ...]:
    """Where each site stands, as far as anybody stated it."""
    chains = system.chain_ids or ("",) * system.n_sites
    codes = system.insertion_codes or ("",) * system.n_sites
    if system.residue_numbers is None:
        numbers = ["" for _ in codes]
    else:
        numbers = [
            f"{number}{code}" for number, code in zip(system.residue_numbers.tolist(), codes)
        ]
    return tuple(map(Address, chains, system.residue_names, numbers, system.names))
