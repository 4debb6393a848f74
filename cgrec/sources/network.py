"""Level 0 from an all-atom NNP that was trained on a file of quantum-chemical labels, or that ships
with cgrec.

Where the labels cannot be extended (ab initio molecular dynamics of a liquid is a supercomputer's
work) there is no active learning: a committee is trained, and it says where it is out of its range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NotRequired, TypedDict, cast

import numpy as np

from ..dynamics import CommitteeGuard
from ..files import Json, package_path
from ..frames import Frames
from ..options import Keywords
from ..potential import (
    Committee,
    DensityNetwork,
    ExcludedVolume,
    Potential,
    fit_priors,
    network_maker,
)
from ..ranges import expect
from ..roles import Engine, NetworkMaker
from ..run import layout
from ..run.digests import (
    check_all,
    checked,
    checked_json,
    digest,
    keep,
    keep_json,
    made,
    open_record,
)
from ..run.recipes import described
from ..training import ForceMatching, TrainingReport
from .base import Source, Stages
from .file import FileSource
from .nnp.learned import EV_PER_ANGSTROM, force_rmse, run_apart, trained_once

#: A start whose number density differs by more than this share from that of the labels is another
#: state.
DENSITY_TOLERANCE = 0.03
#: kT of the wall at the shortest distance in the labels. A network of few labels has holes behind
#: it (hydrogen bonds that pull a proton over), so it is much higher than that of a PMF; where there
#: are labels the network takes it back.
WALL = 5.0
#: K around the temperature of the labels in which the NNP may be run.
TEMPERATURE_RANGE = 60.0


class AboutNetwork(TypedDict):
    """What about.json beside a committee says.

    Attributes:
        temperature, density: K and atoms per nm^3 of the labels.
        spread: kJ/mol/nm, largest of the committee on held-out labels.
        force_rmse, force_rmse_committee: kJ/mol/nm on held-out labels, of each member and of the
            mean.
        n_training, n_held_out: labels.
        energy_error_per_atom: kJ/mol, standard deviation, where labels have energies.
    """

    temperature: float
    density: float
    spread: float
    force_rmse: list[float]
    force_rmse_committee: float
    n_training: int
    n_held_out: int
    energy_error_per_atom: NotRequired[float]


class NetworkSource(Source):
    """Dynamics with an all-atom NNP of a periodic liquid.

    Args:
        temperature: K of the run.
        dynamics: the run that gives level 0 its frames; replicas start from the frames of the
            labels.
        labels: keyword arguments of `FileSource`: frames with forces (and energies) to learn from.
            Their net force is taken out; the last of them are held out.
        potential: "package:name" or a folder with an NNP made here, to skip the learning.
        network: keyword arguments of `DensityNetwork.for_frames`, or what makes another network.
        training: of each member.
        members: networks in the committee. The first one is run, all of them watch it.
        held_out: share of the labels, the last of them in time, that no member sees.
        copies: of the start along each axis of its box.
        margin: times the largest spread of the committee on the held-out labels at which a replica
            is stopped. A hydrogen bond that is very short for a moment reaches three times, and
            comes back.

    Raises:
        ValueError: neither labels nor a potential; fewer than two members; a run at a temperature
            or density the labels do not cover.
    """

    products = {
        "learn": ("learning",),
        "run": ("frames", layout.POTENTIAL, layout.LEARNING, layout.SOURCE),
    }

    def __init__(
        self,
        *,
        temperature: float,
        dynamics: Engine,
        labels: Annotated[Json | None, Keywords(FileSource)] = None,
        potential: str | None = None,
        network: Annotated[
            Mapping[str, object] | NetworkMaker | None, Keywords(DensityNetwork.for_frames)
        ] = None,
        training: ForceMatching | None = None,
        members: int = 3,
        held_out: float = 0.15,
        copies: int = 1,
        margin: float = 10,
    ) -> None:
        if (labels is None) == (potential is None):
            raise ValueError(
                "NetworkSource: expected either labels to learn from or a potential, found "
                + ("neither" if labels is None else "both")
            )
        if members < 2:
            raise ValueError(
                "NetworkSource.members: expected at least two members, which can disagree, found "
                f"{members}"
            )
        expect("NetworkSource", above=0, temperature=temperature, margin=margin)
        expect("NetworkSource", above=0, below=1, held_out=held_out)
        expect("NetworkSource", at_least=1, copies=copies)
        self.temperature = float(temperature)
        self.dynamics = dynamics
        self.potential = potential
        self.labels = dict(labels or {})
        self.network = (
            dict(network or {}) if network is None or isinstance(network, Mapping) else network
        )
        if labels is not None:
            network_maker(self.network, "for_frames")  # refuses wrong arguments before work starts
        self.training = training or ForceMatching()
        self.members = members
        self.held_out = held_out
        self.copies = copies
        self.margin = margin

    def recipe(self) -> dict[str, object]:
        labels = FileSource(**self.labels).recipe() if self.labels else {}
        known = (
            None
            if self.potential is None
            else digest(network_path(self.potential) / "committee.pt")
        )
        return {**described(vars(self)), "labels": described(labels), "potential": known}

    def stages(self, seed: int) -> Stages:
        (own,) = super().stages(seed).values()
        return run_apart(own, "margin", "temperature", "copies")

    def finished(self, folder: Path) -> Frames | None:
        found = super().finished(folder)
        return (
            found
            if found is not None and self.dynamics.long_enough(folder / layout.FRAMES)
            else None
        )

    def files(self) -> list[Path]:
        return [] if self.potential is not None else FileSource(**self.labels).files()

    def packages(self) -> tuple[str, ...]:
        return ("cgrec", "numpy", "torch")

    def sample(self, folder: Path, seed: int) -> Frames:
        home = folder.parent
        place = home / "learning" if self.potential is None else network_path(self.potential)
        if self.potential is None:
            self.learn(place, seed)
        committee = cast(
            Committee, Potential.load(checked(place / "committee.pt"), self.training.torch_device)
        )
        about: AboutNetwork = checked_json(place / "about.json")
        start = replicated(Frames.load(checked(place / "starts")), self.copies)
        start = replace(start, temperature=self.temperature)
        self.check_range(start, about)
        if not made(home / layout.POTENTIAL):
            keep(home / layout.POTENTIAL, committee.members[0].save)
        if not made(home / layout.LEARNING):
            keep_json(home / layout.LEARNING, about)
        frames = home / layout.FRAMES
        if not (made(frames) and self.dynamics.long_enough(frames)):
            guard = CommitteeGuard(committee.compiled(), self.margin * about["spread"])
            name = "level 0: NNP dynamics"
            self.dynamics(committee.members[0], start, frames, seed=seed, guard=guard, name=name)
        return self.dynamics.judged(frames)[0]

    def check_range(self, start: Frames, about: AboutNetwork) -> None:
        """ValueError where the run would leave the state the labels are of."""
        density = number_density(start)
        if abs(density / about["density"] - 1) > DENSITY_TOLERANCE:
            raise ValueError(
                f"the NNP was trained at {about['density']:.2f} atoms/nm^3 and the start has "
                f"{density:.2f}: expected at most "
                f"{100 * DENSITY_TOLERANCE:.0f} % difference; scale the box, or train on "
                "labels of that density"
            )
        if abs(self.temperature - about["temperature"]) > TEMPERATURE_RANGE:
            raise ValueError(
                f"the NNP was trained at {about['temperature']} K and the run is at "
                f"{self.temperature} K: expected at most "
                f"{TEMPERATURE_RANGE:.0f} K difference; train on labels of that temperature"
            )

    def learn(self, place: Path, seed: int) -> None:
        """Leave committee.pt, starts and about.json in `place`; members that are there are not
        trained again.
        """
        open_record(place)
        check_all(place)
        if made(place / "about.json"):
            return
        frames = without_net_force(FileSource(**self.labels).sample(place, seed))
        n_training = round((1 - self.held_out) * len(frames))
        training, held_out = frames[:n_training], frames[n_training:]
        committee = Committee([self._member(place, k, training, seed) for k in range(self.members)])
        if not made(place / "committee.pt"):
            keep(place / "committee.pt", committee.save)
        frames = replace(frames, forces=None, energies=None)
        if not made(place / "starts"):
            frames[:: max(1, len(frames) // 16)].save(place / "starts")
        about = about_network(committee, frames, held_out, n_training)
        print(
            f"all-atom NNP on {len(held_out)} held-out frames: force RMSE "
            f"{about['force_rmse_committee'] / EV_PER_ANGSTROM * 1e3:.1f} meV/A (committee), "
            f"{np.mean(about['force_rmse']) / EV_PER_ANGSTROM * 1e3:.1f} (its members)",
            flush=True,
        )
        keep_json(place / "about.json", about)

    def _member(self, place: Path, k: int, frames: Frames, seed: int) -> Potential:
        make = network_maker(self.network, "for_frames")
        name = f"NNP {k + 1} of {self.members}"
        return trained_once(
            place,
            k,
            self.training.torch_device,
            lambda own: liquid_network(make, self.training, frames, seed + k, own, name),
        )


def liquid_network(
    make: Callable[[Frames, int], Potential],
    training: ForceMatching,
    frames: Frames,
    seed: int,
    folder: Path,
    name: str,
) -> tuple[Potential, TrainingReport]:
    """A network with bonded priors and a high wall, trained on `frames`: an energy, not a PMF.

    Args:
        make: makes the untrained network.
        training: of it.
        frames: labels.
        seed: of first weights and batches.
        folder: where its checkpoints go.
        name: what its progress bar shows.
    """
    network = make(frames, seed)
    bonded = fit_priors(frames, types=network.types, cutoff=network.cutoff, excluded_volume=False)
    wall = ExcludedVolume.fit(frames, network.types, network.cutoff, height=WALL)
    priors = [*bonded, wall]
    fitted, report = training(network, frames, priors=priors, seed=seed, folder=folder, name=name)
    fitted.density = None
    return fitted.made_at(None), report


def about_network(
    committee: Committee, frames: Frames, held_out: Frames, n_training: int
) -> AboutNetwork:
    """What a committee is good for.

    Args:
        committee: trained.
        frames: all that were labelled.
        held_out: those that no member has seen.
        n_training: how many the members have seen.
    """
    about: AboutNetwork = {
        "temperature": frames.temperature,
        "density": number_density(frames),
        "spread": largest_spread(committee, held_out),
        "force_rmse": [force_rmse(m, held_out) for m in committee.members],
        "force_rmse_committee": force_rmse(committee, held_out),
        "n_training": n_training,
        "n_held_out": len(held_out),
    }
    if held_out.energies is not None:
        error = committee.energy_and_forces(held_out, batch_size=8)[0] - held_out.energies
        about["energy_error_per_atom"] = float(np.std(error) / frames.n_sites)
    return about


def network_path(name: str) -> Path:
    """The folder of a potential. Raises FileNotFoundError where it lacks what `NetworkSource.learn`
    leaves.
    """
    place = package_path(name)
    for part in ("committee.pt", "about.json", "starts"):
        if not (place / part).exists():
            raise FileNotFoundError(
                f"{place} holds no NNP: {part} is missing; expected the folder learning of a "
                "level 0"
            )
    return place


def without_net_force(frames: Frames) -> Frames:
    """Every frame's mean force taken out: an energy without outer fields has none, the labels' is
    numerical noise.
    """
    forces = np.asarray(frames.need_forces(), float)
    return replace(frames, forces=forces - forces.mean(1, keepdims=True))


def number_density(frames: Frames) -> float:
    """Sites per nm^3 of a periodic system."""
    boxes = frames.boxes()
    if boxes is None:
        raise ValueError(
            "NetworkSource: expected periodic frames, found no box; see QuantumSource for molecules"
        )
    return frames.n_sites / float(np.abs(np.linalg.det(boxes)).mean())


def largest_spread(committee: Committee, frames: Frames) -> float:
    """kJ/mol/nm, of `Committee.force_spread` over the frames."""
    fast = committee.compiled()
    return max(float(fast.force_spread(fast.graph(frames[k])).max()) for k in range(len(frames)))


def replicated(frames: Frames, copies: int) -> Frames:
    """`copies` of every frame along each axis of its box, as one larger system."""
    if copies == 1:
        return frames
    n, boxes = frames.n_sites, np.asarray(frames.boxes(), float)
    shifts = np.stack(np.meshgrid(*[np.arange(copies)] * 3, indexing="ij"), -1).reshape(-1, 3)
    moved = frames.positions[:, None] + (shifts @ boxes)[:, :, None]
    one, many = frames.system, len(shifts)
    system = replace(
        one,
        names=one.names * many,
        types=one.types * many,
        elements=one.elements * many,
        residue_names=one.residue_names * many,
        masses=np.tile(one.masses, many),
        charges=np.tile(one.charges, many),
        residues=np.concatenate([one.residues + k * (one.residues.max() + 1) for k in range(many)]),
        bonds=np.concatenate([one.bonds + n * k for k in range(many)]),
        constraints=np.concatenate([one.constraints + n * k for k in range(many)]),
        **one.origin(list(range(n)) * many),
    )
    box = np.asarray(frames.box, float) * copies
    forces = None if frames.forces is None else np.tile(frames.forces, (1, many, 1))
    return Frames(
        system, moved.reshape(len(frames), -1, 3), frames.temperature, forces=forces, box=box
    )
