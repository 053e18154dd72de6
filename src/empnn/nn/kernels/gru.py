"""The gated recurrent unit of equation 15, block by block, so that little of it passes through memory."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from empnn.nn.kernels.blocks import blocks, transposed, unseen


def gru(
    message: Float[Tensor, "rows n"],
    own: Float[Tensor, "rows three_features"],
    state: Float[Tensor, "rows features"],
    weight: Float[Tensor, "three_features n"],
    bias: Float[Tensor, " three_features"],
) -> Float[Tensor, "rows features"]:
    """The update of `torch.nn.GRUCell`: r, z = sigmoid(i + o), n = tanh(i_n + r o_n), h' = n + z (h - n).

    i = W m + b, for reset gate, update gate and proposal, side by side. There are no second derivatives.

    Args:
        message: m.
        own: o, the linear map of the state to the same three.
        state: h.
        weight: W.
        bias: b.
    """
    updated: Tensor = _Update.apply(message, own, state, weight, bias)  # type: ignore[no-untyped-call]
    return updated


class _Update(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, message: Tensor, own: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        n, split = len(state), 2 * state.shape[1]
        opened, proposal, updated = state.new_empty(n, split), torch.empty_like(state), torch.empty_like(state)
        matrix = transposed(weight, n)
        for start, stop, _ in blocks(n, state.device):
            rows = slice(start, stop)
            incoming = torch.mm(message[rows], matrix).add_(bias)
            reset, keep = torch.add(incoming[:, :split], own[rows, :split], out=opened[rows]).sigmoid_().chunk(2, dim=1)
            _tanh_(torch.addcmul(incoming[:, split:], reset, own[rows, split:], out=proposal[rows]))
            torch.lerp(proposal[rows], state[rows], keep, out=updated[rows])
        ctx.save_for_backward(message, own, state, weight, opened, proposal)
        return updated

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        message, own, state, weight, opened, proposal = ctx.saved_tensors
        (outer,), (n, width), split = gradients, state.shape, 2 * state.shape[1]
        to_message, to_own, to_state = torch.empty_like(message), torch.empty_like(own), torch.empty_like(state)
        to_weight, to_bias = torch.zeros_like(weight), weight.new_zeros(len(weight))
        for start, stop, seen in blocks(n, state.device):
            rows = slice(start, stop)
            above, (reset, keep) = outer[rows], opened[rows].chunk(2, dim=1)
            kept, inner = torch.mul(above, keep, out=to_state[rows]), to_own[rows]
            of_proposal = torch.ops.aten.tanh_backward(above - kept, proposal[rows])
            torch.mul(of_proposal, own[rows, split:], out=inner[:, :width])
            torch.sub(state[rows], proposal[rows], out=inner[:, width:split]).mul_(above)
            torch.ops.aten.sigmoid_backward.grad_input(inner[:, :split], opened[rows], grad_input=inner[:, :split])
            # Message and state differ in the proposal only, where the state goes through the reset gate.
            inner[:, split:] = of_proposal
            torch.mm(inner, weight, out=to_message[rows])
            fresh = unseen(inner, seen)
            to_weight.addmm_(fresh.mT, message[rows])
            to_bias += fresh.sum(0)
            inner[:, split:] *= reset
        return to_message, to_own, to_state, to_weight, to_bias


def _tanh_(values: Tensor) -> Tensor:
    """In place, as 2 sigmoid(2 x) - 1: PyTorch computes the sigmoid six times as fast as the tanh."""
    return values.mul_(2).sigmoid_().mul_(2).sub_(1)
