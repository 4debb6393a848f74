"""`ForceMatching`: fit a potential to forces (and energies where they are true energies). One
trainer for every level.

The force label of a coarse site is its mean force plus noise that no model can explain, so the raw
error says little (THEORY: loss = signal + noise). Reported instead: the explained fraction 1 - L /
L0 and validation losses compared in pairs on the same frames.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..frames import Frames
from ..potential.base import Potential
from ..potential.energy_entropy import thermal_part
from .loop import Fit
from .options import FitOptions
from .processes import Processes
from .report import TrainingReport

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class ForceMatching(FitOptions):
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
        device: "cpu", "cuda", "cuda:1"; "auto": that of the climb, which by default is a GPU where
            torch sees one. The run of the level follows.
        compile: train through `Potential.compiled()`: "auto" does so where the work saved outweighs
            the time a compiler takes.
        processes: share every batch among so many processes (of a CPU, or GPUs), by distributed
            data parallelism; needs lightning-fabric (`pip install "cgrec[distributed]"`), and
            `batch_size` a multiple of it.
        objectives: what is minimised, the sum of them (role `cgrec.roles.Objective`); None: forces,
            and torques and energies by their weights above, which count only then.
        weighted: False counts every frame alike, which mean forces allow: they are right however
            often their configuration occurs. None: by the weights of the frames, which bring them to
            one temperature, so a PMF of several counts every frame alike, too.

    Raises:
        ValueError: an unknown precision; a batch that cannot be shared evenly.
    """

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
            frames: with forces; weights are honoured, unless `weighted` says otherwise.
            priors: fixed, subtracted from the labels here and added to what is returned.
            seed: of the order of frames.
            folder: where training.csv and the checkpoint, training.pt, go; a fit that finds its
                checkpoint continues it. The checkpoint stays when the fit is done: remove it when
                the potential is safe.
            name: shown by the progress bar.

        Returns:
            priors + trained potential, and the report.

        Raises:
            ValueError: no forces, or no energies (or a network without their zero) where energies
                are to be fitted; several processes and no folder.
        """
        if self.weighted is False or thermal_part(potential) is not None:
            frames = replace(frames, weights=None)
        fit = Fit(self, potential.to(self.torch_device, self.dtype), frames, priors, seed, folder)
        fit.resume()
        if self.processes > 1 and not fit.done:
            self._share(potential, frames, priors, seed, folder, name)
            fit.resume()
        fit.loop(name)
        return fit.finish()

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
        kind = self.torch_device.type
        fabric = Fabric(accelerator=kind, devices=self.processes, strategy="ddp_spawn")
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
    fabric: Fabric,
    options: ForceMatching,
    potential: Potential,
    frames: Frames,
    priors: list[Potential],
    seed: int,
    folder: Path,
    name: str,
    threads: int,
) -> None:
    """What each process does: the same fit on its share of every batch."""
    torch.set_num_threads(threads)
    options = replace(options, device=str(fabric.device))
    own = copy.deepcopy(potential).to(fabric.device)  # what came in is memory shared by all
    fit = Fit(options, own, frames, priors, seed, folder, Processes(fabric))
    fit.resume()
    fit.loop(name)
