"""`check_possible` names C-alpha atoms that are where no protein has them; `relaxed_trace` moves
them.

Two bonded residues are 0.38 nm apart across a trans peptide bond and 0.29 nm across a cis one
whatever the protein does, and the angle between three is 80 to 150 degrees. A trace with noise, of a coarse model or of
low resolution, has them otherwise, and no residue fits between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.spatial import cKDTree

from ..frames import Frames
from .disulphides import residue_labels
from .split import Unit, whole
from .traces import TraceChain

Floats = NDArray[np.float64]
#: nm between bonded residues, across a trans and a cis peptide bond, and degrees between three, that
#: are restored without broken bonds; and how much further inside what is moved is brought.
TRANS, CIS, ANGLE = (0.335, 0.430), (0.250, 0.335), (74.0, 165.0)
_INSIDE, _INSIDE_ANGLE = 0.025, 10.0
#: nm; half way between cis and trans.
_MIDDLE = 0.335
#: nm between residues that are no neighbours, at least.
_APART = 0.38
#: How much more a bound weighs than staying: what is left outside of it is that much smaller than
#: what a C-alpha atom moves.
_WEIGHT = 1e4
#: Places named in a message.
_NAMED = 6


@dataclass(frozen=True)
class Bounds:
    """Pairs of sites (n, 2) and the least and largest distance of each, nm (n,)."""

    pairs: NDArray[np.int64]
    low: Floats
    high: Floats

    def outside(self, x: Floats) -> tuple[Floats, Floats]:
        """(n,) nm by which pairs of positions (n_sites, 3) are too far (positive) or too near, and
        their distances.
        """
        apart = x[self.pairs[:, 1]] - x[self.pairs[:, 0]]
        d = np.linalg.norm(apart, axis=1)
        return np.where(d > self.high, d - self.high, np.where(d < self.low, d - self.low, 0)), d

    def joined(self, other: Bounds) -> Bounds:
        """Both."""
        return Bounds(
            np.concatenate([self.pairs, other.pairs]),
            np.concatenate([self.low, other.low]),
            np.concatenate([self.high, other.high]),
        )


def check_possible(frames: Frames, chains: Sequence[TraceChain], units: list[Unit]) -> None:
    """ValueError where neighbours are too near or too far, or three in a line or on a point, in most
    frames: no residue fits there.

    Args:
        frames: of C-alpha atoms.
        chains: of them.
        units: of the mapping, which say what hangs together in a box.
    """
    x = whole(units, np.asarray(frames.positions, float), frames.boxes())
    labels = residue_labels(frames.system)
    found: dict[tuple[int, int], list[float]] = {}
    for t in range(len(x)):
        bounds = _bounds(x[t], chains, 0.0)
        off, d = bounds.outside(x[t])
        for k in np.flatnonzero(off).tolist():
            pair = (int(bounds.pairs[k, 0]), int(bounds.pairs[k, 1]))
            found.setdefault(pair, []).append(float(d[k]))
    often = {pair: values for pair, values in found.items() if 2 * len(values) > len(x)}
    if not often:
        return
    words = [
        f"{labels[i]} and {labels[j]} {np.mean(values):.3f} nm"
        + (" (by their angle)" if j - i > 1 else "")
        for (i, j), values in list(often.items())[:_NAMED]
    ]
    more = f" and {len(often) - _NAMED} more" if len(often) > _NAMED else ""
    raise ValueError(
        f"backmap: expected C-alpha atoms of neighbours {TRANS[0]:.2f} to {TRANS[1]:.2f} nm apart "
        f"({CIS[0]:.2f} to {CIS[1]:.2f} nm across a cis peptide bond) and the angle of three "
        f"{ANGLE[0]:.0f} to {ANGLE[1]:.0f} degrees, found {', '.join(words)}{more}: no residue fits "
        "there; relax=true moves C-alpha atoms, as little as that needs, to where a protein can "
        "have them"
    )


def relaxed_trace(frames: Frames, chains: Sequence[TraceChain], units: list[Unit]) -> Frames:
    """The nearest trace in which neighbours, and those over one residue, are as far apart as in a
    protein, and no others touch: the sum of squares of what C-alpha atoms move is made small, with
    penalties for what is outside, by L-BFGS (scipy).

    A peptide bond is taken for cis only before proline, and where its C-alpha atoms are nearer to
    0.29 than to 0.38 nm.

    Args:
        frames, chains, units: see `check_possible`.
    """
    x = whole(units, np.asarray(frames.positions, float), frames.boxes())
    found = np.stack([_relaxed(place, chains) for place in x])
    return replace(frames, positions=found)


def _relaxed(start: Floats, chains: Sequence[TraceChain]) -> Floats:
    """(n_sites, 3) nm near `start`."""
    bounds = _bounds(start, chains, 1.0, cis_before=("PRO",))
    bounds = bounds.joined(_touching(start, bounds))
    i, j = bounds.pairs.T

    def cost(flat: Floats) -> tuple[float, Floats]:
        x = flat.reshape(start.shape)
        off, d = bounds.outside(x)
        gradient = x - start
        total = 0.5 * (gradient**2).sum() + 0.5 * _WEIGHT * (off**2).sum()
        push = (_WEIGHT * off / np.maximum(d, 1e-9))[:, None] * (x[j] - x[i])
        np.add.at(gradient, j, push)
        np.add.at(gradient, i, -push)
        return float(total), gradient.ravel()

    # three in a line feel no force to the side
    nudge = 1e-3 * np.random.default_rng(0).standard_normal(start.size)
    found = optimize.minimize(
        cost, start.ravel() + nudge, jac=True, method="L-BFGS-B", options={"maxiter": 2000}
    )
    return np.asarray(found.x).reshape(start.shape)


def _bounds(
    x: Floats, chains: Sequence[TraceChain], inside: float, cis_before: Sequence[str] | None = None
) -> Bounds:
    """Of neighbours and next neighbours in positions (n_sites, 3).

    Args:
        x: nm.
        chains: of the sites.
        inside: share of `_INSIDE` by which they are narrower.
        cis_before: residues before which a peptide bond may be cis; by default all.
    """
    pairs, low, high = [], [], []
    least, most = ANGLE[0] + inside * _INSIDE_ANGLE, ANGLE[1] - inside * _INSIDE_ANGLE
    for chain in chains:
        steps = []
        for k, (i, j) in enumerate(zip(chain.sites, chain.sites[1:]), 1):
            able = cis_before is None or chain.residues[k].name in cis_before
            d = float(np.linalg.norm(x[j] - x[i]))
            span = CIS if able and d < _MIDDLE else TRANS
            pairs.append((i, j))
            low.append(span[0] + inside * _INSIDE)
            high.append(span[1] - inside * _INSIDE)
            steps.append(float(np.clip(d, low[-1], high[-1])))
        for k, (i, j) in enumerate(zip(chain.sites, chain.sites[2:])):
            pairs.append((i, j))
            low.append(_across(steps[k], steps[k + 1], least))
            high.append(_across(steps[k], steps[k + 1], most))
    return Bounds(np.array(pairs), np.array(low), np.array(high))


def _across(a: float, b: float, angle: float) -> float:
    """The third side of a triangle of sides a and b and the angle between them, degrees."""
    return float(np.sqrt(a**2 + b**2 - 2 * a * b * np.cos(np.radians(angle))))


def _touching(x: Floats, known: Bounds) -> Bounds:
    """Of all other pairs that could come to touch, which have to stay apart."""
    near = cKDTree(x).query_pairs(_APART + 0.1, output_type="ndarray")
    n = len(x)
    held = np.sort(known.pairs, axis=1) @ [n, 1]
    pairs = near[~np.isin(np.sort(near, axis=1) @ [n, 1], held)]
    return Bounds(pairs, np.full(len(pairs), _APART), np.full(len(pairs), np.inf))
