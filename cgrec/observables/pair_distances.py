"""How far two ensembles of a chain are apart in the distances of its site pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames, release
from ..site_labels import SiteError
from ..statistics.divergence import (
    ByDivergence,
    Divergence,
    Tally,
    divergence,
    jensen_shannon_rows,
)
from ..statistics.errors import block_labels, effective_sample_size
from ..trace import counterparts, longest_chain
from ..variables.pairs import OFFSET, pair_names

#: nm of a bin, as the field reports it.
WIDTH = 0.01
#: Pairs that are named as the worst.
_NAMED = 5
#: Pairs whose autocorrelation says how many frames are independent.
_FEW = 8
#: Distances that are held at once.
_AT_ONCE = 4_000_000


class WorstPair(NamedTuple):
    """A pair of sites, and the Jensen-Shannon divergence of its distance, nats."""

    pair: str
    js: float


@dataclass(frozen=True)
class PairDistanceDivergence(ByDivergence):
    """Mean over site pairs of the Jensen-Shannon divergence of their distances, in nats (natural
    logarithm: ln 2 at most), with its sampling floor.

    Attributes:
        divergence: js, error and floors of the mean. Its `floor_spread` takes pairs as independent,
            which they are not; `error` does not.
        n_pairs, n_bins: pairs, and bins that each has.
        offset: least number of places between the two along the chain.
        width: nm of a bin.
        worst: the pairs that differ most, the worst first.
        n_eff_model, n_eff_reference: independent frames, from autocorrelation and weights.
    """

    divergence: Divergence
    n_pairs: int
    n_bins: int
    offset: int
    width: float
    worst: tuple[WorstPair, ...]
    n_eff_model: float
    n_eff_reference: float

    def to_json(self) -> dict[str, object]:
        """Plain numbers and words."""
        own = asdict(self)
        worst = [{"pair": pair, "js": js} for pair, js in self.worst]
        numbers = {key: own["divergence"][key] for key in ("js", "floor", "error")}
        return {**numbers, **own, "worst": worst}


def pair_distance_divergence(
    model: Frames,
    reference: Frames,
    offset: int = OFFSET,
    width: float = WIDTH,
    n_blocks: int | None = None,
    seed: int = 0,
) -> PairDistanceDivergence:
    """The mean Jensen-Shannon divergence of pair distances, "PWD-JS", in nats.

    A histogram of each pair of sites at least `offset` places apart along the chain that both
    ensembles have: alpha carbons, else the longest way along bonds. M. Arts et al., J. Chem. Theory
    Comput. 19, 6151 (2023), and others after them compare models of proteins so.

    The mean over pairs is the divergence of all their histograms side by side, so that error and
    floor are those of `cgrec.statistics.divergence`: blocks hold all pairs of their frames.

    Args:
        model, reference: two ensembles; their Systems may differ.
        offset: least number of places between the two sites of a pair.
        width: nm of a bin; bins begin at zero.
        n_blocks: blocks for error and floor; default `statistics.default_blocks`.
        seed: of the floor's random numbers.

    Raises:
        ValueError: fewer sites in common than a pair needs, or a width that is none.
    """
    if not width > 0:
        raise ValueError(f"pair_distance_divergence: width: expected nm > 0, found {width}")
    pairs = _common_pairs(model, reference, offset)
    ensembles = list(zip((model, reference), pairs))
    longest = max(_longest(frames, own) for frames, own in ensembles)
    n_bins = int(longest / width) + 1
    tallies = [_tally(frames, own, width, n_bins, n_blocks) for frames, own in ensembles]
    first, second = _occupied(*tallies)
    rows = [t.probability.reshape(len(pairs[0]), n_bins) for t in tallies]
    single = jensen_shannon_rows(*(row / row.sum(1, keepdims=True) for row in rows))
    names = pair_names(model.system, pairs[0])
    worst = [WorstPair(names[k], float(single[k])) for k in np.argsort(-single)[:_NAMED]]
    sizes = [effective_sample_size(frames, _some(frames, own)) for frames, own in ensembles]
    found = divergence(first, second, seed)
    return PairDistanceDivergence(found, len(names), n_bins, offset, width, tuple(worst), *sizes)


def _common_pairs(
    model: Frames, reference: Frames, offset: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n_pairs, 2) sites of each."""
    chain = longest_chain(model.system)
    found = []
    for place, site in enumerate(chain):
        try:
            other = counterparts(model.system, [site], reference.system)[0]
        except SiteError:
            continue
        found.append((place, site, other))
    places, own, theirs = np.array(found, np.int64).reshape(-1, 3).T
    i, j = np.triu_indices(len(places), 1)
    apart = np.abs(places[i] - places[j]) >= offset
    if not apart.any():
        raise ValueError(
            f"pair_distance_divergence: expected two sites {offset} places apart or more that both "
            f"have, found {len(places)} sites in common along a chain of {len(chain)}"
        )
    i, j = i[apart], j[apart]
    return np.stack([own[i], own[j]], 1), np.stack([theirs[i], theirs[j]], 1)


def _portions(frames: Frames, pairs: NDArray[np.int64]) -> list[slice]:
    step = max(1, _AT_ONCE // (3 * max(len(pairs), frames.n_sites)))
    return [slice(start, start + step) for start in range(0, len(frames), step)]


def _distances(frames: Frames, pairs: NDArray[np.int64], part: slice) -> NDArray[np.float64]:
    found: NDArray[np.float64] = geometry.distance(np.asarray(frames.positions[part], float), pairs)
    release(frames.positions)
    return found


def _longest(frames: Frames, pairs: NDArray[np.int64]) -> float:
    """nm."""
    return max(float(_distances(frames, pairs, part).max()) for part in _portions(frames, pairs))


def _tally(
    frames: Frames, pairs: NDArray[np.int64], width: float, n_bins: int, n_blocks: int | None
) -> Tally:
    """The histograms of all pairs side by side, counted a few frames at a time."""
    weights, blocks = frames.normalised_weights(), block_labels(frames, n_blocks)
    n_cells, n_labels = len(pairs) * n_bins, int(blocks.max()) + 1
    sums, squares = np.zeros(n_labels * n_cells), np.zeros(n_cells)
    for part in _portions(frames, pairs):
        cells = (_distances(frames, pairs, part) / width).astype(np.int64)
        cells = np.minimum(cells, n_bins - 1) + np.arange(len(pairs)) * n_bins
        each = np.broadcast_to(weights[part, None], cells.shape).ravel()
        places = (blocks[part, None] * n_cells + cells).ravel()
        sums += np.bincount(places, each, n_labels * n_cells)
        squares += np.bincount(cells.ravel(), each**2, n_cells)
    return Tally(sums.reshape(n_labels, n_cells), squares, len(frames) * len(pairs))


def _occupied(first: Tally, second: Tally) -> tuple[Tally, Tally]:
    """Both without the cells that neither has seen, which are most."""
    seen = (first.squares > 0) | (second.squares > 0)
    own, other = (Tally(t.sums[:, seen], t.squares[seen], t.n_frames) for t in (first, second))
    return own, other


def _some(frames: Frames, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n_frames, few) distances of a few pairs, spread over all."""
    few = np.unique(np.linspace(0, len(pairs) - 1, _FEW).round().astype(int))
    return _distances(frames, pairs[few], slice(None))
