"""cgrec, NequIP and MACE behind one interface, for peers.py. Each class imports its library in that
library's environment.

A library has a `variant` ("eager" or "compiled") and offers

    force_call(copies) -> a function that makes one force call; the neighbour list is made before,
        for all three
    trainer(batch, seed, learning_rate) -> an object with `round(steps)`, seconds per step, and
        `fit(minutes)`, see peer_worker.py

Units for the peers: angstrom and eV.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CUTOFF = 6.0  # angstrom
KJ_PER_MOL = 96.48533212331  # in one eV
TRAINING_SHARE = 0.85  # the rest, the end of the run, is held out


@dataclass(frozen=True)
class Water:
    """One-site water.

    Attributes:
        path: the npz it comes from.
        positions: (n_frames, n_sites, 3) angstrom.
        forces: (n_frames, n_sites, 3) eV/angstrom.
        box: (3, 3) angstrom.
    """

    path: Path
    positions: np.ndarray
    forces: np.ndarray
    box: np.ndarray

    @classmethod
    def load(cls, path: Path) -> Water:
        with np.load(path) as data:
            forces = data["forces"].astype(float) / (10 * KJ_PER_MOL)
            return cls(
                path, data["positions"].astype(float) * 10, forces, data["box"].astype(float) * 10
            )

    def inner(self) -> Water:
        """Its training frames only, divided anew: to choose options without a look at the frames
        held out.
        """
        n = self.n_training
        return Water(self.path, self.positions[:n], self.forces[:n], self.box)

    @property
    def n_training(self) -> int:
        return round(TRAINING_SHARE * len(self.positions))

    @property
    def force_scale(self) -> float:
        return float(np.sqrt(np.mean(self.forces[: self.n_training] ** 2)))

    def replicated(self, copies: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the first frame and the box, `copies` along each axis."""
        shifts = (
            np.stack(np.meshgrid(*[np.arange(copies)] * 3, indexing="ij"), -1).reshape(-1, 3)
            @ self.box
        )
        return (self.positions[0] + shifts[:, None]).reshape(-1, 3), self.box * copies


class Cgrec:
    """This package: its default network, trained by its own trainer."""

    def __init__(self, water: Water, folder: Path, variant: str) -> None:
        import one_site_water

        self.variant = variant
        self.frames = one_site_water.read(water.path)
        self.training = self.frames[: water.n_training]
        self.held_out = self.frames[water.n_training : len(water.positions)]

    def potential(self, seed: int = 0) -> Any:
        from cgrec.potential import DensityNetwork

        return DensityNetwork.for_frames(self.training, seed, cutoff=CUTOFF / 10)

    def force_call(self, copies: int) -> Callable[[], Any]:
        import one_site_water

        potential = one_site_water.frozen(self.potential())
        graph = potential.graph(one_site_water.replicated(self.frames[:1], copies))
        call = potential if self.variant == "eager" else potential.compiled()
        return lambda: call(graph)

    def trainer(self, batch: int, seed: int, learning_rate: float | None = None) -> CgrecTrainer:
        return CgrecTrainer(self, batch, seed)  # learning rate: the trainer's own default


