"""Level 0 from quantum chemistry: an all-atom NNP trained by active learning, then run.

The electrons are what is coarse-grained away here. Labels carry true energies, which no higher
level has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from ...dynamics import feature_guard
from ...files import package_path
from ...frames import Frames
from ...io import read
from ...options import Keywords
from ...potential import DensityNetwork, Potential, network_maker
from ...ranges import expect
from ...roles import Engine, NetworkMaker
from ...run import layout
from ...run.digests import checked, digest, keep, keep_json, made
from ...run.recipes import described
from ...system import System
from ...training import ForceMatching
from ..base import Source, Stages
from .active_learning import ActiveLearning
from .active_learning import scatter as scatter
from .active_learning import within_reach as within_reach
from .labelling import Labeller
from .learned import EV_PER_ANGSTROM as EV_PER_ANGSTROM
from .learned import error_on_own_run, run_apart
from .learned import force_rmse as force_rmse

#: Of the NNP on frames of its own run, in the folder of level 0.
FORCE_ERROR = layout.FORCE_ERROR


class QuantumSource(Source):
    """Active learning of an all-atom NNP on quantum-chemistry labels, then dynamics with it.

    Args:
        structure: file with the starting molecule, or "package:name" for one that ships with cgrec.
        temperature: K.
        dynamics: the run that gives level 0 its frames.
        exploration: the run that looks for structures to label in every round.
        training: of each committee member.
        final_training: of the NNP that is kept, once all labels are there.
        network: keyword arguments of DensityNetwork other than types, seed and energy_scale, or
            what makes another network.
        labeller: the quantum chemistry.
        scatter: {name: four labels} dihedrals whose central bonds are turned at random for the
            first structures.
        potential: "package:name" of an NNP that ships with cgrec, to skip the learning; None learns
            from nothing.
        members: networks in the committee.
        first_runs, first_frames: short quantum runs, and frames kept of each.
        rounds: of training, exploring and labelling.
        labels: structures labelled per round.
        threshold: kJ/mol/nm, committee spread of a site's force that ends a replica.
        check_labels: frames of the final run labelled to state the NNP's force error; 0 leaves the
            check out.
    """

    products = {
        "learn": ("learning", "starts", layout.POTENTIAL),
        "run": ("frames", FORCE_ERROR, layout.SOURCE),
    }

    def __init__(
        self,
        *,
        structure: str,
        temperature: float,
        dynamics: Engine,
        exploration: Engine,
        training: ForceMatching,
        final_training: ForceMatching,
        network: Annotated[Mapping[str, object] | NetworkMaker, Keywords(DensityNetwork)],
        labeller: Labeller | None = None,
        scatter: Mapping[str, Sequence[str]] | None = None,
        potential: str | None = None,
        members: int = 2,
        first_runs: int = 60,
        first_frames: int = 40,
        rounds: int = 3,
        labels: int = 2000,
        threshold: float = 3000,
        check_labels: int = 200,
    ) -> None:
        expect("QuantumSource", above=0, temperature=temperature, threshold=threshold)
        expect("QuantumSource", at_least=1, members=members, first_runs=first_runs)
        expect("QuantumSource", at_least=1, first_frames=first_frames, labels=labels)
        expect("QuantumSource", at_least=0, rounds=rounds, check_labels=check_labels)
        self.structure = structure
        self.temperature = temperature
        self.dynamics = dynamics
        self.exploration = exploration
        self.training = training
        self.final_training = final_training
        self.network = dict(network) if isinstance(network, Mapping) else network
        self.labeller = labeller or Labeller()
        self.scatter = dict(scatter or {})
        self.potential = potential
        self.members = members
        self.first_runs = first_runs
        self.first_frames = first_frames
        self.rounds = rounds
        self.labels = labels
        self.threshold = threshold
        self.check_labels = check_labels
        if potential is None:
            network_maker(self.network, "for_labels")  # refuses wrong arguments before work starts

    def recipe(self) -> dict[str, object]:
        shipped = (
            None
            if self.potential is None
            else digest(package_path(self.potential) / layout.POTENTIAL)
        )
        return {**described(vars(self)), "potential": shipped}

    def packages(self) -> tuple[str, ...]:
        return ("cgrec", "numpy", "torch", "ase", *self.labeller.packages())

    def system(self) -> System | None:
        """Of the starting molecule, or of the structures that ship with the potential."""
        return self.start().system if self.potential is None else self._shipped_starts().system

    def stages(self, seed: int) -> Stages:
        (own,) = super().stages(seed).values()
        return run_apart(own, "check_labels")

    def finished(self, folder: Path) -> Frames | None:
        found = super().finished(folder)
        done = found is not None and self.dynamics.long_enough(folder / layout.FRAMES)
        return found if done and (self.check_labels == 0 or made(folder / FORCE_ERROR)) else None

    def sample(self, folder: Path, seed: int) -> Frames:
        home = folder.parent
        if not made(home / layout.POTENTIAL):
            potential, starts = (
                self._shipped()
                if self.potential is not None
                else self.learn(home / "learning", seed)
            )
            if not made(home / "starts"):
                starts.save(home / "starts")
            keep(home / layout.POTENTIAL, potential.save)
        potential, starts = (
            Potential.load(home / layout.POTENTIAL, self.final_training.torch_device),
            Frames.load(checked(home / "starts")),
        )
        return self.run(potential, starts, home, seed)

    def _shipped(self) -> tuple[Potential, Frames]:
        print(
            f"level 0 starts from the all-atom NNP {self.potential} that ships with cgrec; "
            "source.potential=null learns it anew from quantum chemistry",
            flush=True,
        )
        place = package_path(str(self.potential))
        # An energy knows no temperature: the structures only start a run, at the temperature asked
        # for.
        starts = replace(self._shipped_starts(), temperature=float(self.temperature))
        return Potential.load(place / layout.POTENTIAL), starts

    def _shipped_starts(self) -> Frames:
        return Frames.load(package_path(str(self.potential)) / "starts")

    def run(self, potential: Potential, starts: Frames, home: Path, seed: int) -> Frames:
        """Dynamics with the finished NNP, and its force error on frames of that run."""
        place = home / layout.FRAMES
        if not (made(place) and self.dynamics.long_enough(place)):
            name = "level 0: NNP dynamics"
            guard = feature_guard(potential, starts, self.dynamics.save_every, name)
            self.dynamics(potential, starts, place, seed=seed + 1, guard=guard, name=name)
        frames, _ = self.dynamics.judged(place)
        if self.check_labels and not made(home / FORCE_ERROR):
            error = error_on_own_run(self.labeller, potential, frames, self.check_labels, seed)
            keep_json(home / FORCE_ERROR, error)
        return frames

    def learn(self, folder: Path, seed: int) -> tuple[Potential, Frames]:
        """The NNP by active learning, and structures to start from."""
        learning = ActiveLearning(
            start=self.start,
            temperature=self.temperature,
            make=network_maker(self.network, "for_labels"),
            labeller=self.labeller,
            exploration=self.exploration,
            training=self.training,
            final_training=self.final_training,
            scatter=self.scatter,
            members=self.members,
            first_runs=self.first_runs,
            first_frames=self.first_frames,
            rounds=self.rounds,
            labels=self.labels,
            threshold=self.threshold,
        )
        return learning(folder, seed)

    def start(self) -> Frames:
        """The starting molecule, typed by element."""
        return read(package_path(self.structure), temperature=self.temperature)
