"""`BondGraph`: which types stand where and what is bonded to what in the System a potential was
fitted to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..remarks import remark
from ..system import System

#: Systems that were compared with a graph already: `Potential.graph` asks again for every batch of
#: frames.
_KNOWN: WeakKeyDictionary[System, set[str]] = WeakKeyDictionary()


class BondGraphConfig(TypedDict):
    """A `BondGraph` as plain lists, as files of potentials hold it."""

    types: list[str]
    bonds: list[list[int]]


@dataclass(frozen=True)
class BondGraph:
    """Types and bonds of a System, in the order of its sites.

    A potential with terms between numbered sites holds for this graph, and for copies of it that
    follow one another. The number of sites alone does not tell: a chain of ten is not two chains of
    five.

    Attributes:
        types: site types.
        bonds: (i, j) with i < j, sorted.
    """

    types: tuple[str, ...]
    bonds: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, system: System) -> BondGraph:
        """The graph of `system`."""
        return cls(system.types, tuple((int(i), int(j)) for i, j in _sorted_pairs(system.bonds)))

    @classmethod
    def from_config(cls, config: BondGraphConfig | None) -> BondGraph | None:
        """Inverse of `config`; None for None."""
        if config is None:
            return None
        return cls(tuple(config["types"]), tuple((int(i), int(j)) for i, j in config["bonds"]))

    @property
    def config(self) -> BondGraphConfig:
        """As plain lists."""
        return {"types": list(self.types), "bonds": [list(pair) for pair in self.bonds]}

    @cached_property
    def fingerprint(self) -> str:
        """Short sha256: two graphs with one fingerprint are the same."""
        return hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()[:16]

    def check(self, system: System, what: str) -> None:
        """Refuse a System that is not this graph, once or in copies one after the other.

        Args:
            system: to be compared.
            what: name of the potential, for the message.

        Raises:
            ValueError: another number, type or bond; the message names the first. Frames of one
                copy that state no bonds at all pass by their types, with a remark.
        """
        known = _KNOWN.setdefault(system, set())
        if self.fingerprint in known:
            return
        n = len(self.types)
        check_number(system, n, what)
        self._check_types(system, what)
        if system.n_sites == n and not len(system.bonds) and self.bonds:
            remark(
                f"{what} was fitted to a System with {len(self.bonds)} bonds and these frames "
                "state none: only the types of the sites "
                "were compared"
            )
            known.add(self.fingerprint)
            return
        copy_of, pairs = bonds_by_copy(system, n, what)
        for copy, found in enumerate(_by_copy(copy_of, pairs, system.n_sites // n)):
            self._check_bonds(system, found, copy * n, what)
        known.add(self.fingerprint)

    def _check_types(self, system: System, what: str) -> None:
        n = len(self.types)
        for site, found in enumerate(system.types):
            if found != self.types[site % n]:
                raise ValueError(
                    f"{what} was fitted to another System: expected type "
                    f"{self.types[site % n]!r} at site {site}, found "
                    f"{found!r} ({system.labels[site]}); bring the sites into the order it was "
                    "fitted in, or fit it to this System"
                )

    def _check_bonds(
        self, system: System, found: list[tuple[int, int]], first: int, what: str
    ) -> None:
        different = sorted(set(found).symmetric_difference(self.bonds))
        if not different:
            return
        i, j = different[0]
        i, j, here = i + first, j + first, different[0] in set(found)
        expected, is_there = ("no bond", "one") if here else ("a bond", "none")
        raise ValueError(
            f"{what} was fitted to another bond graph: expected {expected} between sites {i} "
            f"and {j} "
            f"({system.labels[i]}, {system.labels[j]}), found {is_there}; give the frames the "
            "topology it was fitted to, or fit it "
            "to this System"
        )


def check_number(system: System, n: int, what: str) -> None:
    """ValueError where the sites of `system` are no whole number of copies of `n` sites."""
    if system.n_sites % n:
        raise ValueError(
            f"{what} was fitted to a System of {n} sites, these frames have {system.n_sites}: "
            "fit it to this System"
        )


def bonds_by_copy(system: System, n: int, what: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n_bonds,) copy of `n` sites each bond lies in, and (n_bonds, 2) its sites counted from the
    start of the copy.

    Raises:
        ValueError: a bond joins two copies, so that they are none.
    """
    pairs = _sorted_pairs(system.bonds)
    across = np.flatnonzero(pairs[:, 0] // n != pairs[:, 1] // n)
    if len(across):
        i, j = pairs[across[0]].tolist()
        raise ValueError(
            f"{what} was fitted to a System of {n} sites: {system.n_sites} sites are served "
            "where they are copies of it, and here "
            f"sites {i} and {j} ({system.labels[i]}, {system.labels[j]}) of two of them are "
            "bonded; fit it to this System"
        )
    return pairs[:, 0] // n, pairs % n


def check_edges(system: System, edges: Sequence[tuple[int, int]], n: int, what: str) -> None:
    """The same for a potential of which only the bonded pairs it has terms for are known, as in
    files of earlier versions.

    Raises:
        ValueError: another number of sites, bonds between copies, or a pair with terms is not
            bonded.
    """
    check_number(system, n, what)
    copies = system.n_sites // n
    if copies == 1 and (not edges or not len(system.bonds)):
        return
    copy_of, pairs = bonds_by_copy(system, n, what)
    wanted = sorted({(min(p), max(p)) for p in edges})
    for copy, bonds in enumerate(_by_copy(copy_of, pairs, copies)):
        found = set(bonds)
        missing = next((p for p in wanted if p not in found), None)
        if missing is not None:
            i, j = (s + copy * n for s in missing)
            raise ValueError(
                f"{what} was fitted to another bond graph: expected a bond between sites {i} "
                f"and {j} ({system.labels[i]}, "
                f"{system.labels[j]}), found none; give the frames the topology it was fitted "
                "to, or fit it to this System"
            )


def _by_copy(
    copy_of: NDArray[np.int64], pairs: NDArray[np.int64], copies: int
) -> list[list[tuple[int, int]]]:
    """The pairs of each copy; `copy_of` is in rising order."""
    ends = np.searchsorted(copy_of, np.arange(1, copies))
    return [[(i, j) for i, j in part.tolist()] for part in np.split(pairs, ends)]


def _sorted_pairs(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 2) each pair in rising order, without repeats, sorted."""
    return np.unique(np.sort(pairs, axis=1), axis=0) if len(pairs) else pairs.reshape(0, 2)
