"""`cleared`: side chains of restored residues turned, and atoms moved, until nothing clashes.

Residues are drawn one by one, and none sees the side chains of the others. Those that overlap are
drawn again; what is left of the overlap is taken out in u of `Split`, where the C-alpha atoms
cannot move, under the covalent geometry that was seen and a repulsion. No force field is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..frames import Frames
from ..units import thermal_energy
from .contacts import CLASH_OVERLAP, ContactRules
from .minimise import minimise
from .reference import ReferenceField
from .residues import ResidueBackmapper

Floats = NDArray[np.float64]
#: nm of overlap that costs nothing: a little less than that of a clash.
_FREE = 0.75 * CLASH_OVERLAP
#: nm of further overlap that costs half a kT, so that bonds of 0.002 nm spread hold against it.
_SOFT = 0.01
#: Rounds in which side chains are drawn again, share of those that overlap in one, and force calls.
_ROUNDS, _SHARE, _STEPS = 40, 0.5, 300
#: Steps that `cleared` has done when it is through.
CLEARING = _ROUNDS + _STEPS


def cleared(
    fine: Frames,
    backmapper: ResidueBackmapper,
    generator: torch.Generator,
    draws: int = 1,
    done: Callable[[], object] = lambda: None,
) -> Frames:
    """Frames on the same C-alpha atoms, with fewer clashes.

    Args:
        fine: frames that `backmapper` restored, `draws` of each trace, those of the first trace
            first.
        backmapper: its side chains are drawn again, and its covalent geometry holds.
        generator: of the draws.
        draws: of which the one with least overlap is kept.
        done: called after each of `CLEARING` steps, for a progress bar.
    """
    field = OverlapField(fine, backmapper)
    turned = _turned(fine, backmapper, field, generator, done)
    overlap = field.by_residue(turned).sum(1).reshape(-1, draws)
    least = np.arange(len(overlap)) * draws + overlap.argmin(1)
    return minimise(turned[least], backmapper.split, field, _STEPS, done=done)


class OverlapField:
    """Energies and forces of the covalent geometry that was seen and of overlaps: each, beyond what
    is free, is a half-harmonic spring.

    Args:
        fine: frames whose System and box count.
        backmapper: whose references hold.
    """

    def __init__(self, fine: Frames, backmapper: ResidueBackmapper) -> None:
        self.rules = ContactRules.of(fine.system)
        self.residues = np.asarray(fine.system.residues)
        self.references = ReferenceField(backmapper.mender.references)

    def energy_and_forces(self, frames: Frames) -> tuple[Floats, Floats]:
        """(n_frames,) kJ/mol and (n_frames, n_sites, 3) kJ/mol/nm."""
        energy, forces = self.references.energy_and_forces(frames)
        frame, i, j, over, along = self._overlaps(frames)
        stiffness = thermal_energy(frames.temperature) / _SOFT**2
        energy = energy + 0.5 * stiffness * np.bincount(frame, over**2, len(frames))
        push = stiffness * over[:, None] * along
        np.add.at(forces, (frame, i), -push)
        np.add.at(forces, (frame, j), push)
        return energy, forces

    def by_residue(self, frames: Frames) -> Floats:
        """(n_frames, n_residues) nm, overlap that each residue has a part in."""
        frame, i, j, over, _ = self._overlaps(frames)
        found = np.zeros((len(frames), int(self.residues.max()) + 1))
        for ends in (i, j):
            np.add.at(found, (frame, self.residues[ends]), over)
        return found

    def _overlaps(
        self, frames: Frames
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
        """Frame, sites, overlap beyond what is free (nm), and unit vectors from i to j."""
        x = np.asarray(frames.positions, float)
        frame, i, j, d = self.rules.close(x, None, _FREE)
        over = self.rules.overlap(i, j, d) - _FREE
        some = np.flatnonzero(over > 0)
        frame, i, j = frame[some], i[some], j[some]
        apart = x[frame, j] - x[frame, i]
        return frame, i, j, over[some], apart / np.maximum(d[some], 1e-6)[:, None]


def _turned(
    fine: Frames,
    backmapper: ResidueBackmapper,
    field: OverlapField,
    generator: torch.Generator,
    done: Callable[[], object],
) -> Frames:
    """Side chains that overlap drawn again, some at a time; of each frame the best that was met."""
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    site_of = field.residues[_alphas(backmapper)]
    now = field.by_residue(fine)
    best, least = np.array(fine.positions), now.sum(1)
    for _ in range(_ROUNDS):
        done()
        which = (now > 0) & (rng.random(now.shape) < _SHARE)
        if not which.any():
            continue
        trial = backmapper.redraw(fine, which[:, site_of], generator)
        then = field.by_residue(trial)
        # a residue is taken where it overlaps less, whatever its neighbours do meanwhile
        take = which & (then < now)
        positions = np.where(take[:, field.residues, None], trial.positions, fine.positions)
        fine = replace(fine, positions=positions)
        now = field.by_residue(fine)
        better = now.sum(1) < least
        best[better], least[better] = fine.positions[better], now.sum(1)[better]
    return replace(fine, positions=best)


def _alphas(backmapper: ResidueBackmapper) -> NDArray[np.int64]:
    """(n_sites,) the atom that each site is on."""
    weights = backmapper.mapping.sparse_position_weights.tocsr()
    return np.asarray(weights.indices, np.int64)
