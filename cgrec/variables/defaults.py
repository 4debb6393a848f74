"""What a level is compared in where nobody said."""

from __future__ import annotations

import numpy as np

from ..system import System
from ..trace import longest_chain
from .collective import CollectiveVariable

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


def _unique(system: System, site: int) -> str:
    """Its label, or its index where no label means it alone."""
    label = system.unique_labels[site]
    return f"#{site}" if label.endswith(")") else label
