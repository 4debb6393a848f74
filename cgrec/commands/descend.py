"""bring the atoms back from a level's own frames, as XTC and PDB, with weights"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from ..backmapping import BACKMAPPERS, DescentStep
from ..chain.chain import Chain
from ..files import with_nan
from ..frames import Frames, identity
from ..io import write
from ..level import seed_of
from ..level.unfinished import way_to
from ..options import Help, check_fields
from ..progress import Progress
from ..run import layout
from ..run.digests import (
    check_all,
    checked,
    checked_json,
    keep,
    keep_json,
    made,
    open_record,
)
from ..run.lock import only_here
from ..run.stages import claim
from ..statistics.resampling import draw
from ._runs import RunFolder, run_folder


@dataclass(frozen=True, kw_only=True)
class Descend:
    """Bring the atoms back from a level's own frames.

    Leaves the folder descent_FROM_TO of the run: levelK/ (Frames with weights), descent.json, and
    atoms.pdb and atoms.xtc, the frames of the last level drawn by their weights, molecules whole.
    Levels that are there are not made again.

    Example:
        cgrec descend run=runs/alanine_dipeptide from=3 to=0
    """

    run: RunFolder
    begin: Annotated[
        int, Help(says="level whose own frames are brought down", word="from", level=True)
    ]
    to: Annotated[int, Help(says="level to arrive at", level=True)]
    frames: Annotated[
        int, Help(says="frames of the level to start from, drawn by their weights", at_least=1)
    ] = 2000
    draws: Annotated[
        int, Help(says="restored from each of them, at the first step", at_least=1)
    ] = 1
    resample_below: Annotated[
        float,
        Help(
            says="effective share of the weights under which frames are drawn anew by them",
            at_least=0,
            at_most=1,
        ),
    ] = 0.5
    rounds: Annotated[
        int, Help(says="Metropolis moves of each molecule after that", at_least=0)
    ] = 5
    method: Annotated[
        str,
        Help(
            says=f"of a backmapper that has to be fitted first: {', '.join(BACKMAPPERS)}",
            choices=tuple(BACKMAPPERS),
        ),
    ] = "flow"
    seed: Annotated[int, Help(says="of all draws", at_least=0)] = 0

    def __post_init__(self) -> None:
        check_fields("cgrec descend", self)

    def __call__(self) -> str:
        """Go down; returns where the files are.

        Raises:
            ValueError: no such level; the folder was made with other options.
        """
        chain = Chain(run_folder("cgrec descend", self.run))
        levels = chain.levels
        begin, to = self.begin, self.to
        if not 0 <= to < begin < len(levels):
            later = way_to(layout.level_folder(chain.folder, begin)) if begin >= len(levels) else ""
            raise ValueError(
                f"cgrec descend: expected 0 <= to < from <= {len(levels) - 1}, levels of "
                f"{chain.folder}, found from={begin} to={to}" + (f": {later}" if later else "")
            )
        folder = chain.folder / f"descent_{begin}_{to}"
        _ = levels[begin].frames  # a level that is not finished is said before a folder is made
        with only_here(folder):
            self._claim(folder, identity(levels[begin].folder / layout.FRAMES))
            self._descend(chain, folder)
        return f"{folder}: look at it with vmd atoms.pdb atoms.xtc"

    def _descend(self, chain: Chain, folder: Path) -> None:
        begin, to = self.begin, self.to
        own = chain.levels[begin].frames
        frames = draw(
            own, min(self.frames, len(own)), np.random.default_rng(seed_of(self.seed, begin))
        )
        frames = Frames(own.system, frames.positions, own.temperature, box=frames.box)
        steps: list[DescentStep] = []
        with Progress("descend", begin - to, "level") as bar:
            for k in range(begin - 1, to - 1, -1):
                frames, step = self._step(
                    chain, frames, k, folder, self.draws if k == begin - 1 else 1
                )
                steps.append(step)
                if not math.isnan(step.ess):
                    bar.show(ess=step.ess)
                bar.advance()
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
            steps = chain.steps_down(
                frames,
                k,
                generator=generator,
                resample_below=self.resample_below,
                rounds=self.rounds,
                n_draws=n_draws,
                fit={"method": self.method},
            )
            found, step = next(steps)
            keep_json(about, asdict(step))
            found.save(done)
        return Frames.load(checked(done)), DescentStep(**with_nan(checked_json(about)))

    def _claim(self, folder: Path, source: str | None) -> None:
        wanted = {
            "frames": self.frames,
            "seed": self.seed,
            "method": self.method,
            "draws": self.draws,
            "resample_below": self.resample_below,
            "rounds": self.rounds,
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
