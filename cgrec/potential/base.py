"""`Potential`: the energy of a graph of sites; forces by one autograd, here and nowhere else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar, NotRequired, Self, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..devices import sent
from ..files import WAY_BACK, write_whole
from ..frames import Frames
from ..plugins import NoPlugin, Registry
from ..system import System
from . import backends
from .described import Described
from .graph import SiteGraph, check_box, site_graph
from .restore import restored
from .state import common_state
from .virial import of_frames

#: Sites evaluated at a time: a network that runs uncompiled then holds some 1.4 GB, the compiled
#: one 0.02 GB.
PORTION = 20_000
#: Pairs to evaluate from which a CPU kernel saves more than the 5 s its compiler takes.
PAIRS_THAT_PAY = 1e7
#: Pairs whose evaluation takes as long as torch needs to call an uncompiled network once: 128 times
#: three sites took 13.7 ms, of which the kernel needs 0.8.
PAIRS_OF_A_CALL = 1e4


def portion(n_sites: int, most: int) -> int:
    """Frames of `n_sites` to evaluate at a time: at most `most`, at most `PORTION` sites, at least
    one frame.
    """
    return max(1, min(most, PORTION // n_sites))


def kernel_pays(frames: int, n_sites: int, calls: int) -> bool:
    """Whether a compiled kernel saves more than it takes.

    Args:
        frames: evaluated in all, on a CPU.
        n_sites: of each.
        calls: that evaluate some of them together.
    """
    pairs = frames * n_sites * min(n_sites, 50)
    return pairs + calls * PAIRS_OF_A_CALL > PAIRS_THAT_PAY


#: Keyword arguments a potential is made with; what they are is up to its class.
Config = dict[str, Any]
#: What a file of a potential holds: "state" are its tensors. Earlier versions knew no density.
PotentialState = TypedDict(
    "PotentialState",
    {
        "class": str,
        "config": Config,
        "state": dict[str, Tensor],
        "temperature": float | None,
        "density": NotRequired[tuple[float, float] | None],
    },
)


class Potential(Described, nn.Module, ABC):
    """Interface of everything that has an energy: a PMF network, a prior, a bias, a sum of them.

    A subclass implements `energy`, passes its keyword arguments to `super().__init__` as plain
    values (they are what `save` writes, next to the state dict) and is found again by the name of
    its module and class.

    Attributes:
        types: the site types it knows; a System with another type is refused.
        cutoff: nm, reach of its neighbour interactions, 0 if it has none.
        temperature: K at which it is a PMF, None for an energy that knows no temperature; a PMF
            belongs to one state.
        density: (lowest, highest) sites per nm^3 of the frames it is a PMF of; None for open
            systems, and for an energy.
        traceable: whether shapes inside follow from those of the graph alone (`TracedPotential`).
        own_forces: whether `forward` has a faster way to the forces than autograd through `energy`.
        threaded: whether a kernel of ours does its work, on `cgrec.threads.kernel_threads` threads,
            with the same bits for any number.
    """

    temperature: float | None = None
    density: tuple[float, float] | None = None
    traceable: bool = True
    own_forces: ClassVar[bool] = False
    threaded: ClassVar[bool] = False

    registry: ClassVar[Registry[Potential]] = Registry("potential")

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        Potential.registry.add(cls)

    def __init__(self, *, types: Sequence[str], cutoff: float, **config: object) -> None:
        super().__init__()
        self.types = tuple(types)
        self.cutoff = float(cutoff)
        self.config: Config = {"types": list(self.types), "cutoff": self.cutoff, **config}

    @classmethod
    def shapes(cls, config: Config) -> dict[str, tuple[int | None, ...]]:
        """Shapes of its tensors by its configuration, None for any length: a file is checked by
        them before it is built.
        """
        return {}

    @abstractmethod
    def energy(self, graph: SiteGraph) -> Tensor:
        """(n_frames,) energy in kJ/mol, differentiable in `graph.positions`."""

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        """(n_frames,) energy and (n_frames * n_sites, 3) force -dE/dx; `differentiable` keeps the
        graph for training.
        """
        return _by_autograd(self.energy, graph, differentiable)

    def compiled(self) -> Potential:
        """A Potential with the same parameters and answers for many calls: a C++ kernel on a CPU, one
        traced graph elsewhere. What cannot be compiled here stays as it is, with one warning.
        """
        return backends.compiled(self)

    def species(self, system: System) -> Tensor:
        """(n_sites,) row of each site's type in `types`.

        Raises:
            ValueError: the system has a type, or a bond graph, this potential was not made for.
        """
        unknown = sorted(set(system.types) - set(self.types))
        if unknown:
            raise ValueError(
                f"site types {unknown} are unknown to this {type(self).__name__}: it was made "
                f"for {sorted(self.types)}"
            )
        self.check(system)
        rows = {t: row for row, t in enumerate(self.types)}
        return torch.tensor([rows[t] for t in system.types])

    def check(self, system: System) -> None:
        """Refuse a System whose numbered sites are not those it was made for; most potentials know
        none.

        Raises:
            ValueError: another bond graph; the message names the first site or bond that differs.
        """
        return

    def at_state_of(self, *others: Potential) -> Self:
        """Itself, with the state point that `others` share.

        Raises:
            ValueError: they belong to different states.
        """
        self.temperature, self.density = common_state(others)
        return self

    def made_at(self, temperature: float | None) -> Self:
        """Itself and its parts, as made from a sample at `temperature` in K; None: an energy, which
        holds at any.
        """
        for module in self.modules():
            if isinstance(module, Potential):
                module.temperature = temperature
        return self

    def graph(self, frames: Frames, skin: float = 0.0) -> SiteGraph:
        """All frames as one graph on this potential's device, positions in float64; `skin` nm are
        added to the reach.
        """
        return _graph_of(self, frames, skin)

    def reach(self, skin: float = 0.0) -> float:
        """Neighbour distance in nm to build graphs with: cutoff plus skin, 0 without neighbour
        interactions.
        """
        return self.cutoff + skin if self.cutoff > 0 else 0.0

    @property
    def device(self) -> torch.device:
        """Where its parameters live."""
        return next((t.device for t in [*self.parameters(), *self.buffers()]), torch.device("cpu"))

    def energy_and_forces(
        self, frames: Frames, batch_size: int = 256
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n_frames,) kJ/mol and (n_frames, n_sites, 3) kJ/mol/nm in float64, through `compiled()`
        where it pays.

        Args:
            frames: of a System whose types it knows.
            batch_size: frames evaluated at a time, less where they have more than `PORTION` sites
                together.
        """
        return _evaluated(self, frames, batch_size)

    def energy_forces_virial(
        self, frames: Frames
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """As `cgrec.potential.virial.of_frames`."""
        return of_frames(self, frames)

    def __add__(self, other: Potential) -> SumPotential:
        return SumPotential([*summands(self), *summands(other)]).at_state_of(self, other)

    def to_state(self) -> PotentialState:
        """Everything needed to make it again: module and class, configuration, tensors."""
        return self._state(self.config)

    def _state(self, config: Config, state: dict[str, Tensor] | None = None) -> PotentialState:
        return {
            "class": Registry.name(type(self)),
            "config": config,
            "state": self.state_dict() if state is None else state,
            "temperature": self.temperature,
            "density": self.density,
        }

    @staticmethod
    def from_state(state: PotentialState) -> Potential:
        """Inverse of `to_state`. Raises ValueError where configuration and tensors are not of one
        potential.
        """
        potential = restored(Potential.registry, state)
        potential.temperature = state.get("temperature")
        density = state.get("density")  # files of earlier versions have none
        potential.density = None if density is None else (density[0], density[1])
        return potential

    def save(self, path: str | Path) -> None:
        """Write to `path` (.pt), under a temporary name first."""
        write_whole(path, lambda partial: torch.save(self.to_state(), partial))

    @staticmethod
    def load(path: str | Path, device: str | torch.device = "cpu") -> Potential:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is truncated or not ours.
            NoPlugin: its class is of a package that is not installed here as a plugin.
        """
        return _loaded(path, device)


def joint_state(potential: Potential, name: str, parts: Iterable[Potential]) -> PotentialState:
    """State of a potential made of others, `name` being the attribute they are in; a compiled one
    is written as the plain one.
    """
    states = [part.to_state() for part in parts]
    joint = {
        f"{name}.{k}.{key}": value
        for k, s in enumerate(states)
        for key, value in s["state"].items()
    }
    return potential._state({"states": states}, joint)


def _graph_of(potential: Potential, frames: Frames, skin: float) -> SiteGraph:
    check_box(frames.box, potential.cutoff)
    device, boxes = potential.device, frames.boxes()
    positions, box = (
        None if given is None else sent(torch.as_tensor(np.array(given, dtype=float)), device)
        for given in (frames.positions, boxes)
    )
    assert positions is not None
    species = sent(potential.species(frames.system), device)
    return site_graph(positions, species, potential.reach(skin), box)


def _loaded(path: str | Path, device: str | torch.device) -> Potential:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        return Potential.from_state(state).to(device)
    except FileNotFoundError:
        raise
    except NoPlugin as error:
        raise NoPlugin(f"{path}: {error}") from error
    except (RuntimeError, EOFError, OSError, ValueError, UnpicklingError) as error:
        raise ValueError(f"{path} is not a readable potential ({error}); {WAY_BACK}") from error


def _evaluated(
    potential: Potential, frames: Frames, batch_size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n, step = len(frames), portion(frames.n_sites, batch_size)
    on_kernel = potential.device.type == "cpu" and kernel_pays(n, frames.n_sites, -(-n // step))
    evaluate = potential.compiled() if on_kernel else potential
    energies, forces = np.empty(n), np.empty((n, frames.n_sites, 3))
    for start in range(0, n, step):
        part = slice(start, start + step)
        energy, force = evaluate(potential.graph(frames[part]))
        energies[part] = energy.double().cpu().numpy()
        forces[part] = force.double().cpu().numpy().reshape(-1, frames.n_sites, 3)
    return energies, forces


class SumPotential(Potential):
    """Sum of potentials over one table of types: priors plus network, PMF plus bias.

    Its state point is that of its parts.

    Args:
        parts: what is added.
        types: of all of them; found from the parts.
        cutoff: nm, the largest of theirs; found from the parts.
        states: the parts as `to_state` wrote them, when loaded from disk.

    Raises:
        ValueError: parts with other tables of types, or PMFs of different states.
    """

    parts: Sequence[Potential]  # a ModuleList

    def __init__(
        self,
        parts: Sequence[Potential] | None = None,
        *,
        types: Sequence[str] = (),
        cutoff: float = 0.0,
        states: Sequence[PotentialState] = (),
    ) -> None:
        parts = list(parts or [Potential.from_state(s) for s in states])
        tables = {p.types for p in parts}
        if len(tables) != 1:
            raise ValueError(
                "potentials can be added where they share one table of site types, found "
                f"{sorted(tables)}"
            )
        super().__init__(types=parts[0].types, cutoff=max(p.cutoff for p in parts))
        self.add_module("parts", nn.ModuleList(parts))
        self.at_state_of(*parts)

    def check(self, system: System) -> None:
        for part in self.parts:
            part.check(system)

    def energy(self, graph: SiteGraph) -> Tensor:
        return _total(self.parts, graph)

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        own = [part for part in self.parts if part.own_forces]
        rest = [part for part in self.parts if not part.own_forces]
        found = [part(graph, differentiable) for part in own]
        if rest:
            found.append(_by_autograd(lambda g: _total(rest, g), graph, differentiable))
        energies, forces = zip(*found)
        return sum(energies[1:], energies[0]), sum(forces[1:], forces[0])

    def compiled(self) -> Potential:
        parts = backends.merged(self.parts)
        if self.device.type != "cpu":  # one graph of all that can be traced
            own = [part for part in parts if part.own_forces or not part.traceable]
            if not own:
                return super().compiled()
            rest = [part for part in parts if part not in own]
            parts = [*own, SumPotential(rest)] if rest else own
        return SumPotential([part.compiled() for part in parts]).at_state_of(self)

    def to_state(self) -> PotentialState:
        return joint_state(self, "parts", self.parts)


def _by_autograd(
    energy_of: Callable[[SiteGraph], Tensor], graph: SiteGraph, differentiable: bool
) -> tuple[Tensor, Tensor]:
    graph.positions = graph.positions.detach().requires_grad_()
    with torch.enable_grad():
        energy = energy_of(graph)
        (gradient,) = torch.autograd.grad(
            energy.sum(), graph.positions, create_graph=differentiable
        )
    return (energy, -gradient) if differentiable else (energy.detach(), -gradient)


def _total(parts: Iterable[Potential], graph: SiteGraph) -> Tensor:
    return torch.stack([part.energy(graph).double() for part in parts]).sum(0)


def summands(potential: Potential) -> list[Potential]:
    """The parts of a sum, or the potential itself."""
    return list(potential.parts) if isinstance(potential, SumPotential) else [potential]
