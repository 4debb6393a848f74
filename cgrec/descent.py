"""`Descent`: what `cgrec descend` does, a way down the chain that is kept on disk, resumed, and can
be looked at.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from .backmapping import DescentStep
from .chain import Chain
from .digests import check_all, checked, checked_json, keep, keep_json, made, open_record
from .dynamics.run import draw
from .frames import Frames, identity
from .level import seed_of
from .lock import only_here
from .stages import claim
from .trajectory_files import write


class Descent:
    """From a level's own frames down to a finer level.

    Args:
        frames: of the coarse level to start from, drawn by their weights.
        draws: to each, at the first step.
        resample_below: effective share of the weights under which frames are drawn anew by them.
        rounds: Metropolis moves of each molecule after that.
        method: of backmappers that have to be fitted first.
        seed: of all draws.
    """

    def __init__(
        self,
        *,
        frames: int = 2000,
        draws: int = 1,
        resample_below: float = 0.5,
        rounds: int = 5,
        method: str = "flow",
        seed: int = 0,
    ) -> None:
        if frames < 1:
            raise ValueError(f"Descent: expected frames >= 1, found {frames}")
        self.frames = frames
        self.seed = seed
        self.method = method
        self.draws = draws
        self.options = {"resample_below": resample_below, "rounds": rounds}

    def __call__(self, chain: Chain, begin: int, to: int = 0) -> Path:
        """Go from level `begin` to level `to`; levels already there are not made again.

        Returns:
            The folder descent_<begin>_<to> of the run: levelK/ (Frames with weights), descent.json,
            and atoms.pdb and atoms.xtc, the frames of the last level drawn by their weights,
            molecules whole.

        Raises:
            ValueError: no such level; the folder was made with other options.
        """
        levels = chain.levels
        if not 0 <= to < begin < len(levels):
            raise ValueError(
                f"descend: expected 0 <= to < from <= {len(levels) - 1}, levels of "
                f"{chain.folder}, found from={begin} to={to}"
            )
        folder = chain.folder / f"descent_{begin}_{to}"
        with only_here(folder):
            self._claim(folder, identity(levels[begin].folder / "frames"))
            self._descend(chain, folder, begin, to)
        return folder

    def _descend(self, chain: Chain, folder: Path, begin: int, to: int) -> None:
        own = chain.levels[begin].frames
        frames = draw(
            own, min(self.frames, len(own)), np.random.default_rng(seed_of(self.seed, begin))
        )
        frames = Frames(own.system, frames.positions, own.temperature, box=frames.box)
        steps: list[DescentStep] = []
        with tqdm(range(begin - 1, to - 1, -1), desc="descend", unit="level") as bar:
            for k in bar:
                frames, step = self._step(
                    chain, frames, k, folder, self.draws if k == begin - 1 else 1
                )
                steps.append(step)
                bar.set_postfix(ESS="unknown" if math.isnan(step.ess) else f"{100 * step.ess:.0f}%")
        if not made(folder / "descent.json"):
            keep_json(folder / "descent.json", {"steps": [asdict(s) for s in steps]})
        _export(frames, folder, seed_of(self.seed, to))

    def _step(
        self, chain: Chain, frames: Frames, k: int, folder: Path, n_draws: int
    ) -> tuple[Frames, DescentStep]:
        """One level further down, or what is there of it."""
        done, about = folder / f"level{k}", folder / f"level{k}.json"
        if not made(done):
            generator = torch.Generator().manual_seed(seed_of(self.seed, k))
            options: Any = {**self.options, "n_draws": n_draws, "fit": {"method": self.method}}
            found, step = next(chain.steps_down(frames, k, generator=generator, **options))
            keep_json(about, asdict(step))
            found.save(done)
        return Frames.load(checked(done)), DescentStep(**checked_json(about))

    def _claim(self, folder: Path, source: str | None) -> None:
        wanted = {
            "frames": self.frames,
            "seed": self.seed,
            "method": self.method,
            "draws": self.draws,
            **self.options,
            "from": source,
        }
        open_record(folder, listed=False)  # the lock of the run is not held
        check_all(folder)
        products = {"descend": ("level*", "descent.json", "atoms.*")}
        claim(folder, {"descend": wanted}, products, elsewhere="move the folder away to keep both")


def _export(frames: Frames, folder: Path, seed: int) -> None:
    """Files for other programs, of an unweighted sample."""
    missing = [name for name in ("atoms.pdb", "atoms.xtc") if not made(folder / name)]
    if not missing:
        return
    shown = (
        frames if frames.weights is None else draw(frames, len(frames), np.random.default_rng(seed))
    )
    for name in missing:
        partial = folder / f"partial_{name}"  # the ending says the format
        partial.unlink(missing_ok=True)
        write(shown[:1] if name == "atoms.pdb" else shown, partial)
        keep(folder / name, partial.replace)
