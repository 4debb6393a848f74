"""Charged sites: who carries what, between what, and how far the sum over pairs reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ....units import COULOMB
from ...base import Potential
from ...graph import SiteGraph, box_widths

#: Sites from which a potential with a cutoff of its own sums waves on a mesh.
MESH_SITES = 1000


class ChargedSites(Potential):
    """Interface of a Coulomb sum over sites whose types say their charges.

    Args:
        types: site types.
        charges: e, {type: charge} or a list in the order of `types`.
        permittivity: epsilon_r of what is between the sites.
        cutoff: nm of the sum over pairs. 0 is best for up to a thousand sites: half the narrowest
            width of each box, and the pairs are found here, so that the graph need not reach so
            far. Otherwise they come from the graph, and beyond `MESH_SITES` sites the waves are
            summed on a mesh (P3M, to about `accuracy`).
        accuracy: of forces, relative to those of typical neighbours.

    Raises:
        ValueError: a charge is missing, too much or no number; `permittivity` or `accuracy` out of
            range. On evaluation: a periodic box that is not neutral.
    """

    charges: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        charges: Mapping[str, float] | Sequence[float],
        permittivity: float,
        cutoff: float = 0.0,
        accuracy: float = 1e-6,
    ) -> None:
        listed = _by_type(types, charges)
        super().__init__(
            types=types, cutoff=cutoff, charges=listed, permittivity=permittivity, accuracy=accuracy
        )
        if not permittivity > 0 or not 1e-14 <= accuracy < 0.1:
            raise ValueError(
                "ScreenedCoulomb: expected permittivity > 0 and accuracy from 1e-14 to 0.1, "
                f"found {permittivity} and {accuracy}"
            )
        self.sharpness = math.sqrt(-math.log(accuracy))
        self.strength = COULOMB / permittivity
        self.register_buffer("charges", torch.tensor(listed, dtype=torch.float64), persistent=False)

    def on_mesh(self, graph: SiteGraph) -> bool:
        """Whether waves are summed on a mesh."""
        return graph.box is not None and self.cutoff > 0 and graph.sites_per_frame > MESH_SITES

    def site_charges(self, graph: SiteGraph) -> Tensor:
        """(n_sites,) e. Raises ValueError where a periodic box is not neutral."""
        charges = self.charges.double()[graph.species[: graph.sites_per_frame]]
        total = float(charges.sum())
        if graph.box is not None and abs(total) > 1e-6:
            table = dict(zip(self.types, self.charges.tolist()))
            raise ValueError(
                f"ScreenedCoulomb: expected a neutral periodic box, found {total:+.6g} e in "
                f"all with charges {table}: "
                "correct the charges, add the missing counter-ions, or use an open system (no box)"
            )
        return charges

    def reaches(self, box: Tensor) -> Tensor:
        """(n_frames,) nm of the sum over pairs."""
        widths = box_widths(box).amin(-1)
        return torch.full_like(widths, self.cutoff) if self.cutoff > 0 else widths / 2


def _by_type(types: Sequence[str], charges: Mapping[str, float] | Sequence[float]) -> list[float]:
    """Charges in the order of `types`, as plain numbers."""
    if isinstance(charges, Mapping):
        if set(charges) != set(types):
            raise ValueError(
                f"ScreenedCoulomb: expected a charge for each of the types {sorted(types)}, "
                f"found {dict(charges)}"
            )
        charges = [charges[t] for t in types]
    if len(charges) != len(types) or not np.isfinite(charges).all():
        raise ValueError(
            f"ScreenedCoulomb: expected {len(types)} charges, one for each of {list(types)}, "
            f"found {list(charges)}"
        )
    return [float(q) for q in charges]