class CgrecTrainer:
    """`ForceMatching` in rounds of a given number of steps, or for a given time."""

    def __init__(self, library: Cgrec, batch: int, seed: int) -> None:
        self.library = library
        self.batch = batch
        self.seed = seed

    def run(self, steps: int, stretch: int) -> tuple[Any, list[float]]:
        """The fitted potential, and the seconds of each stretch of steps (the first may hold a
        compilation).
        """
        from cgrec.training import ForceMatching

        options = ForceMatching(
            steps=steps,
            batch_size=self.batch,
            validation_fraction=0.05,
            validate_every=stretch,
            patience=0,
            most_validation_frames=4,
            compile=True,
        )
        with tempfile.TemporaryDirectory() as folder:
            potential = self.library.potential(self.seed)
            fitted, _ = options(
                potential, self.library.training, seed=self.seed, folder=Path(folder)
            )
            with open(Path(folder) / "training.csv") as file:
                seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
        return fitted, np.diff([0.0, *seconds]).tolist()

    def round(self, steps: int) -> float:
        return self.run(2 * steps, steps)[1][1] / steps

    def fit(self, minutes: float) -> dict[str, float]:
        """Train with a schedule that fits the CPU time, found by short runs before."""
        per_step = (self.cpu_seconds(400) - self.cpu_seconds(100)) / 300
        steps = max(50, round(60 * minutes / per_step))
        begin = time.process_time()
        fitted = self.run(steps, max(1, steps // 20))[0]
        seconds = time.process_time() - begin
        held_out = self.library.held_out
        forces = fitted.energy_and_forces(held_out, batch_size=8)[1]
        return {
            "explained": explained(held_out.need_forces(), forces),
            "steps": steps,
            "seconds": seconds,
        }

    def cpu_seconds(self, steps: int) -> float:
        begin = time.process_time()
        self.run(steps, steps)
        return time.process_time() - begin


class Nequip:
    """NequIP: l_max 1, two layers, 32 features, parity."""

    def __init__(self, water: Water, folder: Path, variant: str) -> None:
        from nequip.utils.global_state import set_global_state

        set_global_state()
        self.water = water
        self.folder = folder
        self.variant = variant
        self.neighbours = self.graph(water.positions[0], water.box)["edge_index"].shape[1] / len(
            water.positions[0]
        )

    def model(self, seed: int = 0, compile_mode: str = "eager") -> nn.Module:
        from nequip.model import NequIPGNNModel

        return NequIPGNNModel(
            seed=seed,
            model_dtype="float32",
            compile_mode=compile_mode,
            type_names=["W"],
            r_max=CUTOFF,
            l_max=1,
            num_layers=2,
            num_features=32,
            parity=True,
            avg_num_neighbors=self.neighbours,
            per_type_energy_scales=self.water.force_scale,
            per_type_energy_shifts=0.0,
        )

    def graph(self, positions: np.ndarray, box: np.ndarray) -> dict[str, Tensor]:
        from nequip.data import compute_neighborlist_, from_dict

        types = np.zeros(len(positions), int)
        return compute_neighborlist_(
            from_dict({"pos": positions, "cell": box, "pbc": True, "atom_types": types}), CUTOFF
        )

    def force_call(self, copies: int) -> Callable[[], Any]:
        graph = self.graph(*self.water.replicated(copies))
        model = (
            self.model().eval().requires_grad_(False)
            if self.variant == "eager"
            else self.ahead_of_time()
        )
        return lambda: model(dict(graph))

    def ahead_of_time(self) -> nn.Module:
        """What `nequip-compile --mode aotinductor --target ase --device cpu` makes, loaded as
        NequIP's calculators do.
        """
        from nequip.model.inference_models import load_compiled_model

        path = self.folder / "water.nequip.pt2"
        if not path.exists():
            self.export(path)
        return load_compiled_model(str(path), "cpu")[0]

    def export(self, path: Path) -> None:
        """The command itself wants a checkpoint of a training run; it is handed the model here
        instead.
        """
        from nequip.scripts import compile as command

        graph = self.graph(self.water.positions[0], self.water.box)
        command.load_saved_model = lambda *_, **__: (self.model(), graph)
        partial = path.with_name("partial.nequip.pt2")
        command.main(
            ["none", str(partial), "--mode", "aotinductor", "--target", "ase", "--device", "cpu"]
        )
        partial.replace(path)

    def trainer(self, batch: int, seed: int, learning_rate: float = 0.01) -> Any:
        from peer_worker import PlainTrainer

        # Its compiled training serves two frames a batch and more; smaller batches run eagerly.
        mode = "compile" if self.variant == "compiled" else "eager"
        return PlainTrainer(self, self.model(seed, mode).train(), batch, seed, learning_rate)

    def example(self, frame: int) -> dict[str, Tensor]:
        return self.graph(self.water.positions[frame], self.water.box)

    def batch(self, examples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        from nequip.data import AtomicDataDict

        return examples[0] if len(examples) == 1 else AtomicDataDict.batched_from_list(examples)

    def forces(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return model(dict(batch))["forces"]


class Mace:
    """MACE: 16 scalar channels, one interaction, harmonics to degree 2, correlation 2."""

    def __init__(self, water: Water, folder: Path, variant: str) -> None:
        import mace  # noqa: F401  (before e3nn, whose constants it makes readable)
        from mace.tools import utils

        self.water = water
        self.variant = variant
        self.species = utils.AtomicNumberTable([8])
        edges = [
            self.graph(water.positions[k], water.box).edge_index.shape[1]
            for k in range(0, len(water.positions), 40)
        ]
        self.neighbours = edges[0] / len(water.positions[0])
        # The compiled model wants one shape: room for the richest frame, as its calculator leaves
        # some.
        self.most_edges = 64 * round(1.05 * max(edges) / 64)

    def model(self, seed: int = 0) -> nn.Module:
        from e3nn import o3
        from mace import modules

        torch.manual_seed(seed)
        interaction = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        return modules.ScaleShiftMACE(
            r_max=CUTOFF,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=2,
            interaction_cls=interaction,
            interaction_cls_first=interaction,
            num_interactions=1,
            num_elements=1,
            hidden_irreps=o3.Irreps("16x0e"),
            MLP_irreps=o3.Irreps("16x0e"),
            gate=nn.functional.silu,
            atomic_energies=np.zeros(1),
            atomic_numbers=[8],
            avg_num_neighbors=self.neighbours,
            correlation=2,
            atomic_inter_scale=self.water.force_scale,
            atomic_inter_shift=0.0,
        )

    def runnable(self, seed: int = 0) -> nn.Module:
        """The model, compiled the way MACE's own calculator compiles it if that is asked for."""
        if self.variant == "eager":
            return self.model(seed)
        from mace.tools.compile import prepare

        return torch.compile(prepare(self.model)(seed), mode="default", dynamic=False)

    def graph(self, positions: np.ndarray, box: np.ndarray) -> Any:
        from mace import data

        config = data.Configuration(
            atomic_numbers=np.full(len(positions), 8),
            positions=positions,
            properties={},
            property_weights={},
            cell=box,
            pbc=(True, True, True),
        )
        return data.AtomicData.from_config(config, z_table=self.species, cutoff=CUTOFF)

    def force_call(self, copies: int) -> Callable[[], Any]:
        batch = self.joined([self.graph(*self.water.replicated(copies))])
        model = self.runnable().requires_grad_(False)
        # The calculator asks a compiled model for differentiable forces, too.
        return lambda: model(dict(batch), training=self.variant == "compiled")

    def joined(self, graphs: list[Any]) -> dict[str, Tensor]:
        from mace.tools import torch_geometric

        batch = torch_geometric.Batch.from_data_list(graphs).to_dict()
        for name in ("positions", "node_attrs"):
            batch[name].requires_grad_(self.variant == "compiled" or name == "positions")
        return {k: v for k, v in batch.items() if v is not None}

    def trainer(self, batch: int, seed: int, learning_rate: float = 0.01) -> Any:
        from peer_worker import PlainTrainer

        return PlainTrainer(self, self.runnable(seed), batch, seed, learning_rate)

    def example(self, frame: int) -> Any:
        return self.graph(self.water.positions[frame], self.water.box)

    def batch(self, examples: list[Any]) -> dict[str, Tensor]:
        return self.joined(
            examples if self.variant == "eager" else [*examples, self.padding(examples)]
        )

    def padding(self, examples: list[Any]) -> Any:
        from mace.data.padding_tools import build_fake_padding_graph

        missing = len(examples) * self.most_edges - sum(e.edge_index.shape[1] for e in examples)
        return build_fake_padding_graph(examples[0], num_atoms=1, num_edges=missing, r_max=CUTOFF)

    def forces(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        padded = int(self.variant == "compiled")
        forces = model(dict(batch), training=True)["forces"]
        return forces[: len(forces) - padded]


LIBRARIES = {"cgrec": Cgrec, "nequip": Nequip, "mace": Mace}


def explained(labels: np.ndarray, forces: np.ndarray) -> float:
    """Share of the mean square of the labels that the forces explain."""
    labels = np.asarray(labels, float)
    return float(1 - np.sum((labels - forces) ** 2) / np.sum(labels**2))
