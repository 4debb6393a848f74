"""Whether a run has come to rest: `compared` tells its second half from the quarter before it, in
energy and in the distribution of new molecules about kept sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..observables import block_average, mean_absolute_difference, rdf
from ..observables.pair_counts import half_width
from ..observables.structure import RadialDistribution
from ..system import System
from .insertion import heavy_atoms

Indices = NDArray[np.int64]

#: Blocks of each of the two stretches of time that are compared; few, so that one outlasts a
#: solvent molecule's memory.
BLOCKS = 5
#: nm per bin of the distributions compared, and how far they reach.
_BIN, _REACH = 0.02, 0.8


@dataclass(frozen=True)
class Check:
    """The second half of a run so far against the quarter before it.

    Attributes:
        time: ps run so far, after relaxation.
        energy: mean of the second half, kJ/mol per inserted molecule.
        energy_difference, energy_error: of the two means, kJ/mol per molecule, from blocks.
        rdf_difference: mean |difference| of g(r) of kept sites and inserted heavy atoms, over
            distances and pairs of types.
        rdf_floor: what two samples of one ensemble with these block errors show by chance.
        rdf_error: standard error of `rdf_difference`.
    """

    time: float
    energy: float
    energy_difference: float
    energy_error: float
    rdf_difference: float
    rdf_floor: float
    rdf_error: float

    @property
    def stationary(self) -> bool:
        """Both agree within two standard errors."""
        return (
            abs(self.energy_difference) <= 2 * self.energy_error
            and self.rdf_difference <= self.rdf_floor + 2 * self.rdf_error
        )

    def __str__(self) -> str:
        return (
            f"{self.time:g} ps: energy {self.energy:.3f} kJ/mol per molecule, difference "
            f"{self.energy_difference:.3f} +- "
            f"{self.energy_error:.3f}; g(r) difference {self.rdf_difference:.3f} +- "
            f"{self.rdf_error:.3f}, by chance "
            f"{self.rdf_floor:.3f}"
        )


def compared(run: Frames, time: float, kept: Indices, molecules: Sequence[Indices]) -> Check:
    """Second half of a run against the quarter before.

    Args:
        run: equally spaced frames of it, with energies.
        time: ps run so far.
        kept: the sites that stay.
        molecules: sites of each inserted molecule.

    Raises:
        ValueError: fewer than 20 frames.
    """
    n = len(run)
    early, late = run[n // 4 : n // 2], run[n // 2 :]
    share = 1 / len(molecules)
    a, b = (
        block_average(f, lambda x: share * np.asarray(x.energies).mean(), BLOCKS)
        for f in (early, late)
    )
    found = [
        mean_absolute_difference(x, y, 0.0, x.r[-1])
        for x, y in zip(_rdfs(early, kept, molecules), _rdfs(late, kept, molecules))
    ]
    return Check(
        time=time,
        energy=float(b.value),
        energy_difference=float(b.value - a.value),
        energy_error=float(np.hypot(a.error, b.error)),
        rdf_difference=float(np.mean([d.value for d in found])),
        rdf_floor=float(np.mean([d.floor for d in found])),
        rdf_error=float(np.linalg.norm([d.error for d in found]) / len(found)),
    )


def _rdfs(frames: Frames, kept: Indices, molecules: Sequence[Indices]) -> list[RadialDistribution]:
    """g(r) of every type kept and every heavy type inserted, which are told apart even where
    they are called alike.
    """
    system = frames.system
    heavy = np.concatenate([heavy_atoms(system, atoms) for atoms in molecules])
    sites = np.concatenate([kept, heavy])
    types = [f"{'kept' if k < len(kept) else 'new'} {system.types[i]}" for k, i in enumerate(sites)]
    # bonds left out: nothing here asks for molecules
    view = System(names=tuple(types), masses=system.masses[sites])
    frames = replace(frames, system=view, positions=frames.positions[:, sites], forces=None)
    bins = int(min(_REACH, half_width(frames)[0]) / _BIN)
    kinds = [sorted({t for t in types if t.startswith(which)}) for which in ("kept", "new")]
    return [
        rdf(frames, a, b, bins * _BIN, bins, n_blocks=BLOCKS) for a in kinds[0] for b in kinds[1]
    ]
