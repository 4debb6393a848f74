"""The run of a level and what follows it: the first run, and one correction after the other."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ..dynamics import AllLost, feature_guard
from ..dynamics.blocks import divided
from ..dynamics.store import partial_of
from ..files import read_json, write_json
from ..frames import Frames
from ..potential import Potential
from ..remarks import remark
from ..roles import Corrected, Correction, Engine
from ..run import layout
from ..run.digests import keep, keep_json, made, open_record
from ..run.events import step

#: Relative spread of the volume above which a parent is not one of constant volume: far above the
#: rounding of boxes in files, far below what a barostat does.
VOLUME_SPREAD = 1e-4
#: What simulation.json calls the correction that was left out.
LEFT_OUT = "left_out"


@dataclass
class LevelRun:
    """Makes the ensemble of a level in `folder`; whatever is there already is not made again.

    Attributes:
        folder: of the level.
        name: of the level, for progress bars.
        engine: of every run.
        training: frames the potential was trained on, which guards know.
        targets: the parent's frames mapped to this level, where runs start.
        seed: of the first run; every further one takes the next.
        device: of the potential.
    """

    folder: Path
    name: str
    engine: Engine
    training: Frames
    targets: Frames
    seed: int
    device: str | torch.device
    runs: int = field(default=0, init=False)

    def make(self, potential: Potential, corrections: Sequence[Correction]) -> None:
        """Run, then correct in turn. The last correction leaves its result in `folder`, those
        before it in folders corrected_1, corrected_2, ... of it.
        """
        run = self.folder / (layout.FIRST if corrections else layout.FRAMES)
        self.simulate(potential, run)
        if made(self.folder / layout.FRAMES):
            return
        for k, correction in enumerate(corrections, 1):
            place = self.folder
            if k < len(corrections):
                place = self.folder / f"corrected_{k}"
                open_record(place)
            with step("correct") if not made(place / layout.FRAMES) else nullcontext():
                potential = self._correct(correction, potential, run, place)
            run = place / layout.FRAMES

    def _correct(
        self, correction: Correction, potential: Potential, run: Path, place: Path
    ) -> Potential:
        """Leave the corrected potential and its frames in `place`. The potential first: frames say
        that all is done. What was there before stays where a run of the correction loses all its
        replicas.
        """
        if _left_out(place / layout.FRAMES):
            return potential
        try:
            corrected = self._corrected(correction, potential, run, place)
        except AllLost as error:
            name = type(correction).__name__
            remark(f"{self.name}: {name} is left out, the level stays as it was before: {error}")
            shutil.rmtree(partial_of(place / layout.FRAMES), ignore_errors=True)
            keep(place / layout.REFINED, potential.save)
            corrected = Corrected(potential, Frames.load(run), {LEFT_OUT: name})
        if corrected.frames is not None and not made(place / layout.FRAMES):
            _keep_reweighted(corrected.frames, corrected.about, run, place / layout.FRAMES)
        return corrected.potential

    def _corrected(
        self, correction: Correction, potential: Potential, run: Path, place: Path
    ) -> Corrected:
        """What a correction comes to; where it has no frames, they are made in `place`.

        Raises:
            AllLost: a run of the correction, or that of what it came to, has no frames.
        """
        again = _Reruns(self, place)
        corrected = correction(potential, Frames.load(run), self.targets, again)
        if not made(place / layout.REFINED):
            keep(place / layout.REFINED, corrected.potential.save)
        if corrected.frames is None:
            if corrected.about and not made(place / layout.CORRECTION):
                keep_json(place / layout.CORRECTION, dict(corrected.about))
            self.simulate(corrected.potential, place / layout.FRAMES)
        return corrected

    def simulate(self, potential: Potential, place: Path) -> None:
        """A run in `place`, as long as the engine says; nothing where it is there.

        Frames of a run that lost all its replicas are kept: the level is judged by them, and its
        verdict ends the climb.
        """
        seed = self.seed + self.runs
        self.runs += 1
        if made(place) and self.engine.long_enough(place):
            return
        engine = copy(self.engine)
        engine.use_lost = True
        guard = feature_guard(potential, self.training, engine.save_every, f"{self.name}: run")
        self._say_volumes()
        name = f"{self.name}: run" + (f" ({place.name})" if place.name != layout.FRAMES else "")
        with step("run"):
            divided(engine)(potential, self.targets, place, seed=seed, guard=guard, name=name)

    def _say_volumes(self) -> None:
        """Remark where the parent's volume varies, which no run of a level lets it do."""
        box = self.targets.box
        if box is None or box.ndim == 2:
            return
        volumes = np.abs(np.linalg.det(np.asarray(box, float)))
        if np.ptp(volumes) > VOLUME_SPREAD * volumes.mean():
            remark(
                f"{self.name}: the parent's volume varies ({volumes.min():.4g} to "
                f"{volumes.max():.4g} nm^3) and a run is at constant volume: each "
                "replica keeps the box of the frame it starts from, drawn from the parent's. "
                "Averages are over as many volumes as there are "
                "replicas; pressure and compressibility are not those of the parent"
            )


def _left_out(frames: Path) -> bool:
    """Whether these are frames of a correction that lost all its replicas, and was left out."""
    return made(frames) and LEFT_OUT in read_json(frames / layout.SIMULATION)


@dataclass(frozen=True)
class _Reruns:
    """What a correction is given to run again with (see `cgrec.roles.Reruns`)."""

    level: LevelRun
    folder: Path

    @property
    def device(self) -> torch.device:
        return torch.device(self.level.device)

    def __call__(self, potential: Potential, name: str) -> Frames:
        self.level.simulate(potential, self.folder / name)
        return Frames.load(self.folder / name)


def _keep_reweighted(frames: Frames, about: Mapping[str, object], run: Path, place: Path) -> None:
    """Frames that came from those of `run` without a run of their own: its report and its bias are
    theirs.
    """
    known = read_json(run / layout.SIMULATION) if (run / layout.SIMULATION).exists() else {}
    known.pop(LEFT_OUT, None)  # of the correction before
    said = {
        **known,
        "weight_efficiency": frames.weight_efficiency(),
        **about,
    }

    def beside(partial: Path) -> None:
        write_json(partial / layout.SIMULATION, said)
        if (run / layout.BIAS).exists():
            shutil.copy(run / layout.BIAS, partial / layout.BIAS)

    frames.save(place, beside)
