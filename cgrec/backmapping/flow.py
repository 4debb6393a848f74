"""`FlowBackmapper`: conditional flow matching in the free coordinates, with exact likelihood.

y is carried from a standard normal (a uniform circle where it is an angle) to the atoms by dy/dt =
v(y, t | sites), fitted to straight lines between draws and data (Y. Lipman et al.,
arXiv:2210.02747; on circles the shorter arc, R. T. Q. Chen and Y. Lipman, arXiv:2302.03660). The
coordinates are scalars of frames that turn with the molecule and change sign where its mirror image
would, so v is a plain network and its flow is equivariant and sees handedness whatever its weights.

What is conditioned on gates two layers of v, which leaves its divergence a bilinear form in their
derivatives: the exact likelihood costs as much again as the draw, where a general network needs as
many passes as there are coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as Table
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..devices import resolved
from ..frames import Frames
from ..mapping import Mapping
from ..options import keywords_of
from ..progress import Progress
from ..run.checkpoints import in_pieces, load_state, save_state
from .base import Model, Options
from .coordinate_backmapper import CoordinateBackmapper
from .coordinates import Surroundings, spread
from .scaled import Scaled, wrapped
from .split import Unit


class Velocity(nn.Module):
    """v(y, t | c): two hidden layers in y, each shifted and scaled by what c and t say.

    Args:
        circles: (n_y,) which y are angles.
        n_surroundings: length of c.
        width: of the hidden layers.
    """

    line: Tensor
    circle: Tensor

    def __init__(self, circles: list[bool], n_surroundings: int, width: int = 256) -> None:
        super().__init__()
        self.width = width
        self.config: dict[str, object] = {
            "circles": circles,
            "n_surroundings": n_surroundings,
            "width": width,
        }
        for name, angle in (("line", False), ("circle", True)):
            which = torch.tensor([k for k, c in enumerate(circles) if c == angle], dtype=torch.long)
            self.register_buffer(name, which, persistent=False)
        n_line, n = len(self.line), len(circles)
        self.first = nn.Linear(n_line + 2 * len(self.circle), width, bias=False)
        self.second = nn.Linear(width, width, bias=False)
        self.last = nn.Linear(width, n, bias=False)
        out = 4 * width + 2 * n
        self.by_sites = nn.Sequential(
            nn.Linear(max(n_surroundings, 1), width // 2),
            nn.SiLU(),
            nn.Linear(width // 2, width // 2),
            nn.SiLU(),
            nn.Linear(width // 2, out),
        )
        self.by_time = nn.Sequential(nn.Linear(16, 64), nn.SiLU(), nn.Linear(64, out))
        nn.init.zeros_(self.last.weight)

    def sites(self, surroundings: Tensor) -> Tensor:
        """What c (n, n_surroundings) has to say, once for all t."""
        ones = surroundings.new_ones(len(surroundings), 1)
        return self.by_sites(surroundings if surroundings.shape[1] else ones)

    def forward(
        self, y: Tensor, t: Tensor, of_sites: Tensor, divergence: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """v (n, n_y) at y (n, n_y) and t (n,) or (1,), given `sites(c)`; and, if asked, its
        divergence (n,).
        """
        width = self.width
        waves = math.pi * t[:, None] * torch.arange(1, 9, device=t.device)
        gates = of_sites + self.by_time(torch.cat([waves.cos(), waves.sin()], -1))
        shift1, gain1, shift2, gain2 = gates[:, : 4 * width].chunk(4, -1)
        linear, constant = gates[:, 4 * width :].chunk(2, -1)
        angle = y[:, self.circle]
        features = torch.cat([y[:, self.line], angle.sin(), angle.cos()], -1)
        a, slope1 = _silu(self.first(features) + shift1, divergence)
        b, slope2 = _silu(self.second(a * (1 + gain1)) + shift2, divergence)
        on_line = torch.zeros(y.shape[1], device=y.device).index_fill_(0, self.line, 1.0)
        v = self.last(b * (1 + gain2)) + constant + linear * on_line * y
        if not divergence:
            return v, None
        slope1, slope2 = slope1 * (1 + gain1), slope2 * (1 + gain2)
        n_line = len(self.line)
        coupling = (
            self.second.weight * (self.first.weight[:, :n_line] @ self.last.weight[self.line]).T
        )
        trace = (linear * on_line).sum(-1) + ((slope2 @ coupling) * slope1).sum(-1)
        of_sine, of_cosine = self.first.weight[:, n_line:].chunk(2, -1)
        for k, row in enumerate(self.circle.tolist()):
            inner = (
                angle[:, k, None].cos() * of_sine[:, k] - angle[:, k, None].sin() * of_cosine[:, k]
            )
            trace = trace + (self.second(inner * slope1) * slope2 * self.last.weight[row]).sum(-1)
        return v, trace


def _silu(x: Tensor, derivative: bool) -> tuple[Tensor, Tensor]:
    if not derivative:
        return nn.functional.silu(x), x
    gate = torch.sigmoid(x)
    return x * gate, gate * (1 + x * (1 - gate))


@dataclass(frozen=True)
class FlowTraining:
    """How a flow is fitted, options of `FlowBackmapper.fit`.

    Attributes:
        steps: of Adam, with a cosine schedule from `learning_rate`.
        batch_size: units per step.
        width: of the network.
        average: decay of the running mean of the weights, which is what is kept.
        site_noise: nm, added to the sites the network is told of, so that those of a coarse model,
            which are not quite those of any atoms, are no surprise.
        validate_every: steps between validations on the last tenth of the units; the best weights
            are kept.
        patience: validations without improvement before it stops.
        seed: of everything.
        device: cpu, cuda or cuda:N; auto: that of the climb.
        folder: where checkpoints go; the same fit goes on from one it finds there. None: nowhere.
        name: shown by the progress bar.
    """

    steps: int = 10000
    batch_size: int = 512
    learning_rate: float = 2e-3
    width: int = 256
    average: float = 0.999
    site_noise: float = 0.0005
    validate_every: int = 500
    patience: int = 6
    seed: int = 0
    device: str = "auto"
    folder: Path | None = None
    name: str = "flow"


class FlowBackmapper(CoordinateBackmapper):
    """Draws as many different answers as wanted, each with its density. `fit` takes the options of
    `FlowTraining`.

    Args:
        mapping, models: as `Backmapper`.
        steps: of fourth-order Runge-Kutta from t = 0 to 1.
    """

    has_density = True
    relabelled_copies = 8

    def __init__(self, mapping: Mapping, models: dict[str, Model], steps: int = 4) -> None:
        super().__init__(mapping, models)
        self.steps = steps
        self._flows = {
            u.key: _Flow(models[u.key]) for u in self.split.units if "velocity" in models[u.key]
        }

    @classmethod
    @keywords_of(FlowTraining)
    def fit(cls, fine: Frames, mapping: Mapping, **options: object) -> Self:
        """As `CoordinateBackmapper.fit`; the options are those of `FlowTraining`."""
        return super().fit(fine, mapping, **options)

    @classmethod
    def _learn(
        cls, unit: Unit, scaled: Scaled, sites: Tensor, y: Tensor, options: Options
    ) -> Model:
        return _train(unit, scaled, sites, y, FlowTraining(**options))

    def _draw(
        self, unit: Unit, scaled: Scaled, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, Tensor | None]:
        start = _noise(len(sites), scaled.circles, generator)
        y, growth = self._flows[unit.key](sites, start, 0.0, 1.0, self.steps, density)
        return y.double(), _log_noise(start, scaled.circles) - growth if density else None

    def _log_density(self, unit: Unit, scaled: Scaled, sites: Tensor, y: Tensor) -> Tensor:
        start, growth = self._flows[unit.key](sites, y.float(), 1.0, 0.0, self.steps)
        return _log_noise(start, scaled.circles) + growth


class _Flow:
    """A fitted flow of one kind of unit."""

    def __init__(self, model: Model) -> None:
        self.surroundings = Surroundings.from_state(model["surroundings"])
        self.mean = model["mean"]
        self.scale = model["scale"]
        config, tensors = model["config"], model["velocity"]
        wanted = {
            "second.weight": (config["width"],) * 2,
            "last.weight": (len(config["circles"]), config["width"]),
        }
        wanted["by_sites.0.weight"] = (config["width"] // 2, max(config["n_surroundings"], 1))
        for name, shape in wanted.items():  # before it is built: a file may ask for any size
            if tuple(tensors[name].shape) != shape:
                raise ValueError(
                    f"Velocity: expected {name} of shape {shape}, found "
                    f"{tuple(tensors[name].shape)}"
                )
        self.velocity = Velocity(**config)
        self.velocity.load_state_dict(tensors)
        self.device = resolved()
        self.velocity.to(self.device)

    @torch.no_grad()
    def __call__(
        self,
        sites: Tensor,
        y: Tensor,
        begin: float,
        end: float,
        steps: int,
        divergence: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """y (n, n_y) carried from t = `begin` to `end`, and the integral of the divergence, by RK4."""
        of_sites = self.velocity.sites(
            ((self.surroundings(sites) - self.mean) / self.scale).float().to(self.device)
        )
        h = (end - begin) / steps
        y = y.to(self.device)
        growth = y.new_zeros(len(y), dtype=torch.float64)
        for k in range(steps):
            slope, rate, x = torch.zeros_like(y), y.new_zeros(len(y)), y
            for place, weight, ahead in (
                (0.0, 1, 0.5),
                (0.5, 2, 0.5),
                (0.5, 2, 1.0),
                (1.0, 1, 0.0),
            ):
                t = y.new_full((1,), begin + (k + place) * h)
                v, trace = self.velocity(x, t, of_sites, divergence)
                slope += weight / 6 * v
                if trace is not None:
                    rate += weight / 6 * trace
                x = y + ahead * h * v
            y, growth = y + h * slope, growth + h * rate.double()
        return y.cpu(), growth.cpu()


def _train(unit: Unit, scaled: Scaled, sites: Tensor, y: Tensor, options: FlowTraining) -> Model:
    surroundings = Surroundings.of(unit, sites[:: max(1, len(sites) // 1000)])
    c = surroundings(sites)
    mean, scale = c.mean(0), spread(c)
    with (
        torch.random.fork_rng()
    ):  # weights start from the seed, whatever was drawn before, and nothing else notices
        torch.manual_seed(options.seed)
        velocity = Velocity(scaled.circles.tolist(), c.shape[1], options.width)
        noisy = surroundings(
            sites + options.site_noise * torch.randn(sites.shape, dtype=sites.dtype)
        )
    run = _Training(
        velocity,
        ((c - mean) / scale).float(),
        y.float(),
        ((noisy - c).square().mean(0).sqrt() / scale).float(),
        options,
        options.folder and options.folder / f"flow_{unit.key}.checkpoint.pt",
    )
    run.resume()
    with Progress(options.name, options.steps, done=run.step) as bar:

        def piece() -> None:
            run.stretch()
            run.checkpoint()
            bar.advance(run.step - bar.done)
            bar.show(validation=run.best)

        in_pieces(
            piece,
            lambda: run.step >= options.steps or run.stale >= options.patience,
            lambda: f"a checkpoint after step {run.step} of {options.steps} is in {run.path}",
        )
    return {
        "surroundings": surroundings.coordinates.state(),
        "mean": mean,
        "scale": scale,
        "config": run.velocity.config,
        "velocity": {name: tensor.cpu() for name, tensor in run.best_state.items()},
    }


class _Part(Protocol):
    """What a checkpoint asks for its state."""

    def state_dict(self) -> Table[str, object]: ...

    def load_state_dict(self, state: dict[str, object], /) -> object: ...


class _Training:
    """Fits a velocity to pairs of c (n, n_c) and y (n, n_y); the last tenth of them judges.

    Random numbers are those of the CPU on every device.
    """

    def __init__(
        self,
        velocity: Velocity,
        c: Tensor,
        y: Tensor,
        noise: Tensor,
        options: FlowTraining,
        path: Path | None,
    ) -> None:
        self.device = resolved(options.device)
        self.velocity = velocity.to(self.device)
        c, y, self.noise = (v.to(self.device) for v in (c, y, noise))
        self.options = options
        self.path = path
        self.circles = y.new_zeros(y.shape[1], dtype=torch.bool)
        self.circles[velocity.circle] = True
        first = max(1, int(0.9 * len(y)))
        self.data = (c[:first], y[:first])
        self.validation = (c[first - 1 :], y[first - 1 :])
        self.averaged = AveragedModel(velocity, multi_avg_fn=get_ema_multi_avg_fn(options.average))
        self.optimiser = torch.optim.Adam(velocity.parameters(), options.learning_rate)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, options.steps)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.step = 0
        self.stale = 0
        self.best = math.inf
        self.best_state: dict[str, Tensor] = {}

    def stretch(self) -> None:
        """Steps up to the next validation; the best running mean of the weights so far is kept."""
        end = min(self.step + self.options.validate_every, self.options.steps)
        c, y = self.data
        while self.step < end:
            some = torch.randint(
                len(y), (min(self.options.batch_size, len(y)),), generator=self.generator
            ).to(self.device)
            loss = self._loss(self.velocity, c[some], y[some], self.generator)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            self.schedule.step()
            self.averaged.update_parameters(self.velocity)
            self.step += 1
        with torch.no_grad():
            c, y = (v[:: -(-len(v) // 10_000)] for v in self.validation)
            found = float(
                self._loss(
                    cast(Velocity, self.averaged.module), c, y, torch.Generator().manual_seed(1)
                )
            )
        self.stale = 0 if found < self.best else self.stale + 1
        if found < self.best:
            self.best = found
            self.best_state = {k: v.clone() for k, v in self.averaged.module.state_dict().items()}

    def _parts(self) -> dict[str, _Part]:
        return {
            "velocity": self.velocity,
            "averaged": self.averaged,
            "optimiser": self.optimiser,
            "schedule": self.schedule,
        }

    def checkpoint(self) -> None:
        """Everything needed to go on."""
        if self.path is not None:
            state = {name: part.state_dict() for name, part in self._parts().items()}
            state |= {k: getattr(self, k) for k in ("step", "stale", "best", "best_state")}
            save_state(self.path, {**state, "generator": self.generator.get_state()})

    def resume(self) -> None:
        """Go on from a checkpoint, if there is one."""
        if self.path is None or not self.path.exists():
            return
        state = load_state(self.path, self.device)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        for k in ("step", "stale", "best", "best_state"):
            setattr(self, k, state[k])
        self.generator.set_state(state["generator"].cpu())

    def _loss(self, velocity: Velocity, c: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Mean square of v less the straight way from a draw to y, at a random t."""
        told = c + self.noise * torch.randn(c.shape, generator=generator).to(c.device)
        start = _noise(len(y), self.circles, generator)
        t = torch.rand(len(y), generator=generator).to(y.device)
        way = torch.where(self.circles, wrapped(y - start), y - start)
        v, _ = velocity(start + t[:, None] * way, t, velocity.sites(told))
        return (v - way).square().mean()


def _noise(n: int, circles: Tensor, generator: torch.Generator) -> Tensor:
    """(n, n_y) draws to start from."""
    normal = torch.randn(n, len(circles), generator=generator)
    uniform = math.pi * (2 * torch.rand(n, len(circles), generator=generator) - 1)
    return torch.where(circles, uniform.to(circles.device), normal.to(circles.device))


def _log_noise(y: Tensor, circles: Tensor) -> Tensor:
    """(n,) log density of `_noise`."""
    normal = -0.5 * y.double() ** 2 - 0.5 * math.log(2 * math.pi)
    return torch.where(circles, torch.full_like(normal, -math.log(2 * math.pi)), normal).sum(-1)
