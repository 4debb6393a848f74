"""A run in blocks of replicas: each block is made by a process of its own, and all are joined into the
folder that one process would have left.

The noise of a replica depends on the seed and its number alone, the frame it starts from on the seed,
and neither on which other replicas its process moves. So blocks need to know nothing of each other.
What a bias or an exchange does, it does to all replicas together: such runs are not divided, and no
run with hooks of somebody else is, for these may do the same.

A divided run is asked for by a folder beside its own, `frames.blocks` beside `frames`, which holds
all that `run_block` needs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..files import Json, json_text, read_json, write_json
from ..frames import Frames
from ..potential.base import Potential
from ..roles import Engine, Guard, Replicas, RunReport
from ..run import layout
from ..run.checkpoints import load_state, save_state
from ..run.events import kept_progress
from ..run.lock import only_here
from .guard import FeatureGuard
from .guard_file import load_guard, save_guard
from .hooks import Hook
from .integrators import ReplicaNoise
from .langevin import Langevin, check_start, picked, prepared, to_its_end
from .report import SimulationReport
from .run import Run, RunState
from .store import CHECKPOINT, finish, partial_of

#: What is asked for, in the folder of the blocks; written last.
REQUEST = "request.json"
_START = "start"
#: Settings that a divided run does not have.
_TOGETHER = ("bias", "exchange", "hooks")

_SIZE: ContextVar[int] = ContextVar("replicas of a block; 0: runs are not divided", default=0)


class BlocksWanted(BaseException):
    """A run waits for blocks of its replicas. No error: nothing failed, and what catches errors must
    let it pass.

    Attributes:
        folder: of the blocks.
        numbers: of those that are not there.
    """

    def __init__(self, folder: Path, numbers: list[int]) -> None:
        self.folder, self.numbers = folder, numbers
        super().__init__(f"{len(numbers)} blocks of replicas are to be made in {folder}")


@contextmanager
def in_blocks(size: int) -> Iterator[None]:
    """Let levels made inside divide their runs into blocks of `size` replicas; 0: leave them whole."""
    token = _SIZE.set(size)
    try:
        yield
    finally:
        _SIZE.reset(token)


def divided(engine: Engine) -> Engine:
    """The engine that asks for blocks, where these are wanted and its run can be divided; else
    `engine` itself.
    """
    size = _SIZE.get()
    if size == 0 or type(engine) is not Langevin or engine.all_hooks or engine.n_replicas <= size:
        return engine
    return Divided(engine, size)


@dataclass
class Divided:
    """Langevin dynamics whose replicas are made in blocks (see `cgrec.roles.Engine`).

    Attributes:
        engine: of the run, without hooks.
        size: replicas of a block; the last one may have fewer.
    """

    engine: Langevin
    size: int

    def __post_init__(self) -> None:
        self.save_every = self.engine.save_every
        self.use_lost = self.engine.use_lost

    def __call__(
        self,
        potential: Potential,
        start: Frames,
        folder: Path,
        *,
        seed: int = 0,
        guard: Guard | None = None,
        name: str = "simulation",
    ) -> tuple[Frames, RunReport]:
        """Join the blocks where all are there.

        Raises:
            BlocksWanted: they are not: `run_block` makes them.
            ValueError: as `Langevin`.
        """
        blocks = folder.with_name(folder.name + layout.BLOCKS)
        begun = folder.exists() or (partial_of(folder) / CHECKPOINT).exists()
        if not begun and (guard is None or isinstance(guard, FeatureGuard)):
            check_start(self.engine, potential, start)
            own = picked(self.engine, start, seed)
            about = {"options": _plain(self.engine), "seed": seed, "name": name}
            _ask(blocks, {**about, "blocks": self._ranges()}, potential, own, guard)
            noise = ReplicaNoise(seed, self.engine.n_replicas, potential.device)
            _join(blocks, prepared(self.engine, potential, start, own, noise, folder, guard))
        found = self.engine(potential, start, folder, seed=seed, guard=guard, name=name)
        shutil.rmtree(blocks, ignore_errors=True)
        return found

    def _ranges(self) -> list[list[int]]:
        """[first, last] replica of each block, the last one excluded."""
        n = self.engine.n_replicas
        return [[k, min(n, k + self.size)] for k in range(0, n, self.size)]

    def long_enough(self, folder: Path) -> bool:
        return self.engine.long_enough(folder)

    def judged(self, folder: Path) -> tuple[Frames, RunReport]:
        return self.engine.judged(folder)


def _plain(options: Langevin) -> Json:
    """The settings of a run that can be divided, as json."""
    names = [f.name for f in fields(options) if f.name not in _TOGETHER]
    found: Json = json.loads(json_text({name: getattr(options, name) for name in names}))
    return found


def _digest(potential: Potential) -> str:
    """sha256 of all numbers of a potential."""
    found = hashlib.sha256()
    for name, values in potential.state_dict().items():
        found.update(name.encode())
        found.update(values.cpu().numpy().tobytes())
    return found.hexdigest()


def _ask(
    blocks: Path, about: Json, potential: Potential, own: Frames, guard: FeatureGuard | None
) -> None:
    """Leave all that `run_block` needs, unless it is there; blocks of another recipe are thrown
    away.
    """
    about = {**about, "device": str(potential.device), "potential": _digest(potential)}
    path = blocks / REQUEST
    if path.exists() and read_json(path) == about:
        return
    shutil.rmtree(blocks, ignore_errors=True)
    blocks.mkdir(parents=True)
    potential.save(blocks / layout.POTENTIAL)
    bare = replace(own, forces=None, energies=None, weights=None, replicas=None)
    bare.save(blocks / _START)
    if guard is not None:
        save_guard(guard, blocks / layout.GUARD)
    write_json(path, about)


def run_block(blocks: Path, number: int) -> None:
    """Make one block of a divided run; the same call after a kill goes on from its checkpoint.

    Args:
        blocks: folder of them, of a `BlocksWanted`.
        number: of this one.

    Raises:
        Busy: another process makes it.
    """
    about = read_json(blocks / REQUEST)
    folder = _block(blocks, number)
    with only_here(partial_of(folder), beside=True), kept_progress(progress_folder(blocks, number)):
        if finish(folder) or _made(folder):
            return
        options = Langevin(**about["options"])
        first, last = about["blocks"][number]
        potential = Potential.load(blocks / layout.POTENTIAL, about["device"])
        own = Frames.load(blocks / _START)[first:last]
        path = blocks / layout.GUARD
        guard = load_guard(path, potential) if path.exists() else None
        noise = ReplicaNoise(about["seed"], options.n_replicas, potential.device)
        part = noise.part(first, last)
        run = prepared(options, potential, own, own, part, folder, guard, [_Saved()])
        run.begin()
        to_its_end(run, f"{about['name']}, replicas {first} to {last - 1}")
        if run.saved:  # else all were lost before the first frame, which the checkpoint says
            run.finish()


def progress_folder(blocks: Path, number: int) -> Path:
    """Where events of a block are kept while it is made."""
    return blocks / f"progress{number}"


def _block(blocks: Path, number: int) -> Path:
    return blocks / f"block{number}"


def _made(folder: Path) -> bool:
    """Whether a block is there, or lost all its replicas before the first frame."""
    if folder.exists():
        return True
    path = partial_of(folder) / CHECKPOINT
    state = load_state(path) if path.exists() else None
    return state is not None and state["saved"] == 0 and not bool(state["alive"].any())


class _Saved(Hook):
    """Counts the replicas that are kept of each stretch: frames of a block are in the order of
    time, and nothing else says where one moment ends.
    """

    def __init__(self) -> None:
        self.counts: list[int] = []

    def at_frame(self, replicas: Replicas) -> None:
        self.counts.append(int((replicas.kept & replicas.alive & ~replicas.aside).sum()))

    def state(self) -> object:
        return self.counts

    def restore(self, state: object, replicas: Replicas) -> None:
        assert isinstance(state, list)
        self.counts = state


def _join(blocks: Path, run: Run) -> None:
    """Leave the arrays and the last checkpoint of `run`, as if one process had come to its end.

    Raises:
        BlocksWanted: blocks are missing.
    """
    ranges = read_json(blocks / REQUEST)["blocks"]
    folders = [_block(blocks, k) for k in range(len(ranges))]
    missing = [k for k, folder in enumerate(folders) if not _made(folder)]
    if missing:
        raise BlocksWanted(blocks, missing)
    states = [_last_state(folder) for folder in folders]
    firsts = [first for first, _ in ranges]
    run.store.create()
    saved = _put_in_order(run, folders, states, firsts)
    state = _whole(run, states, firsts)
    save_state(
        run.store.partial / CHECKPOINT,
        {**state, "saved": saved, "pieces": run.store.flush(saved)},
    )


def _last_state(folder: Path) -> RunState:
    place = folder if folder.exists() else partial_of(folder)
    state: RunState = load_state(place / CHECKPOINT)
    return state


def _put_in_order(
    run: Run, folders: Sequence[Path], states: Sequence[RunState], firsts: Sequence[int]
) -> int:
    """Fill the arrays of `run` moment by moment, blocks in their order within each; how many frames
    there are.
    """
    before = run.schedule.first_step // run.schedule.stride
    stretches = run.schedule.total_steps // run.schedule.stride - before
    counts = np.zeros((stretches, len(folders)), int)
    for k, state in enumerate(states):
        kept = _hooks(state)[-1][before:]  # of a block that was lost, the rest is zero
        counts[: len(kept), k] = kept
    ends = counts.cumsum().reshape(counts.shape)
    for k, (folder, first) in enumerate(zip(folders, firsts)):
        if counts[:, k].sum():
            places = np.concatenate([np.arange(e - n, e) for e, n in zip(ends[:, k], counts[:, k])])
            for name, values in _arrays(run, folder, first).items():
                run.store.arrays[name][places] = values
    return int(counts.sum())


def _arrays(run: Run, folder: Path, first: int) -> dict[str, NDArray[np.generic]]:
    """What a block has of the arrays of `run`."""
    found: dict[str, NDArray[np.generic]] = {}
    for name in run.store.arrays:
        path = folder / f"{name}.npy"
        if name == "box" and np.load(path, mmap_mode="r").ndim == 2:  # one for all its frames
            found[name] = np.load(path)[None]
        else:
            found[name] = np.load(path, mmap_mode="r")
    return {**found, "replicas": np.load(folder / "replicas.npy") + np.int32(first)}


def _whole(run: Run, states: Sequence[RunState], firsts: Sequence[int]) -> dict[str, object]:
    """The state of all replicas at the end, but for the frames."""
    found = [state["neighbours"] for state in states]
    own = [generator for state in states for generator in state["generators"][:-1]]
    return {
        "step": max(state["step"] for state in states),
        **{name: _cat(states, name) for name in ("positions", "velocities", "alive")},
        "box": None if run.replicas.box is None else _cat(states, "box"),
        "neighbours": {
            "found_at": torch.cat([one["found_at"] for one in found]),
            "slots": max(one["slots"] for one in found),
        },
        "hooks": [_watched(states)] if run.replicas.hooks else [],
        "generators": [*own, states[0]["generators"][-1]],
        "device": states[0]["device"],
        "kinetic": torch.cat([state["kinetic"] for state in states], dim=1),
        "report": asdict(_report(run, states, firsts)),
    }


def _cat(states: Sequence[RunState], name: str) -> torch.Tensor:
    return torch.cat([dict(state)[name] for state in states])  # type: ignore[misc]


def _hooks(state: RunState) -> list[Any]:
    return list(state.get("hooks", []))


def _watched(states: Sequence[RunState]) -> Json:
    """The state of the guard's hook, which is the first of each block."""
    each = [_hooks(state)[0] for state in states]
    largest = [one["largest"] for one in each if one["largest"] is not None]
    beyond = [one["beyond"] for one in each if one["beyond"] is not None]
    return {
        "largest": max(largest, default=None),
        "beyond": torch.cat(beyond) if len(beyond) == len(each) else None,
    }


def _report(run: Run, states: Sequence[RunState], firsts: Sequence[int]) -> SimulationReport:
    """What all blocks came to; they ran side by side."""
    each = [SimulationReport(**state["report"]) for state in states]
    lost = [
        {**one, "replica": int(one["replica"]) + first}
        for report, first in zip(each, firsts)
        for one in report.lost
    ]
    report = SimulationReport(
        replicas=len(run.replicas.positions),
        lost=sorted(lost, key=lambda one: one["time"]),
        seconds=max(one.seconds for one in each),
        interval=each[0].interval,
    )
    step = max(state["step"] for state in states)
    report.count(step, step - run.schedule.first_step, run.replicas.timestep)
    return report
