"""Linear maps of very many rows, block by block."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from empnn.nn.kernels.blocks import blocks, transposed, unseen


def linear(
    rows: Float[Tensor, "rows n"], weight: Float[Tensor, "m n"], bias: Float[Tensor, " m"]
) -> Float[Tensor, "rows m"]:
    """W x + b for each row x, as `torch.nn.functional.linear`; without second derivatives."""
    result: Tensor = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return result


def joined_linear(rows: Float[Tensor, "rows n"], maps: Sequence[nn.Linear]) -> Float[Tensor, "rows m"]:
    """Several linear maps of the same rows in one product, their results side by side; some may have no bias."""
    weights: list[Tensor] = [m.weight for m in maps]
    biases: list[Tensor] = [m.weight.new_zeros(len(m.weight)) if m.bias is None else m.bias for m in maps]
    return linear(rows, torch.cat(weights), torch.cat(biases))


class Linear(nn.Linear):
    """`torch.nn.Linear` with a bias, block by block."""

    def forward(self, rows: Float[Tensor, "rows n"]) -> Float[Tensor, "rows m"]:
        """W x + b for each row x."""
        return linear(rows, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        matrix, result = transposed(weight, len(rows)), rows.new_empty(len(rows), len(weight))
        for start, stop, _ in blocks(len(rows), rows.device):
            torch.mm(rows[start:stop], matrix, out=result[start:stop]).add_(bias)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (rows, weight), (outer,) = ctx.saved_tensors, gradients
        to_rows, to_weight, to_bias = torch.empty_like(rows), torch.zeros_like(weight), outer.new_zeros(len(weight))
        for start, stop, seen in blocks(len(rows), rows.device):
            above = outer[start:stop]
            torch.mm(above, weight, out=to_rows[start:stop])
            fresh = unseen(above, seen)
            to_weight.addmm_(fresh.mT, rows[start:stop])
            to_bias += fresh.sum(0)
        return to_rows, to_weight, to_bias
