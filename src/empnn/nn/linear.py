"""Linear maps of very many rows in blocks of one size, whatever the number of rows.

Libraries prepare a product for the shapes it has; batches of crystals never have the same number of atoms twice.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 1024
"""Rows of a block."""


def linear(
    rows: Float[Tensor, "rows n"], weight: Float[Tensor, "m n"], bias: Float[Tensor, " m"]
) -> Float[Tensor, "rows m"]:
    """W x + b for each row x, as `torch.nn.functional.linear`; without second derivatives."""
    result: Tensor = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return result


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight.mT).add_(bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (rows, weight), (outer,) = ctx.saved_tensors, gradients
        to_weight, block = torch.zeros_like(weight), _block(rows)
        for start in range(0, len(rows), block):
            parts = [t[start : start + block] for t in (outer, rows)]
            short = block - len(parts[0])
            above, below = (torch.cat([t, t.new_zeros(short, t.shape[1])]) if short else t for t in parts)
            to_weight.addmm_(above.mT, below)
        return _product(outer, weight), to_weight, outer.sum(0)


def _product(rows: Tensor, matrix: Tensor) -> Tensor:
    """The product rows @ matrix; the last block overlaps the one before."""
    n, block = len(rows), _block(rows)
    if n <= block:
        return rows @ matrix
    result = rows.new_empty(n, matrix.shape[1])
    for start in (*range(0, n - block, block), n - block):
        torch.mm(rows[start : start + block], matrix, out=result[start : start + block])
    return result


def _block(rows: Tensor) -> int:
    """Rows of a block; all of them on a GPU."""
    return BLOCK if rows.device.type == "cpu" else max(1, len(rows))
