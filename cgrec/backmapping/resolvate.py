"""The inverse of a mapping that drops whole molecules: solvent put back around sites that stay
where they are.

A sample of p(solvent | kept sites): the molecules that `Drop` left out are inserted at their known
number, relaxed, and sampled under the finer level's potential with the kept sites frozen, until
their energy and their distribution about the kept sites are stationary. Frozen sites make the round
trip exact; if the coarse frames follow the marginal of the fine ensemble, the draws follow the fine
ensemble.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import open_npz, write_whole
from ..frames import Frames
from ..mapping import Mapping
from ..observables.pair_counts import half_width
from ..remarks import remark
from .insertion import Insertion
from .solvent_engines import Engine
from .solvent_engines import OpenMMEngine as OpenMMEngine
from .solvent_engines import PotentialEngine as PotentialEngine
from .stationarity import BLOCKS, Check, compared

Array = NDArray[np.float64]

#: nm by which a kept site may come back moved from an engine: rounding of single precision.
_ROUNDING = 1e-4


@dataclass
class Resolvation:
    """Solvent around coarse frames, `resolvation(coarse_frames) -> Frames` of all sites of
    `mapping.fine`.

    Attributes:
        mapping: keeps single sites and drops whole molecules, as `Drop` makes it.
        template: Frames of a System with one molecule or more of every kind dropped (same names in
            the same order); the first molecule of its first frame lends its geometry.
        engine: samples the solvent.
        stretch: ps between two looks at whether the run is stationary.
        least, most: ps run in any case, and at most; after `most`, a RuntimeWarning says how far
            from stationary it is.
        closest: nm; molecules of one heavy atom start so far from kept sites and each other, larger
            ones farther.
        folder: keeps each finished frame, so that an interrupted call goes on where it was; None:
            nothing is kept.
        traces: the checks made for each coarse frame of the last call.

    Raises:
        ValueError: a coarse site is no single fine site, part of a molecule is kept, the template
            lacks a kind of molecule, or the lengths contradict each other.
    """

    mapping: Mapping
    template: Frames
    engine: Engine
    stretch: float = 5.0
    least: float = 20.0
    most: float = 100.0
    closest: float = 0.2
    folder: Path | None = None
    traces: list[list[Check]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.stretch <= self.least <= self.most:
            raise ValueError(
                f"Resolvation: expected 0 < stretch <= least <= most ps, found {self.stretch}, "
                f"{self.least}, {self.most}"
            )
        self._insertion = Insertion(self.mapping, self.template)
        self.kept = self._insertion.kept
        self.molecules = self._insertion.molecules

    def __call__(
        self,
        coarse_frames: Frames,
        n_draws: int = 1,
        generator: np.random.Generator | int | None = None,
    ) -> Frames:
        """(n_frames * n_draws) fine Frames, the draws of frame 0 first, with the box, weights and
        replicas of the coarse.

        Draws of one frame are spread evenly over the second half of one run.

        Raises:
            ValueError: no box, sites of another System, no room for the molecules, or `folder`
                holds another call's frames.
            RuntimeError: the engine moved a kept site.
        """
        if coarse_frames.system.names != self.mapping.coarse.names:
            raise ValueError(
                f"Resolvation: expected frames of the mapping's {self.mapping.coarse.n_sites} "
                "coarse sites, found "
                f"{coarse_frames.n_sites} sites of other names or order; map them, or reorder "
                "their sites"
            )
        half_width(coarse_frames)  # names the missing box
        seeds = np.random.default_rng(generator).integers(2**31 - 1, size=len(coarse_frames))
        self.traces, positions = [], []
        for k, seed in enumerate(seeds.tolist()):
            drawn, trace = self._resumed(k, coarse_frames[k], n_draws, seed)
            self.traces.append(trace)
            positions.append(drawn)
        repeated = np.repeat(np.arange(len(coarse_frames)), n_draws)
        return replace(
            coarse_frames[repeated],
            system=self.mapping.fine,
            positions=np.concatenate(positions),
            forces=None,
            energies=None,
        )

    def insert(self, frame: Frames, random: np.random.Generator) -> Frames:
        """One coarse frame with all molecules put in, whole, turned at random, on free points of a
        lattice; unrelaxed.

        Raises:
            ValueError: no room.
        """
        return self._insertion(frame, random, self.closest)

    def _resumed(self, k: int, frame: Frames, n_draws: int, seed: int) -> tuple[Array, list[Check]]:
        """What `_sample` gives, from `folder` where it was finished before."""
        if self.folder is None:
            return self._sample(frame, n_draws, seed)
        path = Path(self.folder) / f"frame_{k:05d}.npz"
        if not path.exists():
            drawn, trace = self._sample(frame, n_draws, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            _save_draws(path, drawn, json.dumps([asdict(c) for c in trace]))
        with open_npz(path) as saved:
            drawn, trace = saved["positions"], [Check(**c) for c in json.loads(str(saved["trace"]))]
        if len(drawn) != n_draws or not np.array_equal(drawn[0, self.kept], frame.positions[0]):
            raise ValueError(
                f"{path}: expected {n_draws} draws of this coarse frame, found {len(drawn)} "
                "draws or other kept sites; use another "
                "folder, or remove this one"
            )
        return drawn, trace

    def _sample(self, frame: Frames, n_draws: int, seed: int) -> tuple[Array, list[Check]]:
        """(n_draws, n_fine, 3) nm, and the checks on the way."""
        start = self.insert(frame, np.random.default_rng(seed))
        run, pieces, trace, time = self.engine.begin(start, self.kept, seed), [], [], 0.0
        while time < self.most - 1e-9:
            pieces.append(run(self.stretch))
            time += self.stretch
            self._need_frozen(pieces[-1], start)
            if time < self.least - 1e-9:
                continue
            so_far = replace(Frames.concatenate(pieces), replicas=None)  # one run
            if len(so_far) >= max(4 * BLOCKS, 2 * n_draws):
                trace.append(self.check(so_far, time))
                if trace[-1].stationary:
                    break
        if not trace:
            raise ValueError(
                f"Resolvation: {sum(map(len, pieces))} frames saved in {time:g} ps are too few "
                f"for {n_draws} draws and a check, which "
                f"need {max(4 * BLOCKS, 2 * n_draws)}; save more often, or raise `most`"
            )
        if not trace[-1].stationary:
            remark(
                f"Resolvation: not stationary at the longest length allowed, {trace[-1]}; raise "
                "`most`"
            )
        n = len(so_far)
        picked = np.linspace(n // 2, n - 1, n_draws + 1).round().astype(int)[1:]
        drawn = np.asarray(so_far.positions[picked], float)
        drawn[:, self.kept] = frame.positions[0]
        return drawn, trace

    def _need_frozen(self, found: Frames, start: Frames) -> None:
        moved = np.abs(found.positions[:, self.kept] - start.positions[:, self.kept]).max(
            initial=0.0
        )
        allowed = _ROUNDING + 1e-6 * np.abs(start.positions[0, self.kept]).max(initial=0.0)
        if moved > allowed:
            raise RuntimeError(
                f"{type(self.engine).__name__} moved a kept site by {moved:.3g} nm: expected "
                "it frozen; hold the sites it is given"
            )

    def check(self, run: Frames, time: float) -> Check:
        """Second half of `run` (with energies; `time` ps of equally spaced frames) against the
        quarter before.

        Raises:
            ValueError: fewer than 20 frames.
        """
        return compared(run, time, self.kept, self.molecules)


def _save_draws(path: Path, drawn: Array, trace: str) -> None:
    """Write one npz file: whole, or not at all."""

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez_compressed(file, positions=drawn, trace=np.array(trace))

    write_whole(path, write)
