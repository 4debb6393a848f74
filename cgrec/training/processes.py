"""`Processes`: one or several that train together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Processes:
    """One process, or several of lightning-fabric that average their gradients.

    Args:
        fabric: that started them; None for one alone.
    """

    def __init__(self, fabric: Fabric | None = None) -> None:
        self.fabric = fabric

    @property
    def several(self) -> bool:
        """Whether there is more than this one."""
        return self.fabric is not None

    @property
    def first(self) -> bool:
        """Whether this is the only one, or the first, which writes files."""
        return self.fabric is None or self.fabric.is_global_zero

    @property
    def share(self) -> tuple[int, int]:
        """Number of this one, and how many there are."""
        return (0, 1) if self.fabric is None else (self.fabric.global_rank, self.fabric.world_size)

    def mean(self, value: Tensor) -> Tensor:
        """Mean over all."""
        if self.fabric is None:
            return value
        mean = self.fabric.all_reduce(value, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return mean

    def shared(self, model: nn.Module) -> nn.Module:
        """`model` with gradients that are averaged over all."""
        return model if self.fabric is None else self.fabric.strategy.setup_module(model)
