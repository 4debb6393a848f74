"""`LevelFolder`: what lies in the folder of a level, read. Every product is compared with its digest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..backmapping import Backmapper
from ..dynamics.guard import FeatureGuard, find_network
from ..dynamics.guard_file import load_guard
from ..files import Json, read_json
from ..frames import Frames
from ..mapping import Mapping
from ..potential import Coulomb, MetadynamicsBias, Potential, at_temperature
from ..potential.base import portion
from ..roles import Variable
from ..run import layout
from ..run.digests import checked, checked_json
from ..run.stages import MEASURED
from ..system import System
from ..variables import CollectiveVariable, to_plain, variables_from_config
from .unfinished import not_made

if TYPE_CHECKING:
    from ..export.ase import PotentialCalculator


@dataclass(frozen=True)
class LevelFolder:
    """The folder of a finished or half-finished level, read.

    Attributes:
        folder: where everything of it lies.
        name: as in the configuration.
    """

    folder: Path
    name: str = field(default="")

    @property
    def frames(self) -> Frames:
        """The ensemble this level hands on. Before it is made, Unfinished says how far its climb is."""
        return Frames.load(self._made(layout.FRAMES, "frames", "climb to it first"))

    @property
    def targets(self) -> Frames:
        """The parent's frames mapped to this level: what it was trained on."""
        return Frames.load(self._made(layout.TARGETS, "targets", "climb to it first"))

    @property
    def system(self) -> System:
        """Its sites."""
        return self.frames.system

    @property
    def mapping(self) -> Mapping:
        """From the level below."""
        return Mapping.load(self._made(layout.MAPPING, "mapping", "choose a level above level 0"))

    @property
    def potential(self) -> Potential:
        """Its PMF: trained, and refined if the recipe asked for it."""
        return self.potential_at()

    def potential_at(self, temperature: float | None = None) -> Potential:
        """Its PMF at another temperature in K (None: its own), where it was made from frames of
        several (`cgrec.potential.EnergyEntropy`). Any other PMF is given as it is.

        Raises:
            ValueError: beyond the temperatures of these frames.
        """
        name = (
            layout.REFINED if checked(self.folder / layout.REFINED).exists() else layout.POTENTIAL
        )
        potential = Potential.load(
            self._made(name, "potential", "climb to it first, or choose a level that was fitted")
        )
        kelvin = potential.temperature if temperature is None else temperature
        return potential if kelvin is None else at_temperature(potential, kelvin)

    @property
    def guard(self) -> FeatureGuard | None:
        """What says whether a configuration lies outside of what its potential was trained on.

        None where no network describes its sites, or where the frames it was trained on are not
        there.
        """
        return guard_of(self, self.potential)

    def extrapolation(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) how far out frames lie, such as those of a run in LAMMPS: above 1 they lie
        outside of what its potential was trained on.

        Raises:
            ValueError: nothing is known of that (`guard` is None); sites it was not made for.
        """
        guard = self.guard
        if guard is None:
            raise ValueError(
                f"{self.folder}: expected a network that describes its sites and what it was "
                "trained on, found no guard; look at g(r) and bond lengths of the frames yourself"
            )
        potential, step = self.potential, portion(frames.n_sites, 256)
        parts = (frames[k : k + step] for k in range(0, len(frames), step))
        return np.concatenate([guard.score(potential.graph(part)).cpu().numpy() for part in parts])

    def calculator(self) -> PotentialCalculator:
        """Its potential for ASE, with its guard: `atoms.calc = level.calculator()`."""
        from ..export.ase import PotentialCalculator

        return PotentialCalculator(self.potential, self.system, guard=self.guard)

    def _made(self, name: str, what: str, way: str) -> Path:
        """Path of a product; `not_made` where there is none."""
        path = checked(self.folder / name)
        if not path.exists():
            raise not_made(path, what, way)
        return path

    @property
    def distilled(self) -> Potential:
        """What `distil` made of its PMF."""
        return Potential.load(
            self._made(layout.DISTILLED, "distilled potential", "make it with cgrec distil")
        )

    @property
    def backmapper(self) -> Backmapper:
        """What brings frames of the level below back from its own."""
        way = "make it with fit_backmapper, cgrec descend or cgrec analyse-backmapping"
        return Backmapper.load(self._made(layout.BACKMAPPER, "backmapper", way), self.mapping)

    @property
    def report(self) -> Json:
        """Numbers of its making, empty before it is done."""
        return checked_json(self.folder / layout.REPORT)

    @property
    def simulation(self) -> Json:
        """What its run came to (`SimulationReport`), and at level 0 what is known of its NNP; empty
        before it is done.
        """
        places = (self.folder / layout.FRAMES, self.folder / layout.FIRST, self.folder)
        found = [p / layout.SIMULATION for p in places if (p / layout.SIMULATION).exists()]
        learned = [checked_json(self.folder / n) for n in (layout.LEARNING, layout.FORCE_ERROR)]
        run = read_json(found[0]) if found else {}
        return {**learned[0], **learned[1], **run, **checked_json(self.folder / layout.CORRECTION)}

    @property
    def interval(self) -> float | None:
        """ps between its frames of one replica; None where that is not known, as of a file."""
        return self.simulation.get("interval") or None

    @property
    def measured(self) -> dict[str, Json]:
        """{file: what its priors measured in the level below} (`cgrec.roles.MeasuresParent`)."""
        found = [path for pattern in MEASURED for path in sorted(self.folder.glob(pattern))]
        return {path.name: checked_json(path) for path in found}

    @property
    def permittivity(self) -> float | None:
        """Relative permittivity of the solvent in its Coulomb prior; None without one."""
        return self.measured.get(Coulomb.record, {}).get("permittivity")

    def summary(self, variables: tuple[Variable, ...], ledger: list[Json]) -> Json:
        """What report.json holds."""
        training, run = checked_json(self.folder / layout.FIT), self.simulation
        return {
            "name": self.name,
            "n_sites": self.system.n_sites,
            "n_frames": len(self.frames),
            "temperature": float(self.frames.temperature),
            "seconds": {
                "training": training.get("seconds", 0.0),
                "simulation": run.get("seconds", 0.0),
            },
            "device": run.get("device") or training.get("device"),
            "ns_per_day": run.get("ns_per_day"),
            "simulated_ns": run.get("simulated"),
            "explained_fraction": training.get("explained_fraction"),
            "replicas": {
                "started": run.get("replicas"),
                "lost": len(run.get("lost", [])),
                "where": run.get("lost", []),
            },
            "kinetic_temperature": run.get("kinetic_temperature"),
            "weight_efficiency": run.get("weight_efficiency"),
            **of_ladder_and_correction(run),
            **_of_network(run),
            "training": training,
            "variables": {v.name: to_plain(v) for v in variables},
            "ledger": ledger,
        }

    def bias_variables(self) -> tuple[CollectiveVariable, ...]:
        """What the weights of its frames are a function of: variables of its bias and of its
        refinement.
        """
        refined = self.simulation.get("refined_along")
        variables = set(variables_from_config(refined))
        for path in (
            self.folder / place / layout.BIAS for place in (layout.FRAMES, layout.FIRST, ".")
        ):
            if path.exists():
                bias = Potential.load(path)
                variables |= set(bias.variables) if isinstance(bias, MetadynamicsBias) else set()
        return tuple(sorted(variables, key=lambda v: v.name))


def guard_of(level: LevelFolder, potential: Potential) -> FeatureGuard | None:
    """`LevelFolder.guard` of its potential, where that lies."""
    if find_network(potential) is None:
        return None
    kept = checked(level.folder / layout.GUARD)
    if kept.exists():
        return load_guard(kept, potential)
    places = (level.folder / name for name in (layout.MEAN_FORCES, layout.TARGETS))
    found = next((place for place in places if place.exists()), None)
    return None if found is None else FeatureGuard.fit(potential, Frames.load(checked(found)))


def of_ladder_and_correction(run: Json) -> Json:
    """{"exchange", "correction"}: how a ladder of temperatures exchanged, and what the rounds of a
    correction, and the volume's own term, came to, as far as there were any.
    """
    said = ("held_out_divergence", "round", "floor", "left_out", "pressure")
    correction = {key: run[key] for key in said if key in run}
    ladder = {"exchange": run["exchange"]} if run.get("exchange") else {}
    return {**ladder, **({"correction": correction} if correction else {})}


def _of_network(run: Json) -> Json:
    """{"force_error": of an all-atom network, kJ/mol/nm, on fresh labels of its own run}, where these
    were made.
    """
    if not isinstance(run.get("force_rmse_frames"), int):
        return {}
    names = {"value": "force_rmse", "error": "force_rmse_error", "frames": "force_rmse_frames"}
    return {"force_error": {name: run.get(key) for name, key in names.items()}}
