"""A potential from what a file says of it, checked first: a file may come from anybody.

Weights are tensors and cannot run code. The configuration beside them is what a class is called
with, and one that asks for a hundred million channels would keep the machine busy or full; so its
sizes must be those of the tensors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from ..plugins import Registry

if TYPE_CHECKING:
    from .base import Potential

#: No size of any potential comes near it, and what is built from numbers below it fits any machine.
MOST = 100_000


def restored(classes: Registry[Potential], state: object) -> Potential:
    """The potential of a state as `Potential.to_state` writes it, with its tensors.

    Args:
        classes: there are, and may be asked for.
        state: class, config, state (the tensors).

    Raises:
        ValueError: a part is missing or unknown, or configuration and tensors are not of one
            potential; nothing large was built then.
    """
    if not isinstance(state, dict) or not {"class", "config", "state"} <= set(state):
        raise ValueError("expected class, config and state of a potential, found something else")
    config, tensors = state["config"], state["state"]
    found = classes.find(state["class"])
    name = found.__name__
    _check_config(name, config)
    _check_shapes(name, found.shapes(config), tensors)
    try:
        potential = found(**config)
        potential.load_state_dict(tensors, assign=True)  # keeps the precision it was saved in
    except (TypeError, KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{name}: configuration and tensors are not those of one potential ({error})"
        ) from error
    return potential


def _check_config(name: str, config: object) -> None:
    """Plain numbers must be finite, and sizes ones that a computer can hold."""
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise ValueError(
            f"{name}: expected keyword arguments as configuration, found {type(config).__name__}"
        )
    for key, value in config.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}.{key}: expected a finite number, found {value}")
        if isinstance(value, int) and abs(value) > MOST and key not in ("seed", "n_sites"):
            raise ValueError(f"{name}.{key}: expected at most {MOST}, found {value}")
    reaches = [config.get(key) for key in ("cutoff", "three_cutoff")]
    for key in ("spacing", "three_spacing", "across_spacing"):
        spacing = config.get(key)
        wide = max((r for r in reaches if isinstance(r, int | float)), default=0.0)
        if isinstance(spacing, int | float) and not 2 * wide / MOST <= spacing:
            raise ValueError(
                f"{name}.{key}: expected {2 * wide / MOST:g} nm or more, found {spacing}"
            )


def _check_shapes(name: str, wanted: dict[str, tuple[int | None, ...]], tensors: object) -> None:
    """`wanted` against the tensors; None stands for any length."""
    if not isinstance(tensors, dict):
        raise ValueError(f"{name}: expected tensors by name, found {type(tensors).__name__}")
    for key, shape in wanted.items():
        found = tuple(tensors[key].shape) if isinstance(tensors.get(key), Tensor) else None
        fits = found is not None and len(found) == len(shape)
        if not fits or any(n is not None and n != m for n, m in zip(shape, found or ())):
            raise ValueError(
                f"{name}: expected a tensor {key} of shape {shape} by its configuration, found "
                f"{found}"
            )
