"""`Backmapper`: coarse Frames -> fine Frames whose sites are the coarse ones, whatever state it is
in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..files import write_whole
from ..frames import Frames
from ..mapping import Mapping
from ..mapping.linear import need_same_system
from ..plugins import NoPlugin, Registry
from ..remarks import remark
from ..resampling import resampled
from .coordinates import relabelled, terminal_groups
from .minimise import minimise
from .reference import ReferenceField, ReferenceGeometry
from .scaled import Scaled
from .split import Split, Unit, units_of, whole

#: Pairs of sites and atoms a model of one kind of unit sees at most.
MOST_SAMPLES = 400_000
#: Units drawn at a time.
_BATCH = 4096
#: Force calls between two looks at what is broken, and looks: FIRE takes some 200 calls from a bond
#: of twice its length.
_MENDING, _LOOKS = 100, 5


class Backmapper(ABC):
    """Interface of what restores atoms, one kind of molecule at a time: `backmapper(coarse_frames,
    n_draws)` -> Frames.

    A subclass restores the free coordinates y (see `Scaled`) of units alike; that the sites stay
    where they are is seen to here.

    Args:
        mapping: from the fine System to the coarse one.
        models: {key of the unit: what was learned of it}, for every kind of unit in `mapping`.

    Raises:
        ValueError: a unit nothing was learned of.
    """

    registry: ClassVar[Registry[Backmapper]] = Registry("backmapper")
    has_density: ClassVar[bool] = False
    relabelled_copies: ClassVar[int] = 1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Backmapper.registry.add(cls)

    def __init__(self, mapping: Mapping, models: dict[str, dict[str, Any]]) -> None:
        self.mapping = mapping
        self.models = models
        self.split = Split(mapping)
        self._need_known()

    @cached_property
    def _scaled(self) -> dict[str, Scaled]:
        return {u.key: Scaled.from_state(self.models[u.key]["scaled"]) for u in self.split.units}

    def _need_known(self) -> None:
        """Raise ValueError where nothing was learned of a part of the mapping."""
        missing = [u for u in self.split.units if u.key not in self.models]
        if missing:
            unit = missing[0]
            raise ValueError(
                f"{type(self).__name__}: expected molecules like those it was fitted to, found "
                f"{len(missing)} kinds of others, the first "
                f"with atoms {', '.join(unit.fine.labels[:6])}... in {unit.coarse.n_sites} "
                "sites: fit it to frames that hold them"
            )

    @classmethod
    @abstractmethod
    def _learn(
        cls, unit: Unit, scaled: Scaled, sites: Tensor, y: Tensor, options: Any
    ) -> dict[str, Any]:
        """What to remember of units alike, given their sites (n, n_sites, 3) and free coordinates
        (n, n_y).
        """

    @abstractmethod
    def _draw(
        self, unit: Unit, scaled: Scaled, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, Tensor | None]:
        """y (n, n_y) for sites (n, n_sites, 3), and, if asked for, its log density (n,) where there
        is one.
        """

    def _log_density(self, unit: Unit, scaled: Scaled, sites: Tensor, y: Tensor) -> Tensor:
        """(n,) log density of y (n, n_y) given sites (n, n_sites, 3)."""
        raise TypeError(
            f"a {type(self).__name__} does not know how likely its answers are: use "
            "FlowBackmapper where weights are wanted"
        )

    @classmethod
    def fit(cls, fine: Frames, mapping: Mapping, **options: Any) -> Any:
        """Learn from `fine` frames how `mapping` is undone.

        Args:
            fine: frames of `mapping.fine`, molecules whole; their weights are honoured.
            mapping: to the coarse sites.
            options: of the class.

        Raises:
            ValueError: frames of another System; molecules without a site.
        """
        need_same_system(
            fine.system,
            mapping.fine,
            "cannot fit: the System of these Frames",
            "the Mapping's fine System",
        )
        models = {}
        for unit in units_of(mapping):
            atoms = _samples(fine, unit, cls.relabelled_copies)
            sites = torch.tensor(unit.weights) @ atoms
            scaled = Scaled.fit(unit, sites, atoms)
            y, _ = scaled.internal(sites, atoms)
            learned = cls._learn(unit, scaled, sites, y, options) if y.shape[1] else {}
            reference = ReferenceGeometry.fit(unit.fine, atoms)
            models[unit.key] = {"scaled": scaled.state(), "reference": reference.state(), **learned}
        return cls(mapping, models)

    def __call__(
        self, coarse: Frames, n_draws: int = 1, generator: torch.Generator | None = None
    ) -> Frames:
        """Fine frames, `n_draws` of every coarse one, those of the first frame first.

        Args:
            coarse: frames of `mapping.coarse`.
            n_draws: answers to each.
            generator: of all that is drawn; by default one seeded with 0.

        Returns:
            Frames with positions in float64 on the same sites (molecules that were cut by the box
            made whole), and with the box, temperature, weights and replicas of `coarse`.

        Covalent geometry is compared with that seen in the fit. Frames where it is `broken` are
        mended by `minimise` in what the sites leave free; a remark counts those that could not be.

        Raises:
            ValueError: frames of another System, no draws, or most frames are broken.
        """
        return self._mended(self._frames(coarse, n_draws, generator, density=False)[0])

    def draw(
        self, coarse: Frames, n_draws: int = 1, generator: torch.Generator | None = None
    ) -> tuple[Frames, np.ndarray | None]:
        """As calling it, with the log density (nats) of each answer where there is one, (n_frames *
        n_draws,).

        Answers of known density are left as they were drawn: their weights say what a broken one is
        worth.
        """
        fine, density = self._frames(coarse, n_draws, generator, density=True)
        return (self._mended(fine) if density is None else fine), density

    def broken(self, fine: Frames) -> np.ndarray:
        """(n_frames,) bool, whether a bond, angle, stiff dihedral or hand is far outside all that
        was seen in the fit.
        """
        x = torch.tensor(np.asarray(fine.positions, float))
        found = torch.zeros(len(x), dtype=torch.bool)
        for reference, atoms in self._references:
            for some in range(0, len(x), _BATCH):
                found[some : some + _BATCH] |= reference.broken(x[some : some + _BATCH, atoms]).any(
                    -1
                )
        return found.numpy()

    @cached_property
    def _references(self) -> list[tuple[ReferenceGeometry, np.ndarray]]:
        """The covalent geometry of each kind of unit, and where its copies are; none for files of
        older versions.
        """
        known = [(self.models[u.key].get("reference"), u.atoms) for u in self.split.units]
        return [
            (ReferenceGeometry.from_state(state), atoms)
            for state, atoms in known
            if state is not None
        ]

    def _mended(self, fine: Frames) -> Frames:
        bad = np.flatnonzero(self.broken(fine))
        if not len(bad):
            return fine
        positions, left = np.array(fine.positions), bad
        for _ in range(_LOOKS):
            better = minimise(fine[left], self.split, ReferenceField(self._references), _MENDING)
            positions[left] = better.positions
            fine = replace(fine, positions=positions)
            left = left[self.broken(better)]
            if not len(left):
                return fine
        self._report_broken(fine, left)
        return fine

    def _report_broken(self, fine: Frames, left: np.ndarray) -> None:
        """A remark on the frames `left` that are broken; ValueError where they are most."""
        words = (
            f"{len(left)} of {len(fine)} restored frames are broken, the first by its "
            f"{self._worst(fine, left[0])}"
        )
        if len(left) > 0.5 * len(fine):
            raise ValueError(
                f"{type(self).__name__}: expected sites that whole molecules fit, found that "
                f"{words}: use sites like those of the "
                "frames it was fitted to, or fit it to frames like these"
            )
        remark(
            f"{type(self).__name__}: {words}; leave out those that `backmapper.broken(frames)` "
            "names"
        )

    def _worst(self, fine: Frames, frame: int) -> str:
        """The most strained term of a frame in words."""
        x, labels = torch.tensor(np.asarray(fine.positions[frame], float)), self.mapping.fine.labels
        found = [
            g.worst(x[copy], [labels[i] for i in copy])
            for g, atoms in self._references
            for copy in atoms
        ]
        return max(found)[1]

    def _frames(
        self, coarse: Frames, n_draws: int, generator: torch.Generator | None, density: bool
    ) -> tuple[Frames, np.ndarray | None]:
        if n_draws < 1:
            raise ValueError(f"{type(self).__name__}: expected n_draws >= 1, found {n_draws}")
        repeated = coarse if n_draws == 1 else coarse[np.repeat(np.arange(len(coarse)), n_draws)]
        atoms, densities = self.propose(
            repeated, generator or torch.Generator().manual_seed(0), density
        )
        frames = replace(
            repeated, system=self.mapping.fine, positions=atoms.numpy(), forces=None, energies=None
        )
        return frames, None if densities is None else densities.sum(1).numpy()

    def propose(
        self, coarse: Frames, generator: torch.Generator, density: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Atoms (n_frames, n_atoms, 3) nm, one draw of every frame, and (n_frames, n_molecules) log
        densities where there are any.
        """
        need_same_system(
            coarse.system,
            self.mapping.coarse,
            "cannot backmap: the System of these Frames",
            "the Mapping's coarse System",
        )
        sites = torch.tensor(whole(self.split.units, coarse.positions, coarse.boxes()))
        atoms = sites.new_empty(len(sites), self.mapping.fine.n_sites, 3)
        densities: list[Tensor] = []
        for unit in self.split.units:
            flat = sites[:, unit.sites].flatten(0, 1)
            found = [self._some(unit, X, generator, density) for X in flat.split(_BATCH)]
            atoms[:, unit.atoms] = torch.cat([x for x, _ in found]).unflatten(0, (len(sites), -1))
            found_densities = [d for _, d in found if d is not None]
            if found_densities:
                densities.append(torch.cat(found_densities).reshape(len(sites), -1))
        return self.split.exact(atoms, sites), torch.cat(densities, 1) if densities else None

    def _some(
        self, unit: Unit, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Atoms (n, n_atoms, 3) nm of sites (n, n_sites, 3) nm, and, if asked for, their log
        density (n,) where there is one.
        """
        scaled = self._scaled[unit.key]
        if len(scaled.circles):
            y, log_density = self._draw(unit, scaled, sites, generator, density)
        else:  # a site is an atom, and nothing is left to draw but directions
            y = sites.new_zeros(len(sites), 0)
            log_density = sites.new_zeros(len(sites)) if density and self.has_density else None
        atoms, volume = scaled.cartesian(sites, y, generator)
        return atoms, None if log_density is None else log_density - volume

    def log_prob(self, fine: Frames) -> np.ndarray:
        """(n_frames,) nats, log density of the atoms of each frame given its sites, per nm^3 and
        free atom.

        Raises:
            TypeError: this backmapper has no density.
            ValueError: frames of another System.
        """
        return self.densities(fine).sum(1).numpy()

    def densities(self, fine: Frames) -> Tensor:
        """(n_frames, n_molecules) of `log_prob`, molecules in the order of `split.units`."""
        need_same_system(
            fine.system,
            self.mapping.fine,
            "no density: the System of these Frames",
            "the Mapping's fine System",
        )
        x, found = torch.tensor(np.asarray(fine.positions, float)), []
        for unit in self.split.units:
            scaled = self._scaled[unit.key]
            parts = []
            for atoms in x[:, unit.atoms].flatten(0, 1).split(_BATCH):
                sites = torch.tensor(unit.weights) @ atoms
                y, volume = scaled.internal(sites, atoms)
                known = (
                    self._log_density(unit, scaled, sites, y)
                    if y.shape[1]
                    else sites.new_zeros(len(sites))
                )
                parts.append(known - volume)
            found.append(torch.cat(parts).reshape(len(x), -1))
        return torch.cat(found, 1)

    def of(self, mapping: Mapping) -> Backmapper:
        """The same for another system of the same molecules."""
        return type(self)(mapping, self.models)

    def save(self, path: str | Path) -> None:
        """Write what was learned to `path` (.pt), under a temporary name first; the mapping is not
        in it.
        """
        state = {"class": Registry.name(type(self)), "models": self.models}
        write_whole(path, lambda partial: torch.save(state, partial))

    @staticmethod
    def load(path: str | Path, mapping: Mapping) -> Backmapper:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is truncated or not ours, or of other molecules than those of
                `mapping`.
            NoPlugin: its class is of a package that is not installed here as a plugin.
        """
        try:
            state = torch.load(path, weights_only=True)
            kind, models = Backmapper.registry.find(state["class"]), state["models"]
        except FileNotFoundError:
            raise
        except NoPlugin as error:
            raise NoPlugin(f"{path}: {error}") from error
        except (
            RuntimeError,
            EOFError,
            OSError,
            ValueError,
            KeyError,
            TypeError,
            UnpicklingError,
        ) as error:
            raise ValueError(
                f"{path} is not a readable backmapper ({error}); bring it back from a copy, or "
                "remove it: the next cgrec descend or cgrec analyse-backmapping fits another"
            ) from error
        return kind(mapping, models)


def _samples(fine: Frames, unit: Unit, copies: int) -> Tensor:
    """(n, n_atoms, 3) nm of units alike, as an unweighted sample, in the order of the frames;
    `copies` of each with alike atoms permuted.
    """
    most = max(1, MOST_SAMPLES // len(unit.atoms))
    if fine.weights is not None:
        fine = fine[resampled(fine, min(len(fine), most), np.random.default_rng(0))]
    x = torch.tensor(np.asarray(fine.positions[:: -(-len(fine) // most)], float))[
        :, unit.atoms
    ].flatten(0, 1)
    copies = max(1, min(copies, MOST_SAMPLES // len(x))) if terminal_groups(unit) else 1
    if copies == 1:
        return x
    return relabelled(unit, x.repeat_interleave(copies, 0), torch.Generator().manual_seed(0))
