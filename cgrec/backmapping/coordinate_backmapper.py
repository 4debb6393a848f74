"""`CoordinateBackmapper`: interface of what learns the free coordinates of units, see `Scaled`."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import Frames
from ..mapping import Mapping
from ..mapping.linear import need_same_system
from ..statistics.resampling import resampled
from .base import BATCH, Backmapper, Model, Options
from .coordinates import relabelled, terminal_groups
from .reference import ReferenceGeometry
from .scaled import Scaled
from .split import Unit, units_of

#: Pairs of sites and atoms a model of one kind of unit sees at most.
MOST_SAMPLES = 400_000


class CoordinateBackmapper(Backmapper, interface=True):
    """Interface of what restores the free coordinates y (see `Scaled`) of units alike.

    Args:
        mapping: from the fine System to the coarse one.
        models: {key of the unit: what was learned of it}, for every kind of unit in `mapping`.
    """

    relabelled_copies: ClassVar[int] = 1

    @classmethod
    @abstractmethod
    def _learn(
        cls, unit: Unit, scaled: Scaled, sites: Tensor, y: Tensor, options: Options
    ) -> Model:
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
    def fit(cls, fine: Frames, mapping: Mapping, **options: object) -> Self:
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

    def _need_known(self) -> None:
        missing = [u for u in self.split.units if u.key not in self.models]
        if missing:
            unit = missing[0]
            raise ValueError(
                f"{type(self).__name__}: expected molecules like those it was fitted to, found "
                f"{len(missing)} kinds of others, the first "
                f"with atoms {', '.join(unit.fine.labels[:6])}... in {unit.coarse.n_sites} "
                "sites: fit it to frames that hold them"
            )

    @cached_property
    def _scaled(self) -> dict[str, Scaled]:
        return {u.key: Scaled.from_state(self.models[u.key]["scaled"]) for u in self.split.units}

    def _references(self) -> list[tuple[ReferenceGeometry, NDArray[np.int64]]]:
        # files of older versions have none
        known = [(self.models[u.key].get("reference"), u.atoms) for u in self.split.units]
        return [
            (ReferenceGeometry.from_state(state), atoms)
            for state, atoms in known
            if state is not None
        ]

    def _draw_atoms(
        self, unit: Unit, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, Tensor | None]:
        scaled = self._scaled[unit.key]
        if len(scaled.circles):
            y, log_density = self._draw(unit, scaled, sites, generator, density)
        else:  # a site is an atom, and nothing is left to draw but directions
            y = sites.new_zeros(len(sites), 0)
            log_density = sites.new_zeros(len(sites)) if density and self.has_density else None
        atoms, volume = scaled.cartesian(sites, y, generator)
        return atoms, None if log_density is None else log_density - volume

    def densities(self, fine: Frames) -> Tensor:
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
            for atoms in x[:, unit.atoms].flatten(0, 1).split(BATCH):
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
