"""`MatrixSOAP`: SOAP whose products are products of matrices.

The optimiser of `pytorch_optimizer` contracts tensors by `torch.tensordot`, which for the small
weights of a network takes longer to arrange than to multiply. These are the same products of the
same matrices, so that every bit, and what is in a checkpoint, is that of the optimiser itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_optimizer import SOAP
from torch import Tensor


class MatrixSOAP(SOAP):
    """SOAP (N. Vyas et al., arXiv:2409.11321), dimensions of weights never merged."""

    def project(
        self,
        grad: Tensor,
        state: Mapping[str, Any],
        merge_dims: bool = False,
        max_precondition_dim: int = 10000,
        project_type: str = "forward",
    ) -> Tensor:
        """`grad` with every dimension in the eigenbasis of its preconditioner, or out of it."""
        for basis in state["Q"]:
            turned = grad.movedim(0, -1) if grad.ndim > 1 else grad
            if not isinstance(basis, Tensor):  # a dimension without a preconditioner
                grad = turned
                continue
            flat = turned if turned.ndim == 2 else turned.reshape(-1, basis.shape[0])
            grad = torch.mm(flat, basis if project_type == "forward" else basis.T)
            grad = grad if turned.ndim == 2 else grad.view(turned.shape)
        return grad

    def update_pre_conditioner(
        self,
        grad: Tensor,
        state: dict[str, Any],
        step: int,
        max_precondition_dim: int = 10000,
        precondition_1d: bool = False,
        merge_dims: bool = False,
    ) -> None:
        """Mix what the gradient says into the preconditioner; renew its eigenbases now and then."""
        for dimension, products in enumerate(state["GG"]):
            if isinstance(products, Tensor):
                n = products.shape[0]
                rows = grad.movedim(dimension, 0).reshape(n, -1)
                columns = grad.movedim(dimension, -1).reshape(-1, n)
                products.lerp_(torch.mm(rows, columns), weight=1.0 - state["shampoo_beta"])
        if state["Q"] is None:
            state["Q"] = self.get_orthogonal_matrix(state["GG"])
        if step > 0 and step % state["precondition_frequency"] == 0:
            state["Q"] = self.get_orthogonal_matrix_qr(state, max_precondition_dim, merge_dims)
