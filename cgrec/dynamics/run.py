"""One run: its stretches of steps, what it keeps, and how it goes on after a kill."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..checkpoints import Clock, in_pieces, load_state, save_state
from ..files import write_json
from ..remarks import remark
from ..roles import Hook
from ..threads import chosen
from ..units import thermal_energy
from .hooks import BiasPlan, Exchange, Watch
from .replicas import Replicas
from .report import SIMULATION, AllLost, SimulationReport, Tally, why_lost
from .store import CHECKPOINT, RAW_WEIGHTS, FrameStore


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
        n = len(replicas.positions)
        self.tally = Tally(n, replicas.positions.device)
        self.report = SimulationReport(replicas=n, lost=replicas.lost)
        self.clock = Clock()

    def begin(self) -> None:
        """Go on from a checkpoint or from the end of a shorter run; or take the space for a new
        one.
        """
        if self.store.begun:
            self.resume(self.store.partial / CHECKPOINT)
        elif self.store.folder.exists():
            self.lengthen()
        else:
            self.store.create()

    def loop(self, bar: tqdm) -> None:
        """To the end, or until nothing lives, or until asked to stop; a checkpoint is left in each
        case.
        """
        replicas = self.replicas
        n_sites = len(replicas.positions) * replicas.system.n_sites

        def trial() -> Any:
            return replicas.field.trial(replicas.positions)

        with chosen(str(bar.desc), trial, n_sites) as choose:

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

    def stretch(self, bar: tqdm) -> None:
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
        bar.update(stride)
        self._show(bar)

    def _save(self) -> None:
        """Store what lives and is to be kept; a stopped replica has nothing more to say."""
        replicas = self.replicas
        which = replicas.kept & replicas.alive
        self.tally.add(replicas.temperatures(), replicas.alive)
        values = {
            "positions": replicas.positions,
            "forces": replicas.force,
            "energies": replicas.energy,
            "replicas": replicas.numbers,
        }
        if replicas.pushed is not None:
            values[RAW_WEIGHTS] = torch.exp(replicas.pushed / thermal_energy(replicas.temperature))
        if "box" in self.store.arrays and replicas.box is not None:
            values["box"] = replicas.box
        self.store.put(self.saved, **{k: v[which].cpu().numpy() for k, v in values.items()})
        self.saved += int(which.sum())

    def _show(self, bar: tqdm) -> None:
        replicas = self.replicas
        now = replicas.temperatures()[replicas.alive].mean()
        kinetic = float(self.tally.mean if self.saved else now)
        bar.set_postfix(
            ns_per_day=f"{self.report.ns_per_day:.1f}",
            T=f"{kinetic:.0f}K",
            lost=len(replicas.lost),
            refresh=False,
        )

    def checkpoint(self) -> None:
        """Everything needed to go on as if nothing had happened."""
        replicas = self.replicas
        state = {
            **replicas.state(),
            "saved": self.saved,
            "kinetic": self.tally.sums,
            "generators": replicas.noise.state(),
            "hooks": [hook.state() for hook in replicas.hooks],
            "report": asdict(self.report),
            "device": replicas.positions.device.type,
            "pieces": self.store.flush(self.saved),
        }
        save_state(self.store.partial / CHECKPOINT, state)
        self.clock.reset()

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = load_state(path, self.replicas.positions.device)
        here = self.replicas.positions.shape
        if state["positions"].shape != here:
            raise ValueError(
                f"{path}: expected {tuple(here[:2])} replicas and sites, found "
                f"{tuple(state['positions'].shape[:2])}: "
                "it is of another run; remove its folder, or go back to the first settings"
            )
        self._restore(state)
        self.store.open(state["pieces"])

    def lengthen(self) -> None:
        """Go on from the end of the shorter run that is in the folder."""
        folder = self.store.folder
        path = folder / CHECKPOINT
        state = load_state(path, self.replicas.positions.device) if path.exists() else None
        if state is None or state["step"] >= self.schedule.total_steps:
            raise FileExistsError(f"{folder} exists already: load it, or choose another folder")
        self._restore(state)
        self.store.extend(self.saved)
        self.checkpoint()

    def _restore(self, state: Mapping[str, Any]) -> None:
        replicas = self.replicas
        self.saved = state["saved"]
        self.tally.sums = state["kinetic"]
        self.report = SimulationReport(**state["report"])
        replicas.restore(state, self.report.lost)
        for hook, own in zip(replicas.hooks, _hook_states(state, replicas), strict=True):
            hook.restore(own, replicas)
        here = replicas.positions.device.type
        if state["device"] == here:
            replicas.noise.restore(state["generators"])
            return
        remark(
            f"{self.store.folder}: begun on {state['device']} and going on on {here}, whose "
            "random numbers are others: "
            "from here on the frames are as good, but not those of a run on one device"
        )
        replicas.noise.renew(replicas.step)

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
        if RAW_WEIGHTS in self.store.arrays:
            raw = np.array(self.store.arrays[RAW_WEIGHTS][: self.saved])
            report.weight_efficiency = float(raw.sum() ** 2 / (len(raw) * (raw**2).sum()))
        for hook in replicas.hooks:
            report.say(hook.about())
        write_json(self.store.partial / SIMULATION, report.plain())
        for hook in replicas.hooks:
            hook.finish(self.store.partial)
        one_box = replicas.box is not None and "box" not in self.store.arrays
        box: Tensor | None = replicas.box
        self.store.close(self.saved, box[0].cpu().numpy() if one_box and box is not None else None)


def _hook_states(state: Mapping[str, Any], replicas: Replicas) -> list[object]:
    """State of each hook in a checkpoint; those written before hooks had states of their own held
    the same under other names.
    """
    if "hooks" in state:
        return list(state["hooks"])

    def of(hook: Hook) -> object:
        if isinstance(hook, BiasPlan):
            return state["bias"]
        if isinstance(hook, Exchange):
            return {"rungs": state["rungs"], "swaps": state["swaps"]}
        return state["report"]["guard"].get("largest_score") if isinstance(hook, Watch) else None

    return [of(hook) for hook in replicas.hooks]
