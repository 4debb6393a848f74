"""`LibraryBackmapper`: free coordinates of a reference frame whose sites look alike. No training,
many answers.
"""

from __future__ import annotations

from functools import cached_property
from typing import Self

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ..frames import Frames
from ..mapping import Mapping
from ..options import keywords_of
from .base import Model, Options
from .coordinate_backmapper import CoordinateBackmapper
from .coordinates import Surroundings, spread
from .scaled import Scaled
from .split import Unit


class LibraryBackmapper(CoordinateBackmapper):
    """One of the `nearest` reference units by bonds, angles and dihedrals of their sites (in
    standard deviations), each as likely.

    Options of `fit`:
        nearest: how many to draw from.
        most: reference units to keep.
    """

    @staticmethod
    def _keep(unit: Unit, sites: Tensor, y: Tensor, nearest: int = 10, most: int = 20_000) -> Model:
        some = slice(None, None, max(1, -(-len(y) // most)))
        surroundings = Surroundings.of(unit, sites[some])
        seen = surroundings(sites[some])
        return {
            "surroundings": surroundings.coordinates.state(),
            "seen": seen,
            "scale": spread(seen),
            "y": y[some].clone(),
            "nearest": min(nearest, len(seen)),
        }

    @classmethod
    @keywords_of(_keep)
    def fit(cls, fine: Frames, mapping: Mapping, **options: object) -> Self:
        """As `CoordinateBackmapper.fit`; the options are those of the class."""
        return super().fit(fine, mapping, **options)

    @classmethod
    def _learn(
        cls, unit: Unit, scaled: Scaled, sites: Tensor, y: Tensor, options: Options
    ) -> Model:
        return cls._keep(unit, sites, y, **options)

    def _draw(
        self, unit: Unit, scaled: Scaled, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, None]:
        known = self.models[unit.key]
        n, k = len(sites), known["nearest"]
        rank = torch.randint(k, (n,), generator=generator).numpy()
        if known["seen"].shape[1] == 0:  # a lone site: all references are alike
            return known["y"][torch.randint(len(known["y"]), (n,), generator=generator)], None
        surroundings, tree = self._seen[unit.key]
        key = surroundings(sites) / known["scale"]
        near = tree.query(key.numpy(), k=[*range(1, k + 1)])[1]
        return known["y"][near[np.arange(n), rank]], None

    @cached_property
    def _seen(self) -> dict[str, tuple[Surroundings, cKDTree]]:
        """What the sites of a unit are described by, and the reference units by that."""
        known = {
            u.key: self.models[u.key]
            for u in self.split.units
            if self.models[u.key].get("seen", torch.empty(0, 0)).shape[1]
        }
        return {
            key: (
                Surroundings.from_state(m["surroundings"]),
                cKDTree((m["seen"] / m["scale"]).numpy()),
            )
            for key, m in known.items()
        }
