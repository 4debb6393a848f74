"""A named function of a few sites: what levels are compared in, biased along and plotted against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import geometry
from .bonds import shortest_paths
from .frames import Frames
from .geometry import X
from .system import System

_KINDS: dict[int, geometry.Formula] = {
    2: geometry.distance,
    3: geometry.angle,
    4: geometry.dihedral,
}


@dataclass(frozen=True)
class CollectiveVariable:
    """Distance (2 sites, nm), angle (3 sites, rad) or dihedral (4 sites, rad) of the sites with
    these labels.

    Attributes:
        name: what plots and tables call it.
        sites: site labels, as `System.site` takes them.
    """

    name: str
    sites: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", tuple(self.sites))
        wrong = [site for site in self.sites if not isinstance(site, str)]
        if wrong:
            raise ValueError(
                f"collective variable {self.name!r}: expected labels of sites, which are text, "
                f"found {wrong[0]!r}; site "
                "number 3 is '#3'"
            )
        if len(self.sites) not in _KINDS:
            raise ValueError(
                f"collective variable {self.name!r}: expected 2, 3 or 4 sites, found "
                f"{len(self.sites)}"
            )

    @property
    def periodic(self) -> bool:
        """Whether -pi and pi are the same value."""
        return len(self.sites) == 4

    @property
    def unit(self) -> str:
        """Unit of the value."""
        return "nm" if len(self.sites) == 2 else "rad"

    def defined_on(self, system: System) -> bool:
        """Whether all its sites exist in `system`, that is, whether it is a function of that
        level's own sites.
        """
        try:
            self.indices(system)
        except KeyError:
            return False
        return True

    def indices(self, system: System) -> NDArray[np.int64]:
        """(1, k) site indices. Raises KeyError where a site does not exist."""
        return np.array([[system.site(label) for label in self.sites]])

    def values(self, positions: X, system: System) -> X:
        """(...,) value for positions (..., n_sites, 3) nm, a numpy array or a torch tensor."""
        return _KINDS[len(self.sites)](positions, self.indices(system))[..., 0]

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) value in every frame."""
        return self.values(np.asarray(frames.positions, float), frames.system)


def variables_from_config(
    config: Mapping[str, Sequence[str]] | None,
) -> tuple[CollectiveVariable, ...]:
    """{name: [site labels]} as written in YAML -> variables."""
    return tuple(CollectiveVariable(name, tuple(sites)) for name, sites in (config or {}).items())


#: What `default_variables` may be called.
DEFAULT_NAMES = frozenset({"ends", "turn", "bend"})


def default_variables(system: System) -> tuple[CollectiveVariable, ...]:
    """What a level is compared in where nobody said: how its largest molecule is stretched and
    turned.

    `ends` is the distance of the first and the last site of its chain, `turn` the dihedral of four
    sites along it, `bend` the angle of three. The chain is that of the alpha carbons, else the
    longest along bonds without hydrogens. Sites that are not bonded have the distance of the first
    two. A single site has none.
    """
    chain = longest_chain(system)
    if len(chain) < 2 and system.n_sites > 1:
        chain = [0, 1]
    if len(chain) < 2:
        return ()
    sites = [_unique(system, site) for site in chain]
    found = [CollectiveVariable("ends", (sites[0], sites[-1]))]
    if len(sites) == 3:
        found.append(CollectiveVariable("bend", tuple(sites)))
    if len(sites) > 3:
        thirds = np.linspace(0, len(sites) - 1, 4).round().astype(int)
        found.append(CollectiveVariable("turn", tuple(sites[k] for k in thirds)))
    return tuple(found)


def longest_chain(system: System) -> list[int]:
    """Alpha carbons of the largest molecule, where it has two or more; else the sites between the
    two furthest apart.

    Far is counted in bonds, without hydrogens, by two breadth-first searches, the second from where
    the first ended: exact for a tree, and good enough for one with rings.
    """
    largest = max(system.molecule_sites(), key=len).tolist()
    carbons = [i for i in largest if system.names[i] == "CA" and system.elements[i] in ("C", "X")]
    alphas = {int(system.residues[i]): i for i in carbons}
    if len(alphas) > 1:
        return [alphas[residue] for residue in sorted(alphas)]
    inside = {i for i in largest if system.elements[i] != "H"} or set(largest)
    near = system.neighbours()
    first = shortest_paths(near, min(inside), inside)
    end = max(first, key=lambda site: len(first[site]))
    chain = max(shortest_paths(near, end, inside).values(), key=len)
    return chain if chain[0] <= chain[-1] else chain[::-1]


def _unique(system: System, site: int) -> str:
    """Its label, or its index where no label means it alone."""
    label = system.unique_labels[site]
    return f"#{site}" if label.endswith(")") else label
