"""The state of replicas in a checkpoint, with which a run goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from torch import Tensor

from ..potential.graph import VerletState
from ..remarks import remark
from ..roles import Hook, Lost
from .hooks import BiasPlan, Exchange, Watch
from .replicas import Replicas


class ReplicaState(TypedDict):
    """What a checkpoint holds of moving replicas."""

    step: int
    positions: Tensor
    velocities: Tensor
    alive: Tensor
    neighbours: VerletState
    box: NotRequired[Tensor | None]
    hooks: NotRequired[list[object]]
    generators: list[Tensor]
    device: str


def state_of(replicas: Replicas) -> ReplicaState:
    """What `restore` needs, the order of neighbours included."""
    return {
        "step": replicas.step,
        "positions": replicas.positions,
        "velocities": replicas.velocities,
        "alive": replicas.alive,
        "neighbours": replicas.field.neighbours.state(),
        "box": replicas.box,
        "hooks": [hook.state() for hook in replicas.hooks],
        "generators": replicas.noise.state(),
        "device": replicas.positions.device.type,
    }


def restore(replicas: Replicas, state: ReplicaState, lost: list[Lost], folder: Path) -> None:
    """Go on from a state.

    Args:
        replicas: of the same settings, at their start.
        state: of `state_of`.
        lost: replicas that were lost before; what is lost from now on is added.
        folder: of the run, for a remark where the random numbers are others from here on.
    """
    here = replicas.positions.device
    replicas.step = state["step"]
    replicas.positions, replicas.velocities = state["positions"], state["velocities"]
    replicas.alive = state["alive"]
    replicas.lost = lost
    box = state.get("box")  # files of earlier versions have none: it is that of the start
    if box is not None:
        replicas.put_in(box)
    replicas.field.neighbours.restore(state["neighbours"], here, replicas.box)
    for hook, own in zip(replicas.hooks, _hook_states(state, replicas), strict=True):
        hook.restore(own, replicas)
    if state["device"] == here.type:
        replicas.noise.restore(state["generators"])
        return
    remark(
        f"{folder}: begun on {state['device']} and going on on {here.type}, whose random numbers "
        "are others: "
        "from here on the frames are as good, but not those of a run on one device"
    )
    replicas.noise.renew(replicas.step)


def _hook_states(state: Mapping[str, Any], replicas: Replicas) -> list[object]:
    """State of each hook in a checkpoint; those written before hooks had states of their own held
    the same under other names.
    """
    if "hooks" in state:
        return list(state["hooks"])

    def of(hook: Hook) -> object:
        if isinstance(hook, BiasPlan):
            return state["bias"]
        if isinstance(hook, Exchange):
            return {"rungs": state["rungs"], "swaps": state["swaps"]}
        return state["report"]["guard"].get("largest_score") if isinstance(hook, Watch) else None

    return [of(hook) for hook in replicas.hooks]
