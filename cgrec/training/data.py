"""What a fit learns from: labelled frames as graphs, which are for validation, in which order they
come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ..devices import sent
from ..frames import Frames
from ..potential.base import Potential, portion
from ..potential.graph import SiteGraph
from ..statistics.sampling import blocks_of
from ..system import System

#: Blocks of time a sample without replicas is cut into: enough to hold out any tenth, and each
#: still long beside the time in which neighbouring frames forget each other.
BLOCKS = 20
#: Frames of which a prior's forces are computed at a time.
PRIOR_BATCH = 1024


class LabelledGraphs(Dataset[SiteGraph]):
    """Frames as training data: asking for an array of frame numbers gives them as one graph with
    its labels.

    Whole batches at once, because putting a few hundred small graphs together one by one costs more
    than the network.

    Args:
        potential: what is trained; it makes the graphs.
        frames: with forces; weights are honoured.
        which: numbers of the frames that are meant.
        priors: subtracted from the labels.

    Attributes:
        frames: those that are meant.
        squares: (n_frames,) mean square of the full force labels per component, (kJ/mol/nm)^2.
        forces: (n_frames, n_sites, 3) kJ/mol/nm that the priors leave.
        energies: (n_frames,) kJ/mol that the priors leave; without energy labels, minus theirs.
        weights: (n_frames,) of the frames, their mean is one.
    """

    def __init__(
        self,
        potential: Potential,
        frames: Frames,
        which: NDArray[np.int64],
        priors: Sequence[Potential] = (),
    ) -> None:
        self.potential = potential
        self.priors = list(priors)
        self.frames = frames[which]
        forces = np.asarray(self.frames.need_forces(), float)
        check_finite(forces, which, frames.system, "force labels")
        self.squares = np.mean(forces**2, axis=(1, 2))
        labels = self.frames.energies
        energies = np.zeros(len(which)) if labels is None else np.asarray(labels, float)
        for prior in priors:
            # tracing does not pay for one pass
            fast = prior.compiled() if prior.device.type == "cpu" else prior
            energy, force = fast.energy_and_forces(self.frames, batch_size=PRIOR_BATCH)
            check_finite(force, which, frames.system, f"forces of the prior {type(prior).__name__}")
            forces = forces - force
            energies = energies - energy
        weights = (
            np.ones(len(which))
            if self.frames.weights is None
            else np.array(self.frames.weights, float)
        )
        self.positions = self.frames.positions
        self.forces = torch.from_numpy(forces)
        self.energies = torch.from_numpy(energies)
        self.weights = torch.from_numpy(weights / weights.mean())

    @cached_property
    def scale(self) -> float:
        """Root mean square of `forces`, kJ/mol/nm; 1 where all are zero."""
        return float(np.sqrt(np.mean(self.forces.numpy() ** 2))) or 1.0

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, which: NDArray[np.int64]) -> SiteGraph:
        graph = self.potential.graph(self.frames[which])
        device = graph.positions.device
        graph.labels = sent(self.forces[which].reshape(-1, 3), device)
        graph.frame_energies = sent(self.energies[which], device)
        graph.frame_weights = sent(self.weights[which], device)
        if self.frames.temperatures is not None:
            sampled = np.array(self.frames.temperatures[which], float)
            graph.frame_temperatures = sent(torch.from_numpy(sampled), device)
        return graph

    def batches(self, size: int, which: NDArray[np.int64] | None = None) -> Iterator[SiteGraph]:
        """Frames `which`, by default all, in order; at most `size` at a time, and one graph in
        memory at a time.
        """
        which = np.arange(len(self)) if which is None else which
        step = portion(self.frames.n_sites, size)
        return (self[which[start : start + step]] for start in range(0, len(which), step))


@dataclass(frozen=True)
class Order:
    """The order in which frames come: shuffled epochs, a function of seed and step only, so that a
    resumed fit sees the same.

    Attributes:
        n_frames: there are.
        batch_size: frames of a step, of all processes together.
        seed: of the shuffling.
        share, shares: number of this process, and how many there are.
    """

    n_frames: int
    batch_size: int
    seed: int
    share: int = 0
    shares: int = 1

    def batch(self, step: int) -> NDArray[np.int64]:
        """Numbers of this process's frames of a step."""
        size = min(self.batch_size, self.n_frames)
        epoch, place = divmod(step, self.n_frames // size)
        order = _shuffled(self.n_frames, self.seed, epoch)
        return order[place * size : (place + 1) * size][self.share :: self.shares]


@lru_cache(maxsize=2)
def _shuffled(n_frames: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Frame numbers in the order of an epoch; not to be written to."""
    return np.random.default_rng((seed, epoch)).permutation(n_frames)


def split(
    frames: Frames, validation_fraction: float, n_blocks: int = BLOCKS
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """(training frame numbers, validation blocks), cut by replica or by blocks of time, never by
    random frames.

    Raises:
        ValueError: too few frames, or a fraction outside (0, 1).
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(
            f"validation_fraction: expected a number between 0 and 1, found {validation_fraction}"
        )
    blocks = blocks_of(frames, min(n_blocks, len(frames)))
    if len(blocks) < 2:
        raise ValueError(
            f"training needs at least 2 frames to keep some for validation, found {len(frames)}"
        )
    wanted = max(1, round(validation_fraction * len(blocks)))
    held = set(np.linspace(0, len(blocks) - 1, wanted + 2).round().astype(int)[1:-1].tolist())
    training = np.sort(np.concatenate([b for k, b in enumerate(blocks) if k not in held]))
    return training, [b for k, b in enumerate(blocks) if k in held]


def thinned(which: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Every so manieth of `which`, so that they are at most `most`."""
    return which[:: max(1, -(-len(which) // most))]


def check_finite(
    labels: NDArray[np.floating], which: NDArray[np.int64], system: System, what: str
) -> None:
    """ValueError that names the first frame and site where labels (n_frames, n_sites, 3) are not
    finite.

    Args:
        which: number of each frame in the sample it comes from.
        what: of what the labels are, for the message.
    """
    bad = np.argwhere(~np.isfinite(labels).all(-1))
    if len(bad):
        frame, site = bad[0].tolist()
        frames = np.unique(bad[:, 0])
        raise ValueError(
            f"frame {which[frame]}, site {site} ({system.labels[site]}): expected finite "
            f"{what}, found {labels[frame, site].tolist()} "
            f"({len(frames)} of {len(labels)} frames, the first ones "
            f"{which[frames[:5]].tolist()}); two sites at one place, or three "
            "on a line? Leave these frames out"
        )
