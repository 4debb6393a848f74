"""Pairs of sites along a chain: their distances, and which of them are in contact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..ranges import expect
from ..site_labels import SiteError
from ..system import System
from ..trace import longest_chain
from .base import FrameVariable

#: Places between the two sites of a pair along the chain: nearer ones are held by bonds and angles.
OFFSET = 3


@dataclass(frozen=True)
class SitePairs:
    """The pairs of sites along a chain that are `offset` places apart or more.

    Attributes:
        sites: labels in the order of the chain; empty: the alpha carbons, else the longest way
            along bonds (`cgrec.trace.longest_chain`).
        offset: least number of places between the two.
    """

    sites: tuple[str, ...] = ()
    offset: int = OFFSET

    def __post_init__(self) -> None:
        expect("SitePairs", at_least=1, offset=self.offset)

    def chain(self, system: System) -> list[int]:
        """Sites of `system`, in order.

        Raises:
            SiteError: a label that it does not have.
        """
        return [system.site(label) for label in self.sites] or longest_chain(system)

    def pairs(self, system: System) -> NDArray[np.int64]:
        """(n_pairs, 2) sites.

        Raises:
            ValueError: a chain too short to have one.
        """
        return _pairs(self, system)

    def missing_on(self, system: System) -> str | None:
        """Why `system` has no such pairs, in words; None where it has."""
        try:
            self.pairs(system)
        except (SiteError, ValueError) as error:
            return str(error)
        return None


@lru_cache(maxsize=32)  # a bias asks at every step
def _pairs(chosen: SitePairs, system: System) -> NDArray[np.int64]:
    chain = np.array(chosen.chain(system), np.int64)
    i, j = np.triu_indices(len(chain), chosen.offset)
    if not len(i):
        raise ValueError(
            f"expected a chain of more than {chosen.offset} sites, found {len(chain)}: give a "
            "smaller offset, or name the sites"
        )
    return np.stack([chain[i], chain[j]], 1)


class PairVariable(FrameVariable):
    """Interface of variables with a column for each pair of sites along a chain, whose attributes
    `sites` and `offset` are those of `SitePairs`.
    """

    name: str
    sites: tuple[str, ...]
    offset: int

    def __post_init__(self) -> None:
        expect(self.name, at_least=1, offset=self.offset)
        object.__setattr__(self, "sites", tuple(self.sites))
        self._chosen  # noqa: B018  refuses what it cannot be

    @property
    def _chosen(self) -> SitePairs:
        return SitePairs(self.sites, self.offset)

    def pairs(self, system: System) -> NDArray[np.int64]:
        """(n_pairs, 2) sites of `system`.

        Raises:
            SiteError: a label that it does not have. ValueError: a chain too short.
        """
        return self._chosen.pairs(system)

    def columns(self, system: System) -> tuple[str, ...]:
        """Names of the pairs."""
        return tuple(pair_names(system, self.pairs(system)))

    def missing_on(self, system: System) -> str | None:
        """Why there are no such pairs, in words; None where there are."""
        return self._chosen.missing_on(system)


def pair_names(system: System, pairs: Sequence[Sequence[int]] | NDArray[np.int64]) -> list[str]:
    """ "TYR1:CA - GLY7:CA" of each pair."""
    labels = system.unique_labels
    return [f"{labels[int(i)]} - {labels[int(j)]}" for i, j in pairs]
