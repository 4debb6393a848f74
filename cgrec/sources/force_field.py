"""Level 0 of a molecule under a force field, as many replicas side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..devices import resolved
from ..files import missing, package_path
from ..frames import Frames
from ..needs import need
from ..potential import ForceField
from ..roles import Engine
from ..run import layout
from ..run.digests import keep, made
from ..run.recipes import described
from ..system import System
from .base import Source, expect_kelvin
from .molecule import molecule, relaxed
from .openmm_system import force_field_of_files, listed


class ForceFieldSource(Source):
    """Dynamics of a molecule in vacuum or implicit solvent, by `cgrec.ForceField`, whose parameters
    are OpenMM's.

    Replicas, temperature exchange, bias, checkpoints are those of the engine. It pays on a CPU for
    up to some hundred atoms; for explicit solvent, on a GPU or for a large protein take
    `OpenMMSource`, or bring a trajectory.

    Args:
        structure: PDB file of the molecule alone, complete with hydrogens, or several of the same
            molecule, such as one folded and one unfolded. Every model of each is a start, and
            replicas share the starts evenly. "package:name" is one that ships with cgrec.
        force_field: OpenMM force-field file, or several, e.g. ["amber14-all.xml",
            "implicit/obc2.xml"].
        temperature: K; the lowest, where the engine exchanges temperatures.
        dynamics: the run. There are no constraints: with minimum_mass=12 a timestep of 0.004 ps
            leaves distributions of positions as they are.
        minimise: take clashes out of each start.

    Raises:
        ValueError: no structure, no force field, a temperature that cannot be in K.
    """

    products = {"start": ("starts", layout.POTENTIAL), "run": ("frames", layout.SOURCE)}

    def __init__(
        self,
        *,
        structure: str | Path | Sequence[str | Path],
        force_field: str | Sequence[str],
        temperature: float,
        dynamics: Engine,
        minimise: bool = True,
    ) -> None:
        given = [structure] if isinstance(structure, str | Path) else structure
        if not given:
            raise ValueError(
                "ForceFieldSource.structure: expected a PDB file, or several, found none"
            )
        expect_kelvin("ForceFieldSource", temperature)
        need("ForceFieldSource", "openmm", "openmm")
        self.structures = [package_path(path) for path in given]
        self.force_field = tuple(listed(force_field))
        self.temperature = float(temperature)
        self.dynamics = dynamics
        self.minimise = minimise

    def recipe(self) -> dict[str, object]:
        """Everything but the paths, whose content counts."""
        known = ("force_field", "temperature", "dynamics", "minimise")
        return described({name: getattr(self, name) for name in known})

    def files(self) -> list[Path]:
        for path in self.structures:
            if not path.exists():
                raise missing("source.structure", path)
        return self.structures

    def packages(self) -> Sequence[str]:
        return ("cgrec", "numpy", "torch", "openmm")

    def system(self) -> System | None:
        self.files()
        return self.molecule[1].system

    def stages(self, seed: int) -> dict[str, dict[str, object]]:
        (own,) = super().stages(seed).values()
        run = {name: own[name] for name in ("dynamics", "seed")}
        return {"start": {k: v for k, v in own.items() if k not in run}, "run": run}

    def finished(self, folder: Path) -> Frames | None:
        found = super().finished(folder)
        done = found is not None and self.dynamics.long_enough(folder / layout.FRAMES)
        return found if done else None

    @cached_property
    def molecule(self) -> tuple[ForceField, Frames]:
        """The energy, and the starts of all files.

        Raises:
            ValueError: the files hold different molecules.
        """
        # once more in `molecule`, which does not know the key
        force_field_of_files("ForceFieldSource", self.force_field, "source.force_field")
        found = {
            path: molecule(path, self.force_field, self.temperature, minimise=False)
            for path in dict.fromkeys(self.structures)  # a file may stand several times
        }
        potential, first = found[self.structures[0]]
        for path, (_, frames) in found.items():
            if frames.system.fingerprint() != first.system.fingerprint():
                raise ValueError(
                    f"source.structure: expected in {path} the molecule of {self.structures[0]}, with "
                    f"atoms in the same order, found another one of {frames.n_sites} atoms "
                    f"(the first has {first.n_sites}); take files of one molecule"
                )
        positions = np.concatenate([found[path][1].positions for path in self.structures])
        return potential, replace(first, positions=positions)

    def sample(self, folder: Path, seed: int) -> Frames:
        home = folder.parent
        potential, starts = self.molecule
        if not made(home / "starts"):
            if self.minimise:
                starts = relaxed(potential, starts)
            starts.save(home / "starts")
        if not made(home / layout.POTENTIAL):
            keep(home / layout.POTENTIAL, potential.save)
        place = home / layout.FRAMES
        if not (made(place) and self.dynamics.long_enough(place)):
            self.dynamics(
                potential.to(resolved()),
                Frames.load(home / "starts"),
                place,
                seed=seed,
                name="level 0: force field",
            )
        return self.dynamics.judged(place)[0]
