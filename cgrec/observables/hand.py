"""The hand of a chain that only has alpha carbons left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..statistics.errors import jackknife_rows
from ..variables.helix import alpha_carbons_of, helical_turns


@dataclass(frozen=True)
class HelixHand:
    """Helical turns of a chain of alpha carbons by their hand.

    Attributes:
        turns: four consecutive alpha carbons along the chain, helical or not.
        right, left: mean share of them that are turns of a right-handed alpha helix, which L amino
            acids make, and of its mirror image, each with its standard error.
    """

    turns: int
    right: tuple[float, float]
    left: tuple[float, float]

    def to_json(self) -> dict[str, object]:
        """Plain numbers."""
        return {"turns": self.turns, "right": list(self.right), "left": list(self.left)}


def helix_hand(frames: Frames, n_blocks: int | None = None) -> HelixHand | None:
    """How much of a chain is a right-handed helix, and how much a left-handed one; None where it
    has no four alpha carbons.

    The dihedral of four alpha carbons of an alpha helix is +50 degrees, of its mirror image -50; the
    turns are those of P-SEA (G. Labesse et al., CABIOS 13, 291 (1997)), with either sign. A model
    that sees distances alone gives as many of one as of the other.

    Args:
        frames: with alpha carbons, beside other sites or alone.
        n_blocks: for the errors; default `statistics.default_blocks`.
    """
    if len(alpha_carbons_of(frames.system)) < 4:
        return None
    turns = helical_turns(frames)
    shares = np.stack([hand.mean(1) for hand in turns], 1)
    found = jackknife_rows(frames, shares, n_blocks=n_blocks)
    right, left = zip(found.value.tolist(), found.error.tolist())
    return HelixHand(turns[0].shape[1], right, left)


def mirror_images(frames: Frames, reference: Frames) -> int:
    """Number of frames whose trace is nearer to the mirror image of `reference` than to it: for a
    fold that is no helix.

    The volumes of four consecutive alpha carbons, which change their sign in a mirror, are
    multiplied by those of the reference and summed. The sum is negative for a mirror image, and of
    either sign for a random chain.

    Args:
        frames: with alpha carbons.
        reference: of which the first frame is taken, with as many.

    Raises:
        ValueError: no four alpha carbons, or another number of them.
    """
    found, right = (_volumes(f) for f in (frames, reference[:1]))
    if found.shape[1] != right.shape[1] or not right.shape[1]:
        raise ValueError(
            "mirror_images: expected four alpha carbons or more, as many as in the reference, "
            f"found {found.shape[1]} and {right.shape[1]} sets of four"
        )
    return int(((found * right).sum(1) < 0).sum())


def _volumes(frames: Frames) -> NDArray[np.float64]:
    """(n_frames, n - 3) nm^3 spanned by each four consecutive alpha carbons, with its sign."""
    alphas = alpha_carbons_of(frames.system)
    if len(alphas) < 4:
        return np.zeros((len(frames), 0))
    x = np.asarray(frames.positions[:, alphas], float)
    u, v, w = (x[:, k + 1 : len(alphas) - 2 + k] - x[:, k : len(alphas) - 3 + k] for k in range(3))
    return np.asarray((u * np.cross(v, w)).sum(-1))
