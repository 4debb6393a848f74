"""`ForceMatching`: fit a potential to forces (and energies where they are true energies). One
trainer for every level.

The force label of a coarse site is its mean force plus noise that no model can explain, so the raw
error says little (THEORY: loss = signal + noise). Reported instead: the explained fraction 1 - L /
L0 and validation losses compared in pairs on the same frames.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_optimizer import SOAP
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import Dataset
from torch_geometric.loader import DataLoader
from tqdm import tqdm

from .checkpoints import Clock, load_state, save_state
from .files import write_text
from .frames import Frames
from .potential.base import Potential, SumPotential, portion
from .potential.graph import SiteGraph
from .potential.state import density_range
from .ranges import expect
from .recipes import described
from .sampling import blocks_of
from .statistics import Estimate
from .stopping import Request, deferred
from .system import System
from .threads import chosen, has_kernel

#: Of a fit that is under way.
CHECKPOINT = "training.pt"

COLUMNS = (
    "step",
    "epoch",
    "learning_rate",
    "training_loss",
    "validation_loss",
    "explained_fraction",
    "noise_estimate",
    "seconds",
)


@dataclass
class TrainingReport:
    """What a fit came to. Losses are mean squared force errors per component, (kJ/mol/nm)^2, of the
    full labels.

    Attributes:
        steps: optimiser steps made.
        seconds: wall time of all sessions together.
        validation_loss: of the returned potential.
        reference_loss: L0, the mean square of the validation labels themselves.
        explained_fraction: 1 - validation_loss / L0.
        explained_fraction_error: its standard error over validation blocks, label and error of a
            frame taken together.
        training_explained_fraction, training_explained_fraction_error: the same of training frames,
            some of which it has learned by heart.
        noise_estimate: mean of training and validation loss: overfitting cancels to first order
            (Akaike's final prediction error), what is left is label noise plus what the model class
            cannot express.
        n_training, n_validation: frames.
        stopped_early: whether patience ran out before the last step.
    """

    steps: int = 0
    seconds: float = 0.0
    validation_loss: float = float("nan")
    reference_loss: float = float("nan")
    explained_fraction: float = float("nan")
    explained_fraction_error: float = float("nan")
    training_explained_fraction: float = float("nan")
    training_explained_fraction_error: float = float("nan")
    noise_estimate: float = float("nan")
    n_training: int = 0
    n_validation: int = 0
    stopped_early: bool = False

    def frames_needed(self, share: float = 0.1) -> Estimate:
        """Training frames with which what is lost to their finite number would be `share` of what
        is explained.

        p effective parameters fitted to N labels of noise sigma^2 lose p sigma^2 / N on new labels
        and gain as much on their own (H. Akaike, IEEE Trans. Autom. Control 19, 716 (1974)), so the
        loss is half of the gap between the two explained fractions. Its error is large where nearly
        all is noise: believe the order of magnitude.
        """
        lost = (self.training_explained_fraction - self.explained_fraction) / 2
        error = (
            math.hypot(self.training_explained_fraction_error, self.explained_fraction_error) / 2
        )
        frames = self.n_training / (share * self.explained_fraction)
        return Estimate(frames * lost, frames * error)


class ForceMatching:
    """Force matching with SOAP, warm-up and cosine schedule, averaged weights and early stopping.

    SOAP is Adam in the eigenbasis of Shampoo's preconditioner (N. Vyas et al., arXiv:2409.11321).
    For the all-atom NNP it reaches after the same wall time 0.8 of the force error AdamW does.

    Args:
        steps: optimiser steps at most.
        batch_size: frames per step.
        learning_rate: peak.
        weight_decay: decoupled from the gradient, as in AdamW.
        average: decay of the exponential moving average of the weights; the average is what is
            validated and returned.
        energy_weight: of the energy term, relative to forces, per site; needs Frames.energies.
        torque_weight: of the torques about rotatable bonds (see `Torques`), relative to forces;
            open systems only.
        validation_fraction: share of the blocks kept for validation (whole replicas or runs of
            time, never random frames).
        validate_every: steps between validations (and checkpoints).
        patience: validations without a paired improvement before it stops; 0 never stops.
        most_validation_frames: cap on frames used for validation.
        precision: "float32" or "float64" for the weights.
        device: "cpu" or "cuda".
        compile: train through `Potential.compiled()`: "auto" does so where the work saved outweighs
            the time a compiler takes.
        processes: share every batch among so many processes (of a CPU, or GPUs), by distributed
            data parallelism; needs lightning-fabric (`pip install "cgrec[distributed]"`), and
            `batch_size` a multiple of it.

    Raises:
        ValueError: an unknown precision; a batch that cannot be shared evenly.
    """

    def __init__(
        self,
        *,
        steps: int = 3000,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-6,
        average: float = 0.995,
        energy_weight: float = 0.0,
        torque_weight: float = 1.0,
        validation_fraction: float = 0.15,
        validate_every: int = 250,
        patience: int = 6,
        most_validation_frames: int = 2000,
        precision: str = "float32",
        device: str = "cpu",
        compile: str | bool = "auto",
        processes: int = 1,
    ) -> None:
        expect("ForceMatching", at_least=0, learning_rate=learning_rate)
        expect("ForceMatching", at_least=1, steps=steps, batch_size=batch_size, processes=processes)
        expect(
            "ForceMatching",
            at_least=1,
            validate_every=validate_every,
            most_validation_frames=most_validation_frames,
        )
        expect("ForceMatching", at_least=0, patience=patience, weight_decay=weight_decay)
        expect(
            "ForceMatching", at_least=0, energy_weight=energy_weight, torque_weight=torque_weight
        )
        for name, share in {"average": average, "validation_fraction": validation_fraction}.items():
            if not 0 <= share < 1:
                raise ValueError(
                    f"ForceMatching.{name}: expected 0 or more and less than 1, found {share}"
                )
        if batch_size % processes:
            raise ValueError(
                f"ForceMatching: expected a batch_size that {processes} processes can share "
                f"evenly, found {batch_size}"
            )
        if precision not in ("float32", "float64"):
            raise ValueError(
                f"ForceMatching: expected precision float32 or float64, found {precision!r}"
            )
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"ForceMatching: expected a device of this machine, found {device!r} and no CUDA: "
                "take device=cpu"
            )
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.average = average
        self.validation_fraction = validation_fraction
        self.energy_weight = energy_weight
        self.torque_weight = torque_weight
        self.validate_every = validate_every
        self.patience = patience
        self.most_validation_frames = most_validation_frames
        self.precision = precision
        self.dtype = getattr(torch, precision)
        self.device = torch.device(device)
        self.compile = compile
        self.processes = processes

    def __call__(
        self,
        potential: Potential,
        frames: Frames,
        *,
        priors: Sequence[Potential] = (),
        seed: int = 0,
        folder: Path | None = None,
        name: str = "training",
    ) -> tuple[Potential, TrainingReport]:
        """Fit `potential` so that priors + potential match the forces of `frames`.

        Args:
            potential: the network to train (trained in place).
            frames: with forces; weights are honoured.
            priors: fixed, subtracted from the labels here and added to what is returned.
            seed: of the order of frames.
            folder: where training.csv and the checkpoint, training.pt, go; a fit that finds its
                checkpoint continues it. The checkpoint stays when the fit is done: remove it when
                the potential is safe.
            name: shown by the progress bar.

        Returns:
            priors + trained potential, and the report.

        Raises:
            ValueError: no forces, or no energies (or a network without their zero) where
                energy_weight asks for them; several processes and no folder.
        """
        if self.energy_weight > 0 and not hasattr(potential, "site_energy"):
            raise ValueError(
                "ForceMatching: expected a network with site_energy, a buffer (n_types,) in "
                "kJ/mol that sets the zero of energies, found "
                f"{type(potential).__name__} without one: train it with energy_weight=0"
            )
        run = _Run(self, potential.to(self.device, self.dtype), frames, list(priors), seed, folder)
        run.resume()
        if self.processes > 1 and not run.done:
            self._share(potential, frames, priors, seed, folder, name)
            run.resume()
        run.loop(name)
        return run.finish()

    def _share(
        self,
        potential: Potential,
        frames: Frames,
        priors: Sequence[Potential],
        seed: int,
        folder: Path | None,
        name: str,
    ) -> None:
        """Train in several processes; what they come to is in the checkpoint they leave."""
        from lightning_fabric import Fabric

        if folder is None:
            raise ValueError(
                "ForceMatching: several processes meet at their checkpoint, so training needs "
                "a folder"
            )
        threads = max(1, torch.get_num_threads() // self.processes)
        fabric = Fabric(accelerator=self.device.type, devices=self.processes, strategy="ddp_spawn")
        # As a partial, because Fabric takes arguments apart and cannot do that to Frames.
        fabric.launch(
            partial(
                _train_share,
                options=self,
                potential=potential,
                frames=frames,
                priors=list(priors),
                seed=seed,
                folder=folder,
                name=name,
                threads=threads,
            )
        )


def _train_share(
    fabric: Any,
    options: ForceMatching,
    potential: Potential,
    frames: Frames,
    priors: list[Potential],
    seed: int,
    folder: Path,
    name: str,
    threads: int,
) -> None:
    """What each process does: the same run on its share of every batch."""
    torch.set_num_threads(threads)
    options.device = fabric.device
    own = copy.deepcopy(potential).to(fabric.device)  # what came in is memory shared by all
    run = _Run(options, own, frames, priors, seed, folder)
    run.resume()
    run.join(fabric)
    run.loop(name)


@dataclass
class _History:
    """Best validation so far, as (2, n) objectives and force losses of each frame so that
    candidates are compared in pairs.
    """

    best: np.ndarray | None = None
    best_state: dict[str, Any] = field(default_factory=dict)
    stale: int = 0
    training_loss: float = float("nan")
    best_training_loss: float = float("nan")


class _Run:
    def __init__(
        self,
        options: ForceMatching,
        potential: Potential,
        frames: Frames,
        priors: list[Potential],
        seed: int,
        folder: Path | None,
    ) -> None:
        self.options = options
        self.potential = potential
        self.priors = [p.to(options.device) for p in priors]
        self.seed = seed
        self.folder = folder
        training, self.validation_blocks = split(frames, options.validation_fraction)
        validation = _thin(np.concatenate(self.validation_blocks), options.most_validation_frames)
        self.numbers = training
        self.training = LabelledGraphs(
            potential, frames, training, self.priors, options.energy_weight
        )
        self.validation = LabelledGraphs(
            potential, frames, validation, self.priors, options.energy_weight
        )
        self.scale = float(np.sqrt(np.mean(self.training.forces.numpy() ** 2))) or 1.0
        self.torques = None
        if options.torque_weight > 0 and frames.box is None:
            self.torques = Torques.scaled(self.training)
        self.parameters = [p for p in potential.parameters() if p.requires_grad]
        self.optimiser = SOAP(
            self.parameters, lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.averaged = AveragedModel(potential, multi_avg_fn=get_ema_multi_avg_fn(options.average))
        average: Any = self.averaged.module
        fast = self.pays()
        self.evaluate = potential.compiled() if fast else potential
        self.evaluate_average = average.compiled() if fast else average
        self.history = _History()
        self.step = 0
        self.temperature = frames.temperature
        self.density = density_range(frames)
        self.recent: list[float] = []  # losses since the last validation
        self.rows: list[list[float]] = []  # of training.csv
        self.clock = Clock()
        self.request = Request()
        self.fingerprint = fingerprint(options, frames, seed)
        self.fabric: Any = None
        self.choose: Callable[[], None] = lambda: None
        self.report = TrainingReport(n_training=len(training), n_validation=len(validation))
        self.report.reference_loss = float(self.validation.squares.mean())

    def join(self, fabric: Any) -> None:
        """Become one of several processes: gradients are averaged over all, files are written by
        the first.
        """
        self.fabric = fabric
        self.evaluate = fabric.strategy.setup_module(self.evaluate)

    @property
    def first(self) -> bool:
        """Whether this is the only process, or the first."""
        return self.fabric is None or self.fabric.is_global_zero

    def everyone(self, value: Tensor) -> Tensor:
        """Mean over the processes."""
        return value if self.fabric is None else self.fabric.all_reduce(value, reduce_op="mean")

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.step >= self.options.steps or self.report.stopped_early

    def loop(self, name: str) -> None:
        """Train to the end."""
        n_sites = min(self.options.batch_size, len(self.training)) * self.training.frames.n_sites
        with (
            tqdm(
                total=self.options.steps,
                initial=self.step,
                desc=name,
                unit="step",
                mininterval=1.0,
                disable=not self.first,
            ) as bar,
            deferred() as self.request,
            chosen(name, self.trial, n_sites) as self.choose,
        ):
            while not self.done and not self.request.due:
                self.advance(bar)
            self.request.stop(self.kept())

    def trial(self) -> Callable[[], Any] | None:
        """Loss and gradient of one batch, kept nowhere: what threads are chosen by. None where no
        kernel computes them.
        """
        if self.fabric is not None or not has_kernel(self.evaluate):
            return None
        graph = self.training[self.batch(self.step)]

        def step() -> None:
            forces = self.evaluate(graph, differentiable=True)[1]
            torch.autograd.grad(
                self.frame_losses(graph, forces).mean(), self.parameters, allow_unused=True
            )

        return step

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
            if self.step < end and self.fabric is None and (self.request.due or self.clock.due):
                self.report.seconds, begin = self.report.seconds + time.time() - begin, time.time()
                self.checkpoint()
                if self.request.due:
                    return
        self.history.training_loss = (
            float(self.everyone(torch.tensor(np.mean(self.recent)))) * self.scale**2
        )
        self.report.seconds += time.time() - begin
        self.recent = []
        self.choose()
        self.validate()
        bar.set_postfix(explained=f"{100 * self.report.explained_fraction:.2f}%")
        self.checkpoint()

    def pays(self) -> bool:
        """Whether the 5 s of compiling the potential are less than what it saves, about 4 s in 10^6
        pairs.
        """
        if self.options.compile != "auto":
            return bool(self.options.compile)
        sites = self.training.frames.n_sites
        pairs = self.options.steps * self.options.batch_size * sites * min(sites, 50)
        return self.options.device.type == "cpu" and pairs > 3e6

    def loader(self, begin: int, end: int) -> DataLoader:
        """Batches `begin` ... `end`: shuffled epochs, a function of (seed, step) only, so that a
        resumed run sees the same.
        """
        batches = [self.batch(step) for step in range(begin, end)]
        return DataLoader(self.training, batch_size=1, sampler=batches)  # type: ignore[arg-type]

    def batch(self, step: int) -> np.ndarray:
        size = min(self.options.batch_size, len(self.training))
        per_epoch = len(self.training) // size
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.training))
        whole = order[place * size : (place + 1) * size]
        return (
            whole
            if self.fabric is None
            else whole[self.fabric.global_rank :: self.fabric.world_size]
        )

    def optimise(self, graph: SiteGraph) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        energy, forces = self.evaluate(graph, differentiable=True)
        total, loss = (
            self.frame_losses(graph, forces) @ graph.frame_weights / len(graph.frame_weights)
        )
        if self.options.energy_weight > 0:
            total = total + self.options.energy_weight * self.energy_loss(graph, energy)
        if not bool(total.isfinite()):
            self.name_bad_frame()
        self.optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, 10.0)
        self.optimiser.step()
        self.averaged.update_parameters(self.potential)
        return loss.item()

    def name_bad_frame(self) -> None:
        """ValueError that names the frames of this step's batch whose loss is not finite."""
        batch = self.batch(self.step)
        losses = self.losses(self.evaluate, self.training, batch)[0]
        bad = self.numbers[batch[~np.isfinite(losses)]].tolist()
        which = f"of frames {bad[:5]}" if bad else "of its energies"
        raise ValueError(
            f"training step {self.step}: expected a finite loss, found one {which} that is "
            "not; are two sites at one place there? "
            "Leave these frames out, or give a smaller learning_rate"
        )

    def frame_losses(self, graph: SiteGraph, forces: Tensor) -> Tensor:
        """(2, n_frames) what is minimised, and the mean squared force error per component, both in
        units of scale^2.
        """
        error = graph.per_frame(forces - graph.labels)
        loss = (error / self.scale).square().mean((1, 2))
        objective = loss
        if self.torques is not None:
            torques = self.torques.loss(graph.per_frame(graph.positions), error)
            objective = loss + self.options.torque_weight * torques
        return torch.stack([objective, loss])

    def energy_loss(self, graph: SiteGraph, energy: Tensor) -> Tensor:
        # Only differences count: the zero of the energy is set after training.
        difference = (energy - graph.frame_energies) / (0.1 * self.scale)
        mean = self.everyone(difference.detach().mean())
        return (difference - mean).square().mean() / graph.sites_per_frame

    def learning_rate(self) -> float:
        done = self.step / self.options.steps
        return (
            self.options.learning_rate
            * min(1.0, (self.step + 1) / 50)
            * (0.5 * (1 + math.cos(math.pi * done)) + 2e-3)
        )

    def validate(self) -> None:
        """Compare the averaged weights with the best ones so far, frame by frame."""
        losses = self.losses(self.evaluate_average, self.validation)
        weights = self.validation.weights.numpy()
        gain = None if self.history.best is None else self.history.best[0] - losses[0]
        improvement = None if gain is None else np.average(gain, weights=weights)
        if improvement is None or improvement > 0:
            spread = 0.0 if gain is None else np.std(gain) / np.sqrt(len(gain))
            # A gain smaller than its own error keeps the new weights but does not reset the
            # patience.
            self.history.stale = (
                0 if improvement is None or improvement > spread else self.history.stale + 1
            )
            self.history.best = losses
            self.history.best_state = {
                k: v.clone() for k, v in self.averaged.module.state_dict().items()
            }
            self.history.best_training_loss = self.history.training_loss
        else:
            self.history.stale += 1
        self.summarise(float(np.average(losses[1], weights=weights)))
        self.report.stopped_early = 0 < self.options.patience <= self.history.stale

    def summarise(self, validation_loss: float) -> None:
        report, force_losses = self.report, self.history.best[1]  # type: ignore[index]
        best = np.average(force_losses, weights=self.validation.weights.numpy())
        report.steps, report.validation_loss = self.step, float(best)
        report.explained_fraction = _explained(report.validation_loss, report.reference_loss)
        report.explained_fraction_error = _fraction_error(
            force_losses, self.validation.squares, report.explained_fraction
        )
        report.noise_estimate = 0.5 * (report.validation_loss + self.history.best_training_loss)
        epoch = self.step * self.options.batch_size / max(1, len(self.training))
        self.write_row(
            self.step,
            epoch,
            self.learning_rate(),
            self.history.training_loss,
            validation_loss,
            _explained(validation_loss, report.reference_loss),
            report.noise_estimate,
            report.seconds,
        )

    @torch.no_grad()
    def losses(
        self, model: nn.Module, data: LabelledGraphs, which: np.ndarray | None = None
    ) -> np.ndarray:
        """(2, n_frames) `frame_losses` of frames `which` of the data (default: all), (kJ/mol/nm)^2
        per component.
        """
        out = [
            self.frame_losses(g, model(g)[1]) for g in data.batches(self.options.batch_size, which)
        ]
        return torch.cat(out, 1).cpu().numpy() * self.scale**2

    def write_row(self, *row: float) -> None:
        """One more line of training.csv, whole each time: what is there is never repeated or cut."""
        self.rows.append(list(row))
        self.write_rows()

    def write_rows(self) -> None:
        """training.csv as far as the fit has come."""
        if self.folder is None or not self.first:
            return
        lines = [",".join(COLUMNS), *(",".join(f"{x:.8g}" for x in row) for row in self.rows)]
        write_text(self.folder / "training.csv", "\n".join(lines) + "\n")

    def checkpoint(self) -> None:
        """Everything needed to go on."""
        self.clock.reset()
        if self.folder is None or not self.first:
            return
        best = self.history.best
        state = {
            "step": self.step,
            "report": vars(self.report),
            "potential": self.potential.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "recent": self.recent,
            "rows": self.rows,
            "fingerprint": self.fingerprint,
            "history": {
                **vars(self.history),
                "best": None if best is None else torch.from_numpy(best),
            },
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
        self.report = TrainingReport(**state["report"])
        self.potential.load_state_dict(state["potential"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.recent = state["recent"]
        self.rows = state["rows"]
        best = state["history"]["best"]
        self.history = _History(
            **{**state["history"], "best": None if best is None else best.cpu().numpy()}
        )
        self.write_rows()

    def finish(self) -> tuple[Potential, TrainingReport]:
        self.potential.load_state_dict(self.history.best_state)
        self.judge_training()
        if self.options.energy_weight > 0:
            self.set_energy_zero()
        fitted = SumPotential([*self.priors, self.potential]) if self.priors else self.potential
        # Without true energies among the labels what was fitted is a PMF, and that holds at one
        # temperature.
        is_pmf = self.options.energy_weight == 0
        fitted.made_at(self.temperature if is_pmf else None)
        fitted.density = self.density if is_pmf else None
        return fitted, self.report

    @torch.no_grad()
    def judge_training(self) -> None:
        """Explained fraction of at most as many training frames as there are for validation."""
        which = _thin(np.arange(len(self.training)), self.options.most_validation_frames)
        losses, reference = (
            self.losses(self.evaluate, self.training, which)[1],
            self.training.squares[which],
        )
        report = self.report
        report.training_explained_fraction = _explained(
            float(losses.mean()), float(reference.mean())
        )
        report.training_explained_fraction_error = _fraction_error(
            losses, reference, report.training_explained_fraction
        )

    @torch.no_grad()
    def set_energy_zero(self) -> None:
        """Shift the site energies so that the mean error of the training energies is zero."""
        # The kernel gives forces at no price; without it they would cost twice the energy, and are
        # not asked for.
        kernel = self.evaluate is not self.potential
        errors = [
            g.frame_energies - (self.evaluate(g)[0] if kernel else self.potential.energy(g))
            for g in self.training.batches(self.options.batch_size)
        ]
        self.potential.site_energy += torch.cat(errors).mean() / self.training.positions.shape[1]  # type: ignore[operator]


class LabelledGraphs(Dataset):
    """Frames as training data: asking for an array of frame numbers gives them as one graph with
    its labels.

    Whole batches at once, because putting a few hundred small graphs together one by one costs more
    than the network.
    """

    def __init__(
        self,
        potential: Potential,
        frames: Frames,
        which: np.ndarray,
        priors: Sequence[Potential],
        energy_weight: float,
    ) -> None:
        if energy_weight > 0 and frames.energies is None:
            raise ValueError(
                "ForceMatching: energy_weight > 0 needs Frames.energies, and these frames have "
                "none; a PMF has no energy labels, set energy_weight=0"
            )
        self.potential = potential
        self.frames = frames[which]
        forces, energies = np.asarray(self.frames.need_forces(), float), self.frames.energies
        check_finite(forces, which, frames.system, "force labels")
        # of the full labels, before priors are taken out
        self.squares = np.mean(forces**2, axis=(1, 2))
        energies = np.zeros(len(which)) if energies is None else np.asarray(energies, float)
        for prior in priors:
            # tracing does not pay for one pass
            fast = prior.compiled() if prior.device.type == "cpu" else prior
            energy, force = fast.energy_and_forces(self.frames, batch_size=1024)
            check_finite(force, which, frames.system, f"forces of the prior {type(prior).__name__}")
            forces, energies = forces - force, energies - energy
        weights = (
            np.ones(len(which))
            if self.frames.weights is None
            else np.array(self.frames.weights, float)
        )
        self.positions = self.frames.positions
        self.forces = torch.from_numpy(forces)
        self.energies = torch.from_numpy(energies)
        self.weights = torch.from_numpy(weights / weights.mean())

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, which: Any) -> SiteGraph:
        graph = self.potential.graph(self.frames[which])
        device = graph.positions.device
        graph.labels = self.forces[which].reshape(-1, 3).to(device)
        graph.frame_energies = self.energies[which].to(device)
        graph.frame_weights = self.weights[which].to(device)
        return graph

    def batches(self, size: int, which: np.ndarray | None = None) -> Iterator[SiteGraph]:
        """Frames `which`, by default all, in order; at most `size` at a time, and one graph in
        memory at a time.
        """
        which = np.arange(len(self)) if which is None else which
        step = portion(self.frames.n_sites, size)
        return (self[which[start : start + step]] for start in range(0, len(which), step))


class Torques:
    """Torques of forces about the rotatable bonds of one open System.

    Stiff bonds and angles carry nearly all of a force, dihedrals decide where a molecule is: a fit
    of forces alone reaches the dihedrals last (a heavy-atom alanine dipeptide still had 1 kT/rad of
    systematic error along psi when the noise left was a third of that). A torque is a linear
    function of the forces, its expectation that of the same mean force; so adding its squared error
    changes what is learned first and leaves the minimum, the PMF, where it was.

    Args:
        system: whose bonds with something to turn on both sides are used, but for those in rings.

    Attributes:
        size: (n_bonds,) typical torques, kJ/mol/rad; ones until `scaled` has measured them.
    """

    def __init__(self, system: System) -> None:
        central = sorted({(min(p[1:3]), max(p[1:3])) for p in system.bonded_paths(4)})
        turning = [(b, c, moved) for b, c in central if (moved := system.beyond(b, c)) is not None]
        self.first, self.second = (
            torch.tensor([t[k] for t in turning], dtype=torch.long) for k in (0, 1)
        )
        self.moved = torch.zeros(len(turning), system.n_sites, dtype=torch.float64)
        for row, (_, _, moved) in zip(self.moved, turning):
            row[moved] = 1.0
        self.size = torch.ones(len(turning), dtype=torch.float64)

    @classmethod
    def scaled(cls, data: LabelledGraphs, most: int = 2000) -> Torques | None:
        """With the root mean square torques of the labels as sizes; None where no bond can be
        turned.
        """
        torques, some = cls(data.frames.system), _thin(np.arange(len(data)), most)
        if not len(torques.size):
            return None
        step = portion(data.frames.n_sites, most)
        parts = [some[start : start + step] for start in range(0, len(some), step)]
        place = lambda part: torch.from_numpy(np.array(data.positions[part], float))  # noqa: E731
        found = torch.cat([torques(place(part), data.forces[part]) for part in parts])
        torques.size = found.square().mean(0).sqrt().clamp_min(1e-12)
        return torques.to(data.potential.device)

    def to(self, device: torch.device) -> Torques:
        """Move to `device`."""
        for name in ("first", "second", "moved", "size"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def __call__(self, positions: Tensor, forces: Tensor) -> Tensor:
        """(n_frames, n_bonds) kJ/mol/rad of forces (n_frames, n_sites, 3) on the sites that turn."""
        pivot = positions[:, self.second]
        axis = pivot - positions[:, self.first]
        about_origin = torch.einsum(
            "di,nik->ndk", self.moved, torch.linalg.cross(positions, forces)
        )
        net = torch.einsum("di,nik->ndk", self.moved, forces)
        torque = about_origin - torch.linalg.cross(pivot, net)
        return (torque * axis).sum(-1) / axis.norm(dim=-1)

    def loss(self, positions: Tensor, errors: Tensor) -> Tensor:
        """(n_frames,) mean squared torque of force errors, in units of `size`."""
        return (self(positions.double(), errors.double()) / self.size).square().mean(1)


def fingerprint(options: ForceMatching, frames: Frames, seed: int) -> str:
    """Digest of what a fit is of: its settings, the forces of its frames, its seed."""
    about = json.dumps([described(options), seed, len(frames), frames.temperature])
    forces = np.ascontiguousarray(frames.need_forces())
    return hashlib.sha256(about.encode() + hashlib.sha256(forces.data).digest()).hexdigest()


def split(
    frames: Frames, validation_fraction: float, n_blocks: int = 20
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(training frame numbers, validation blocks), cut by replica or by blocks of time, never by
    random frames.

    Raises:
        ValueError: too few frames, or a fraction outside (0, 1).
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(
            f"validation_fraction: expected a number between 0 and 1, found {validation_fraction}"
        )
    blocks = blocks_of(frames, min(n_blocks, len(frames)))
    if len(blocks) < 2:
        raise ValueError(
            f"training needs at least 2 frames to keep some for validation, found {len(frames)}"
        )
    wanted = max(1, round(validation_fraction * len(blocks)))
    held = set(np.linspace(0, len(blocks) - 1, wanted + 2).round().astype(int)[1:-1].tolist())
    training = np.sort(np.concatenate([b for k, b in enumerate(blocks) if k not in held]))
    return training, [b for k, b in enumerate(blocks) if k in held]


def _explained(loss: float, reference: float) -> float:
    """1 - loss / reference; 0 where the labels are all zero, as those of a molecule in vacuum that
    is one site.
    """
    return 1 - loss / reference if reference > 0 else 0.0


def check_finite(labels: NDArray[Any], which: NDArray[Any], system: System, what: str) -> None:
    """ValueError that names the first frame and site where labels (n_frames, n_sites, 3) are not
    finite.

    Args:
        which: number of each frame in the sample it comes from.
        what: of what the labels are, for the message.
    """
    bad = np.argwhere(~np.isfinite(labels).all(-1))
    if len(bad):
        frame, site = bad[0].tolist()
        frames = np.unique(bad[:, 0])
        raise ValueError(
            f"frame {which[frame]}, site {site} ({system.labels[site]}): expected finite "
            f"{what}, found {labels[frame, site].tolist()} "
            f"({len(frames)} of {len(labels)} frames, the first ones "
            f"{which[frames[:5]].tolist()}); two sites at one place, or three "
            "on a line? Leave these frames out"
        )


def _fraction_error(losses: np.ndarray, reference: np.ndarray, fraction: float) -> float:
    """Standard error of 1 - <losses> / <reference> from blocks of frames. A frame of large labels
    makes both large.

    nan of a single frame, which tells nothing of the scatter.
    """
    if not reference.any():
        return 0.0
    if len(losses) < 2:
        return float("nan")
    residual = losses - (1 - fraction) * reference
    parts = np.array_split(residual, max(2, min(10, len(residual))))
    return float(np.std([p.mean() for p in parts], ddof=1) / np.sqrt(len(parts)) / reference.mean())


def _thin(which: np.ndarray, most: int) -> np.ndarray:
    return which[:: max(1, -(-len(which) // most))]
