"""One run: its stretches of steps, what it keeps, and how it goes on after a kill."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..files import Json, write_json
from ..progress import Progress
from ..run.checkpoints import Clock, in_pieces, load_state, save_state
from ..run.recipes import OtherRecipe
from ..statistics.temperatures import weights_at
from ..threads import chosen
from .going_on import ReplicaState, restore, state_of
from .replicas import Replicas
from .report import SIMULATION, AllLost, SimulationReport, Tally, say_exchange, why_lost
from .store import CHECKPOINT, RAW_WEIGHTS, TEMPERATURES, FrameStore, Piece


@dataclass(frozen=True)
class Schedule:
    """How many steps a run has.

    Attributes:
        stride: steps between saved frames.
        first_step: steps before the first stretch whose end is saved.
        total_steps: of the whole run.
        checkpoint_every: stretches between checkpoints.
    """

    stride: int
    first_step: int
    total_steps: int
    checkpoint_every: int


class RunState(ReplicaState):
    """What a checkpoint of a run holds: of its replicas, and what it kept so far."""

    saved: int
    kinetic: Tensor
    report: Json
    pieces: list[Piece]


class Run:
    """State of one run; `stretch` advances it by one saved frame.

    Args:
        schedule: how many steps.
        replicas: what moves.
        store: where frames go.
    """

    def __init__(self, schedule: Schedule, replicas: Replicas, store: FrameStore) -> None:
        self.schedule = schedule
        self.replicas = replicas
        self.store = store
        self.saved = 0
        self.evaluated = False
        n, device = len(replicas.positions), replicas.positions.device
        self.tally = Tally(n, device)
        interval = schedule.stride * replicas.timestep
        self.report = SimulationReport(replicas=n, lost=replicas.lost, interval=interval)
        self.report.device = str(device)
        self.clock = Clock()

    def begin(self) -> None:
        """Go on from a checkpoint or from the end of a shorter run; or take the space for a new
        one.

        Raises:
            ValueError: the checkpoint is of other replicas.
            FileExistsError: the folder holds a run that is as long, or longer.
            OtherRecipe: it holds one at work that is longer already.
            Changed: what is there was changed.
        """
        folder = self.store.folder
        if self.store.begun:
            state = self._restored(self.store.partial / CHECKPOINT)
            _check_end(self)
            self.store.open(state["pieces"])
        elif not folder.exists():
            self.store.create()
        elif _longer_than(self, folder / CHECKPOINT):
            self._restored(folder / CHECKPOINT)
            self.store.extend(self.saved)
            self.checkpoint()
        else:
            raise FileExistsError(f"{folder} exists already: load it, or choose another folder")

    def _restored(self, path: Path) -> RunState:
        """A checkpoint, from which this run goes on."""
        here = self.replicas.positions
        state: RunState = load_state(path, here.device)
        if state["positions"].shape != here.shape:
            raise ValueError(
                f"{path}: expected {tuple(here.shape[:2])} replicas and sites, found "
                f"{tuple(state['positions'].shape[:2])}: "
                "it is of another run; remove its folder, or go back to the first settings"
            )
        self.saved = state["saved"]
        self.tally.sums = state["kinetic"]
        self.report = SimulationReport(**state["report"])
        self.report.device = str(here.device)
        restore(self.replicas, state, self.report.lost, self.store.folder)
        return state

    def loop(self, bar: Progress) -> None:
        """To the end, or until nothing lives, or until asked to stop; a checkpoint is left in each
        case.
        """
        replicas = self.replicas
        n_sites = len(replicas.positions) * replicas.system.n_sites
        with chosen(bar.name, replicas.trial, n_sites) as choose:

            def piece() -> None:
                self.stretch(bar)
                choose()

            in_pieces(piece, lambda: self.done, self.leave)

    @property
    def done(self) -> bool:
        """Whether all steps are made, or nothing lives."""
        replicas = self.replicas
        return replicas.step >= self.schedule.total_steps or not bool(replicas.alive.any())

    def leave(self) -> str:
        """A checkpoint, and where it is."""
        step = self.replicas.step
        if step:
            self.checkpoint()
        return (
            f"a checkpoint after step {step} of {self.schedule.total_steps} is in "
            f"{self.store.partial}"
        )

    def stretch(self, bar: Progress) -> None:
        """One stride of steps, then save, checkpoint and show."""
        begin = time.time()
        replicas = self.replicas
        stride = self.schedule.stride
        if not self.evaluated:
            replicas.find_forces()
            replicas.freeze()
            self.evaluated = True
        for noise in replicas.noise.draw(stride, tuple(replicas.positions.shape[1:])):
            replicas.advance(noise)
        replicas.watch()
        if replicas.step > self.schedule.first_step:
            self._save()
        self.report.seconds += time.time() - begin
        # before the checkpoint, which may be the last of the run
        kept = replicas.step - self.schedule.first_step
        self.report.count(replicas.step, kept, replicas.timestep)
        if (replicas.step // stride) % self.schedule.checkpoint_every == 0 or self.clock.due:
            self.checkpoint()
        self._show(bar)
        bar.advance(stride)

    def _save(self) -> None:
        self.tally.add(self.replicas.temperatures(), self.replicas.alive)
        frames = self.replicas.frames()
        self.store.put(self.saved, **frames)
        self.saved += len(frames["positions"])

    def _show(self, bar: Progress) -> None:
        replicas = self.replicas
        if self.saved:
            kinetic = float(self.tally.mean)
        else:
            kinetic = float(replicas.temperatures()[replicas.alive].mean())
        bar.show(
            ns=replicas.step * replicas.timestep / 1000,
            ns_per_day=self.report.ns_per_day,
            temperature=kinetic,
            lost_replicas=len(replicas.lost),
        )

    def checkpoint(self) -> None:
        """Everything needed to go on as if nothing had happened."""
        state: RunState = {
            **state_of(self.replicas),
            "saved": self.saved,
            "kinetic": self.tally.sums,
            "report": asdict(self.report),
            "pieces": self.store.flush(self.saved),
        }
        save_state(self.store.partial / CHECKPOINT, state)
        self.clock.reset()

    def finish(self) -> None:
        """Leave the frames, and beside them what the run came to and what its hooks leave."""
        report = self.report
        replicas = self.replicas
        if self.saved == 0:
            raise AllLost(
                f"all {len(replicas.positions)} replicas were lost before a frame could be kept. "
                f"{why_lost(report.lost, replicas.timestep)}"
            )
        report.frames = self.saved
        report.kinetic_temperature = self.tally.over_replicas()
        weights = self._weights()
        if weights is not None:
            report.weigh(weights)
        for hook in replicas.hooks:
            report.say(hook.about())
        say_exchange(report)
        write_json(self.store.partial / SIMULATION, report.plain())
        for hook in replicas.hooks:
            hook.finish(self.store.partial)
        box = None if "box" in self.store.arrays else replicas.box
        self.store.close(self.saved, None if box is None else box[0].cpu().numpy(), weights)

    def _weights(self) -> NDArray[np.float64] | None:
        """(n_frames,) of the frames at the temperature of the run; None where all weigh the same."""
        arrays = {name: array[: self.saved] for name, array in self.store.arrays.items()}
        if TEMPERATURES in arrays:
            temperature = self.replicas.temperature
            return weights_at(temperature, arrays["energies"], arrays[TEMPERATURES])
        return np.array(arrays[RAW_WEIGHTS], float) if RAW_WEIGHTS in arrays else None


def _check_end(run: Run) -> None:
    """OtherRecipe where a run is to end before what is made: its frames would be others."""
    step, end = run.replicas.step, run.schedule.total_steps
    if step > end:
        first, timestep = run.schedule.first_step, run.replicas.timestep
        made, asked = ((n - first) * timestep for n in (step, end))
        raise OtherRecipe(
            f"{run.store.partial} is at {made:.10g} ps of its run and is to end at "
            f"{asked:.10g}: give a length of {made:.10g} ps, with which it ends at once, or "
            "more; or another folder"
        )


def _longer_than(run: Run, path: Path) -> bool:
    """Whether a run goes on beyond the end of that of a checkpoint."""
    return path.exists() and load_state(path)["step"] < run.schedule.total_steps
