"""`Fit`: the loop of a training: steps, validations, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ..frames import Frames
from ..potential.base import Potential, SumPotential
from ..potential.graph import SiteGraph
from ..potential.state import density_range
from ..progress import Progress
from ..run.checkpoints import Clock
from ..stopping import Request, deferred
from ..threads import chosen, has_kernel
from .data import LabelledGraphs
from .folder import FitFolder, fingerprint
from .history import History
from .learner import Learner
from .options import FitOptions
from .problem import Problem
from .processes import Processes
from .report import TrainingReport
from .schedule import Schedule

#: Pairs of sites in all batches from which compiling a network, 5 s, is less than what it saves,
#: about 4 s in 10^6 pairs; twice that, for on a slow machine compiling takes longer. A step takes as
#: long as so many pairs beside them: three sites in batches of 64 took 26 ms, by the kernel 7.
PAIRS_THAT_PAY, PAIRS_OF_A_STEP = 3e6, 5e3
#: Neighbours that a site has at most, for that estimate.
NEIGHBOURS = 50


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
        self.processes = processes or Processes()
        self.files = FitFolder(folder, fingerprint(options, frames, seed), self.processes.first)
        self.priors = [p.to(options.torch_device) for p in priors]
        self.problem = Problem(options, potential, frames, self.priors, seed, self.processes)
        training, validation = self.problem.training, self.problem.validation
        self.learner = Learner(
            potential,
            Schedule(options.learning_rate, options.steps),
            weight_decay=options.weight_decay,
            average=options.average,
            compiled=compiling_pays(options, training),
        )
        columns = self.problem.total.columns
        weights = validation.weights.numpy()
        self.history = History(weights, validation.squares, len(training), columns)
        self.step = 0
        self.recent: list[float] = []  # losses since the last validation
        self.temperature = frames.temperature
        self.density = density_range(frames)
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
        training = self.problem.training
        n_sites = min(self.options.batch_size, len(training)) * training.frames.n_sites
        with (
            Progress(name, self.options.steps, done=self.step, shown=self.processes.first) as bar,
            deferred() as self.request,
            chosen(name, self.trial, n_sites) as self.choose,
        ):
            while not self.done and not self.request.due:
                self.advance(bar)
            self.request.stop(self.files.kept(f"step {self.step} of {self.options.steps}"))

    def advance(self, bar: Progress) -> None:
        """Steps up to the next validation, validate, checkpoint; or up to where it is asked to
        stop.
        """
        every, begin = self.options.validate_every, time.time()
        end = min((self.step // every + 1) * every, self.options.steps)
        for graph in self.problem.batches(self.step, end):
            self.recent.append(self.optimise(graph))
            self.step += 1
            bar.advance()
            # Several processes checkpoint where all are at the same point: after a validation.
            alone = self.step < end and not self.processes.several
            if alone and (self.request.due or self.clock.due):
                now = time.time()
                self.report.seconds += now - begin
                begin = now
                self.checkpoint()
                if self.request.due:
                    return
        mean = self.processes.mean(torch.tensor(np.mean(self.recent)))
        self.history.best.training_loss = float(mean) * self.problem.setting.scale**2
        bar.show(loss=self.history.best.training_loss)
        self.report.seconds += time.time() - begin
        self.recent = []
        self.choose()
        self.validate()
        bar.show(explained_fraction=self.report.explained_fraction)
        self.checkpoint()

    def optimise(self, graph: SiteGraph) -> float:
        """One step down; gives the force loss of the batch, in units of scale^2."""
        objective, loss = self.problem.objective(self.learner.evaluate, graph, self.step)
        self.learner.step(objective, self.step)
        return loss

    def trial(self) -> Callable[[], None] | None:
        """Loss and gradient of one batch, kept nowhere: what threads are chosen by. None where no
        kernel computes them.
        """
        model = self.learner.evaluate
        if self.processes.several or not has_kernel(model):
            return None
        graph = self.problem.training[self.problem.order.batch(self.step)]

        def step() -> None:
            self.learner.gradient(self.problem.by_frame(model, graph, self.step)[0].mean())

        return step

    def validate(self) -> None:
        """Compare the averaged weights with the best ones so far, frame by frame."""
        losses = self.problem.losses(self.learner.evaluate_average, self.problem.validation)
        epoch = self.step * self.options.batch_size / max(1, len(self.problem.training))
        at = (self.step, epoch, self.learner.schedule(self.step))
        self.history.judge(losses, self.learner.smooth, at, self.options.patience)
        self.files.write_rows(self.history)

    def checkpoint(self) -> None:
        """Leave everything that is needed to go on."""
        self.clock.reset()
        self.files.save(
            {
                "step": self.step,
                "recent": self.recent,
                "fingerprint": self.files.fingerprint,
                **self.learner.to_state(),
                **self.history.to_state(),
            }
        )

    def resume(self) -> None:
        """Go on from a checkpoint, if there is one.

        Raises:
            ValueError: it is of another fit. Changed: it was changed or damaged.
        """
        state = self.files.load(self.options.torch_device)
        if state is None:
            return
        self.step = state["step"]
        self.recent = state["recent"]
        self.learner.load_state(state)
        self.history.load_state(state)
        self.files.write_rows(self.history)

    def finish(self) -> tuple[Potential, TrainingReport]:
        """Priors and the potential with its best weights, and the report."""
        potential, evaluate = self.learner.potential, self.learner.evaluate
        potential.load_state_dict(self.history.best.best_state)
        self.history.judge_training(*self.problem.losses_of_training(evaluate))
        energies = self.problem.total.energies
        if energies is not None:
            data = self.problem.training
            energies.set_zero(potential, evaluate, data, self.options.batch_size)
        self.report.device = str(self.options.torch_device)
        fitted = SumPotential([*self.priors, potential]) if self.priors else potential
        # Without true energies among the labels what was fitted is a PMF, and that holds at one
        # temperature.
        fitted.made_at(self.temperature if energies is None else None)
        fitted.density = self.density if energies is None else None
        return fitted, self.report


def compiling_pays(options: FitOptions, training: LabelledGraphs) -> bool:
    """Whether a fit is long enough for a compiled potential (`PAIRS_THAT_PAY`)."""
    if options.compile != "auto":
        return bool(options.compile)
    sites = training.frames.n_sites
    pairs = options.batch_size * sites * min(sites, NEIGHBOURS) + PAIRS_OF_A_STEP
    return options.torch_device.type == "cpu" and options.steps * pairs > PAIRS_THAT_PAY
