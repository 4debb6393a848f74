"""`System`: who the particles are. Nothing here changes in time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .files import read_json, write_json


@dataclass(frozen=True, eq=False)
class System:
    """The sites of a level: atoms at level 0, beads above.

    Only `names` and `masses` are needed; the rest has the defaults a user expects (types are the names, charges are
    zero, the bond graph gives the molecules).

    Attributes:
        names: site names, e.g. ("C", "CA"), length n_sites.
        masses: (n_sites,) amu, positive.
        types: what the network calls alike; default: the names. Atoms usually carry their element here.
        elements: chemical symbol per site, "X" where a site is no atom.
        charges: (n_sites,) e.
        bonds: (n_bonds, 2) site indices.
        constraints: (n_constraints, 2) site pairs held at fixed distance while the frames were made.
        residues: (n_sites,) residue index; default: the molecule.
        residue_names: residue name per site.

    Raises:
        ValueError: a length disagrees, a mass is not positive, or an index points at no site.
    """

    names: tuple[str, ...]
    masses: NDArray[np.float64]
    types: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    charges: NDArray[np.float64] = None  # type: ignore[assignment]
    bonds: Any = None  # type: ignore[assignment]
    constraints: Any = None  # type: ignore[assignment]
    residues: NDArray[np.int64] = None  # type: ignore[assignment]
    residue_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.names)
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731  (frozen dataclass)
        for name, default in (
            ("names", ()),
            ("types", self.names),
            ("elements", ("X",) * n),
            ("residue_names", ("MOL",) * n),
        ):
            put(name, tuple(str(s) for s in (getattr(self, name) or default)))
        put("masses", np.asarray(self.masses, float))
        put("charges", np.zeros(n) if self.charges is None else np.asarray(self.charges, float))
        put("bonds", _pairs(self.bonds))
        put("constraints", _pairs(self.constraints))
        self._check_pairs()
        put("residues", self.molecules if self.residues is None else np.asarray(self.residues, np.int64))
        self._check()

    def _check(self) -> None:
        n = self.n_sites
        if n == 0:
            raise ValueError("a System needs at least one site, found none")
        for field in ("types", "elements", "residue_names", "masses", "charges", "residues"):
            if len(getattr(self, field)) != n:
                raise ValueError(
                    f"System.{field}: expected {n} entries, one a site, found {len(getattr(self, field))}"
                )
        if not np.all(self.masses > 0):
            bad = int(np.flatnonzero(~(self.masses > 0))[0])
            raise ValueError(
                f"System.masses: expected positive amu, found {self.masses[bad]} at site {bad} ({self.names[bad]})"
            )

    def _check_pairs(self) -> None:
        n = self.n_sites
        for field in ("bonds", "constraints"):
            pairs = getattr(self, field)
            if pairs.size and (pairs.min() < 0 or pairs.max() >= n):
                raise ValueError(
                    f"System.{field}: expected site indices 0..{n - 1}, found {pairs.min()}..{pairs.max()}"
                )

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
        labels = self.molecules
        order = np.argsort(labels, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)

    @property
    def labels(self) -> tuple[str, ...]:
        """'residue name:site name' of each site, e.g. "ALA:CA"; what a config line calls a site."""
        return tuple(f"{r}:{n}" for r, n in zip(self.residue_names, self.names))

    def site(self, label: str) -> int:
        """Index of the one site called `label`: "ALA:CA", or "CA" where that is unique, or "#7" for the index itself.

        Raises:
            KeyError: no site, or several, are called so.
        """
        if label.startswith("#") and label[1:].isdigit() and int(label[1:]) < self.n_sites:
            return int(label[1:])
        found = [i for i, names in enumerate(zip(self.labels, self.names)) if label in names]
        if len(found) != 1:
            raise KeyError(
                f"site {label!r}: expected one match, found {len(found)} among {', '.join(self.labels[:60])}"
            )
        return found[0]

    def neighbours(self) -> list[list[int]]:
        """Bonded sites of each site."""
        near: list[list[int]] = [[] for _ in range(self.n_sites)]
        for i, j in self.bonds.tolist():
            near[i].append(j)
            near[j].append(i)
        return near

    def bonded_paths(self, n: int) -> list[tuple[int, ...]]:
        """Simple paths of `n` sites along bonds, each once: n = 2 bonds, 3 angles, 4 proper dihedrals."""
        neighbours = self.neighbours()
        paths: list[tuple[int, ...]] = [(i,) for i in range(self.n_sites)]
        for _ in range(n - 1):
            paths = [(*p, k) for p in paths for k in neighbours[p[-1]] if k not in p]
        return sorted(p for p in paths if p[0] < p[-1])

    def beyond(self, b: int, c: int) -> list[int] | None:
        """Sites that turn with c about the bond b-c while those of b stay; None in a ring, where nothing turns freely."""
        near, found, queue = self.neighbours(), {c}, [c]
        while queue:
            new = set(near[queue.pop()]) - found - {b}
            found |= new
            queue += new
        return None if found & set(near[b]) != {c} else sorted(found)

    def equivalent_sites(self) -> list[int]:
        """A number per site, equal for sites the bond graph cannot tell apart, such as the hydrogens of a methyl group.

        Weisfeiler-Lehman refinement of the elements (of the types where a site is no atom).
        """
        kinds = [t if e == "X" else e for t, e in zip(self.types, self.elements)]
        near = self.neighbours()
        numbers = [sorted(set(kinds)).index(k) for k in kinds]
        while True:
            keys = [(numbers[i], tuple(sorted(numbers[j] for j in around))) for i, around in enumerate(near)]
            order = {key: n for n, key in enumerate(sorted(set(keys)))}
            if len(order) == len(set(numbers)):
                return numbers
            numbers = [order[key] for key in keys]

    def select(self, sites: Sequence[int]) -> System:
        """The same sites and bonds restricted to `sites`, in that order."""
        sites = [int(s) for s in sites]
        new = {s: k for k, s in enumerate(sites)}
        keep = lambda pairs: [(new[i], new[j]) for i, j in pairs.tolist() if i in new and j in new]  # noqa: E731
        return System(
            names=tuple(self.names[s] for s in sites), masses=self.masses[sites],
            types=tuple(self.types[s] for s in sites), elements=tuple(self.elements[s] for s in sites),
            charges=self.charges[sites], bonds=keep(self.bonds), constraints=keep(self.constraints),
            residues=self.residues[sites], residue_names=tuple(self.residue_names[s] for s in sites),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for json."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v.tolist() if isinstance(v, np.ndarray) else list(v) for k, v in values.items()}

    def save(self, path: str | Path) -> None:
        """Write as json."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> System:
        """Read what `save` wrote."""
        return cls(**read_json(path))

    def fingerprint(self) -> str:
        """Short sha256 of everything in the System: two systems with one fingerprint are the same."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]


def connected_components(n: int, pairs: ArrayLike) -> NDArray[np.int64]:
    """(n,) component label of each of `n` nodes joined by `pairs`, numbered in order of first node."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components as label

    i, j = _pairs(pairs).T
    labels = label(coo_array((np.ones(len(i)), (i, j)), shape=(n, n)), directed=False)[1]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _pairs(pairs: ArrayLike | None) -> NDArray[np.int64]:
    return np.zeros((0, 2), np.int64) if pairs is None else np.asarray(pairs, np.int64).reshape(-1, 2)
