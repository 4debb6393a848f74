"""`Fit`: the loop of a training: steps, validations, checkpoints."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader as TorchLoader
from torch_geometric.loader import DataLoader
from tqdm import tqdm

from ..checkpoints import Clock, load_state, save_state
from ..frames import Frames
from ..potential.base import Potential, SumPotential
from ..potential.graph import SiteGraph
from ..potential.state import density_range
from ..recipes import described
from ..roles import Objective
from ..stopping import Request, deferred
from ..threads import chosen, has_kernel
from .data import LabelledGraphs, Order, split, thinned
from .evaluation import Evaluation, Setting
from .history import History
from .learner import Learner
from .objectives import MatchEnergies, MatchForces, MatchTorques, Total
from .options import FitOptions
from .processes import Processes
from .report import TrainingReport, explained, explained_error
from .schedule import Schedule

#: Of a fit that is under way.
CHECKPOINT = "training.pt"
#: Pairs of sites in all batches from which compiling a network, 5 s, is less than what it saves,
#: about 4 s in 10^6 pairs; twice that, for on a slow machine compiling takes longer.
PAIRS_THAT_PAY = 3e6
#: Neighbours that a site has at most, for that estimate.
NEIGHBOURS = 50
#: Streams of random numbers for objectives: of steps, and of validations.
_STEPS, _VALIDATION = 1, 2


class Fit:
    """One training of one potential, which goes on where its checkpoint left it.

    Args:
        options: of the trainer.
        potential: trained in place, on the device of the options.
        frames: with forces.
        priors: subtracted from the labels.
        seed: of the order of frames.
        folder: of training.csv and the checkpoint, or None.
        processes: that share every batch.
    """

    def __init__(
        self,
        options: FitOptions,
        potential: Potential,
        frames: Frames,
        priors: Sequence[Potential],
        seed: int,
        folder: Path | None,
        processes: Processes | None = None,
    ) -> None:
        self.options = options
        self.folder = folder
        self.processes = processes or Processes()
        self.priors = [p.to(options.device) for p in priors]
        self.numbers, blocks = split(frames, options.validation_fraction)
        validation = thinned(np.concatenate(blocks), options.most_validation_frames)
        self.training = LabelledGraphs(potential, frames, self.numbers, self.priors)
        self.validation = LabelledGraphs(potential, frames, validation, self.priors)
        self.total = Total(objectives_of(options), self.training)
        scale = self.training.scale
        self.setting = Setting(potential, self.priors, scale, seed, self.processes.mean)
        self.order = Order(len(self.training), options.batch_size, seed, *self.processes.share)
        self.learner = Learner(
            potential,
            Schedule(options.learning_rate, options.steps),
            weight_decay=options.weight_decay,
            average=options.average,
            compiled=compiling_pays(options, self.training),
        )
        self.history = History(
            self.validation.weights.numpy(),
            self.validation.squares,
            len(self.training),
            self.total.columns,
        )
        self.step = 0
        self.recent: list[float] = []  # losses since the last validation
        self.temperature = frames.temperature
        self.density = density_range(frames)
        self.fingerprint = fingerprint(options, frames, seed)
        self.clock = Clock()
        self.request = Request()
        self.choose: Callable[[], None] = lambda: None

    @property
    def report(self) -> TrainingReport:
        """What it has come to so far."""
        return self.history.report

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.step >= self.options.steps or self.report.stopped_early

    def loop(self, name: str) -> None:
        """Train to the end."""
        self.learner.evaluate = self.processes.shared(self.learner.evaluate)
        n_sites = min(self.options.batch_size, len(self.training)) * self.training.frames.n_sites
        with (
            tqdm(
                total=self.options.steps,
                initial=self.step,
                desc=name,
                unit="step",
                mininterval=1.0,
                disable=not self.processes.first,
            ) as bar,
            deferred() as self.request,
            chosen(name, self.trial, n_sites) as self.choose,
        ):
            while not self.done and not self.request.due:
                self.advance(bar)
            self.request.stop(self.kept())

    def advance(self, bar: tqdm) -> None:
        """Steps up to the next validation, validate, checkpoint; or up to where it is asked to
        stop.
        """
        every, begin = self.options.validate_every, time.time()
        end = min((self.step // every + 1) * every, self.options.steps)
        for graph in self.loader(self.step, end):
            self.recent.append(self.optimise(graph))
            self.step += 1
            bar.update()
            # Several processes checkpoint where all are at the same point: after a validation.
            alone = self.step < end and not self.processes.several
            if alone and (self.request.due or self.clock.due):
                self.report.seconds, begin = self.report.seconds + time.time() - begin, time.time()
                self.checkpoint()
                if self.request.due:
                    return
        mean = self.processes.mean(torch.tensor(np.mean(self.recent)))
        self.history.best.training_loss = float(mean) * self.setting.scale**2
        self.report.seconds += time.time() - begin
        self.recent = []
        self.choose()
        self.validate()
        bar.set_postfix(explained=f"{100 * self.report.explained_fraction:.2f}%")
        self.checkpoint()

    def loader(self, begin: int, end: int) -> TorchLoader[SiteGraph]:
        """Batches `begin` ... `end`."""
        batches = [self.order.batch(step) for step in range(begin, end)]
        return DataLoader(self.training, batch_size=1, sampler=batches)  # type: ignore[arg-type]

    def at(self, graph: SiteGraph) -> Evaluation:
        """The potential at the batch of this step, to be differentiated."""
        stream = (_STEPS, self.step, self.order.share)
        return Evaluation(self.learner.evaluate, graph, self.setting, stream, differentiable=True)

    def optimise(self, graph: SiteGraph) -> float:
        """One step down; gives the force loss of the batch, in units of scale^2."""
        by_frame, of_batch = self.total(self.at(graph))
        objective, loss = by_frame[:2] @ graph.frame_weights / len(graph.frame_weights)
        if of_batch is not None:
            objective = objective + of_batch
        if not bool(objective.isfinite()):
            self.name_bad_frame()
        self.learner.step(objective, self.step)
        return loss.item()

    def name_bad_frame(self) -> None:
        """ValueError that names the frames of this step's batch whose loss is not finite."""
        batch = self.order.batch(self.step)
        losses = self.losses(self.learner.evaluate, self.training, batch)[0]
        bad = self.numbers[batch[~np.isfinite(losses)]].tolist()
        which = f"of frames {bad[:5]}" if bad else "of its energies"
        raise ValueError(
            f"training step {self.step}: expected a finite loss, found one {which} that is "
            "not; are two sites at one place there? "
            "Leave these frames out, or give a smaller learning_rate"
        )

    def trial(self) -> Callable[[], None] | None:
        """Loss and gradient of one batch, kept nowhere: what threads are chosen by. None where no
        kernel computes them.
        """
        if self.processes.several or not has_kernel(self.learner.evaluate):
            return None
        graph = self.training[self.order.batch(self.step)]

        def step() -> None:
            self.learner.gradient(self.total(self.at(graph))[0].mean())

        return step

    def validate(self) -> None:
        """Compare the averaged weights with the best ones so far, frame by frame."""
        losses = self.losses(self.learner.evaluate_average, self.validation)
        epoch = self.step * self.options.batch_size / max(1, len(self.training))
        rate = self.learner.schedule(self.step)
        at = (self.step, epoch, rate)
        self.history.judge(losses, self.learner.smooth, at, self.options.patience)
        self.write_rows()

    @torch.no_grad()
    def losses(
        self, model: nn.Module, data: LabelledGraphs, which: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """(2 + n_columns, n_frames) losses by frame of `Total`, of frames `which` of the data
        (default: all); the first two in (kJ/mol/nm)^2 per component.
        """
        found = [
            self.total(Evaluation(model, graph, self.setting, (_VALIDATION, k)))[0]
            for k, graph in enumerate(data.batches(self.options.batch_size, which))
        ]
        losses: NDArray[np.float64] = torch.cat(found, 1).cpu().numpy()
        return np.concatenate([losses[:2] * self.setting.scale**2, losses[2:]])

    def write_rows(self) -> None:
        """training.csv as far as the fit has come."""
        if self.folder is not None and self.processes.first:
            self.history.write(self.folder)

    def checkpoint(self) -> None:
        """Leave everything that is needed to go on."""
        self.clock.reset()
        if self.folder is None or not self.processes.first:
            return
        state = {
            "step": self.step,
            "recent": self.recent,
            "fingerprint": self.fingerprint,
            **self.learner.to_state(),
            **self.history.to_state(),
        }
        save_state(self.folder / CHECKPOINT, state)

    def resume(self) -> None:
        """Go on from a checkpoint, if there is one.

        Raises:
            ValueError: it is of another fit. Changed: it was changed or damaged.
        """
        path = None if self.folder is None else self.folder / CHECKPOINT
        if path is None or not path.exists():
            return
        state = load_state(path, self.options.device)
        if state["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"{path} is the checkpoint of another fit (other frames, settings or seed): "
                "expected that of this one; remove it to begin "
                "anew, or give another folder"
            )
        self.step = state["step"]
        self.recent = state["recent"]
        self.learner.load_state(state)
        self.history.load_state(state)
        self.write_rows()

    def kept(self) -> str:
        """What a fit that was stopped leaves."""
        if self.folder is None:
            return (
                f"step {self.step} of {self.options.steps}, of which nothing is kept, for the fit "
                "has no folder"
            )
        return (
            f"a checkpoint after step {self.step} of {self.options.steps} is in "
            f"{self.folder / CHECKPOINT}"
        )

    def finish(self) -> tuple[Potential, TrainingReport]:
        """Priors and the potential with its best weights, and the report."""
        potential = self.learner.potential
        potential.load_state_dict(self.history.best.best_state)
        self.judge_training()
        energies = self.total.energies
        if energies is not None:
            energies.set_zero(
                potential, self.learner.evaluate, self.training, self.options.batch_size
            )
        fitted = SumPotential([*self.priors, potential]) if self.priors else potential
        # Without true energies among the labels what was fitted is a PMF, and that holds at one
        # temperature.
        fitted.made_at(self.temperature if energies is None else None)
        fitted.density = self.density if energies is None else None
        return fitted, self.report

    def judge_training(self) -> None:
        """Explained fraction of at most as many training frames as there are for validation."""
        which = thinned(np.arange(len(self.training)), self.options.most_validation_frames)
        losses = self.losses(self.learner.evaluate, self.training, which)[1]
        squares = self.training.squares[which]
        report = self.report
        fraction = explained(float(losses.mean()), float(squares.mean()))
        report.training_explained_fraction = fraction
        report.training_explained_fraction_error = explained_error(losses, squares, fraction)


def objectives_of(options: FitOptions) -> list[Objective]:
    """What is minimised, in the order in which it is summed."""
    if options.objectives is not None:
        return list(options.objectives)
    objectives: list[Objective] = [MatchForces()]
    if options.torque_weight > 0:
        objectives.append(MatchTorques(weight=options.torque_weight))
    if options.energy_weight > 0:
        objectives.append(MatchEnergies(weight=options.energy_weight))
    return objectives


def compiling_pays(options: FitOptions, training: LabelledGraphs) -> bool:
    """Whether a fit is long enough for a compiled potential (`PAIRS_THAT_PAY`)."""
    if options.compile != "auto":
        return bool(options.compile)
    sites = training.frames.n_sites
    pairs = options.steps * options.batch_size * sites * min(sites, NEIGHBOURS)
    return torch.device(options.device).type == "cpu" and pairs > PAIRS_THAT_PAY


def fingerprint(options: FitOptions, frames: Frames, seed: int) -> str:
    """Digest of what a fit is of: its settings, the forces of its frames, its seed.

    A setting that is None says nothing, so that one that is added later changes no digest.
    """
    settings: dict[str, Any] = {k: v for k, v in described(options).items() if v is not None}
    settings["class"] = f"cgrec.training.{type(options).__qualname__}"
    about = json.dumps([settings, seed, len(frames), frames.temperature])
    forces = np.ascontiguousarray(frames.need_forces())
    return hashlib.sha256(about.encode() + hashlib.sha256(forces.data).digest()).hexdigest()
