"""`Backmapper`: coarse Frames -> fine Frames whose sites are the coarse ones, whatever state it is
in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping as Table
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..files import write_whole
from ..frames import Frames
from ..mapping import Mapping
from ..mapping.linear import need_same_system
from ..plugins import NoPlugin, Registry
from .mending import Mender
from .reference import ReferenceGeometry
from .split import Split, Unit, whole

#: Units drawn at a time.
BATCH = 4096
#: What was learned of units of one kind, as a .pt keeps it: tensors, numbers, names.
Model = dict[str, Any]
#: Options of `fit`, as the class names them.
Options = Table[str, Any]


class Backmapper(ABC):
    """Interface of what restores atoms, one kind of molecule at a time: `backmapper(coarse_frames,
    n_draws)` -> Frames.

    That the sites stay where they are, and that broken draws are mended, is seen to here. How atoms
    are drawn is a subclass's: `CoordinateBackmapper` by free coordinates, `ResidueBackmapper` from
    pieces of residues.

    Args:
        mapping: from the fine System to the coarse one.
        models: {key: what was learned}, with all that `mapping` needs.

    Raises:
        ValueError: a unit nothing was learned of.
    """

    registry: ClassVar[Registry[Backmapper]] = Registry("backmapper")
    has_density: ClassVar[bool] = False

    def __init_subclass__(cls, interface: bool = False, **kwargs: object) -> None:
        """Final classes can be named by a file; those with `interface=True` are inherited from."""
        super().__init_subclass__(**kwargs)
        if not interface:
            Backmapper.registry.add(cls)

    def __init__(self, mapping: Mapping, models: dict[str, Model]) -> None:
        self.mapping = mapping
        self.models = models
        self.split = Split(mapping)
        self._need_known()

    @classmethod
    @abstractmethod
    def fit(cls, fine: Frames, mapping: Mapping, **options: Any) -> Self:
        """Learn from `fine` frames how `mapping` is undone; options are those of the class.

        Raises:
            ValueError: frames that nothing can be learned from.
        """

    @abstractmethod
    def _need_known(self) -> None:
        """Raise ValueError where nothing was learned of a part of the mapping."""

    @abstractmethod
    def _references(self) -> list[tuple[ReferenceGeometry, NDArray[np.int64]]]:
        """Covalent geometry of each kind of unit, and (n_copies, n_atoms) where its copies are."""

    @abstractmethod
    def _draw_atoms(
        self, unit: Unit, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Atoms (n, n_atoms, 3) nm of sites (n, n_sites, 3) nm, and, if asked for, their log
        density (n,) where there is one.
        """

    @cached_property
    def mender(self) -> Mender:
        """What finds and mends broken frames."""
        return Mender(self.split, self._references(), type(self).__name__)

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
        return self.mender(self._frames(coarse, n_draws, generator, density=False)[0])

    def draw(
        self, coarse: Frames, n_draws: int = 1, generator: torch.Generator | None = None
    ) -> tuple[Frames, NDArray[np.float64] | None]:
        """As calling it, with the log density (nats) of each answer where there is one, (n_frames *
        n_draws,).

        Answers of known density are left as they were drawn: their weights say what a broken one is
        worth.
        """
        fine, density = self._frames(coarse, n_draws, generator, density=True)
        return (self.mender(fine) if density is None else fine), density

    def broken(self, fine: Frames) -> NDArray[np.bool_]:
        """(n_frames,) whether a bond, angle, stiff dihedral or hand is far outside all that was
        seen in the fit.
        """
        return self.mender.broken(fine)

    def _frames(
        self, coarse: Frames, n_draws: int, generator: torch.Generator | None, density: bool
    ) -> tuple[Frames, NDArray[np.float64] | None]:
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
            found = [self._draw_atoms(unit, X, generator, density) for X in flat.split(BATCH)]
            atoms[:, unit.atoms] = torch.cat([x for x, _ in found]).unflatten(0, (len(sites), -1))
            found_densities = [d for _, d in found if d is not None]
            if found_densities:
                densities.append(torch.cat(found_densities).reshape(len(sites), -1))
        return self.split.exact(atoms, sites), torch.cat(densities, 1) if densities else None

    def log_prob(self, fine: Frames) -> NDArray[np.float64]:
        """(n_frames,) nats, log density of the atoms of each frame given its sites, per nm^3 and
        free atom.

        Raises:
            TypeError: this backmapper has no density.
            ValueError: frames of another System.
        """
        return self.densities(fine).sum(1).numpy()

    def densities(self, fine: Frames) -> Tensor:
        """(n_frames, n_molecules) of `log_prob`, molecules in the order of `split.units`."""
        raise TypeError(
            f"a {type(self).__name__} does not know how likely its answers are: use "
            "FlowBackmapper where weights are wanted"
        )

    def of(self, mapping: Mapping) -> Self:
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
        kind, models = _read(path)
        return kind(mapping, models)


def _read(path: str | Path) -> tuple[type[Backmapper], dict[str, Model]]:
    """Class and models of a file, see `Backmapper.load`."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return Backmapper.registry.find(state["class"]), state["models"]
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
