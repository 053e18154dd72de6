"""The gated recurrent unit of equation 15, block by block, so that little of it passes through memory."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from empnn.nn.blocks import blocks


def gru(
    message: Float[Tensor, "rows n"],
    state: Float[Tensor, "rows features"],
    weight_message: Float[Tensor, "three_features n"],
    weight_state: Float[Tensor, "three_features features"],
    bias_message: Float[Tensor, " three_features"],
    bias_state: Float[Tensor, " three_features"],
) -> Float[Tensor, "rows features"]:
    """The update of `torch.nn.GRUCell`: r, z = sigmoid(i + o), n = tanh(i_n + r o_n), h' = n + z (h - n).

    i = W m + b and o = W' h + b', each for reset gate, update gate and proposal, side by side. No second derivatives.

    Args:
        message: m.
        state: h.
        weight_message: W.
        weight_state: W'.
        bias_message: b.
        bias_state: b'.
    """
    updated: Tensor = _Update.apply(message, state, weight_message, weight_state, bias_message, bias_state)  # type: ignore[no-untyped-call]
    return updated


class _Update(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        message, state, weight_message, weight_state, bias_message, bias_state = given
        (n, width), split = state.shape, 2 * state.shape[1]
        # Products with a matrix that has no strides are the fastest. Biases of the gates are added once, together.
        maps = weight_message.mT.contiguous(), weight_state.mT.contiguous()
        bias = torch.cat([bias_message[:split] + bias_state[:split], bias_message[split:]])
        own, opened = state.new_empty(n, 3 * width), state.new_empty(n, split)
        proposal, updated = torch.empty_like(state), torch.empty_like(state)
        for start, stop, _ in blocks(n, state.device):
            rows = slice(start, stop)
            incoming = torch.mm(message[rows], maps[0]).add_(bias)
            torch.mm(state[rows], maps[1], out=own[rows])
            reset, keep = torch.add(incoming[:, :split], own[rows, :split], out=opened[rows]).sigmoid_().chunk(2, dim=1)
            own[rows, split:] += bias_state[split:]
            _tanh_(torch.addcmul(incoming[:, split:], reset, own[rows, split:], out=proposal[rows]))
            torch.lerp(proposal[rows], state[rows], keep, out=updated[rows])
        ctx.save_for_backward(message, state, weight_message, weight_state, opened, own, proposal)
        return updated

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        message, state, weight_message, weight_state, opened, own, proposal = ctx.saved_tensors
        (outer,), (n, width), split = gradients, state.shape, 2 * state.shape[1]
        to_message, to_state = torch.empty_like(message), torch.empty_like(state)
        of_message, of_state = torch.zeros_like(weight_message), torch.zeros_like(weight_state)
        biases = state.new_zeros(2, 3 * width)
        for start, stop, seen in blocks(n, state.device):
            rows = slice(start, stop)
            above, (reset, keep) = outer[rows], opened[rows].chunk(2, dim=1)
            kept = above * keep
            of_proposal = torch.ops.aten.tanh_backward(above - kept, proposal[rows])
            inner = above.new_empty(stop - start, 3 * width)
            torch.mul(of_proposal, own[rows, split:], out=inner[:, :width])
            torch.sub(state[rows], proposal[rows], out=inner[:, width:split]).mul_(above)
            torch.ops.aten.sigmoid_backward.grad_input(inner[:, :split], opened[rows], grad_input=inner[:, :split])
            inner[:, split:] = of_proposal
            torch.mm(inner, weight_message, out=to_message[rows])
            inner[:, split:] *= reset
            torch.addmm(kept, inner, weight_state, out=to_state[rows])
            inner[:seen] = 0
            of_state.addmm_(inner.mT, state[rows])
            biases[1] += inner.sum(0)
            inner[seen:, split:] = of_proposal[seen:]
            of_message.addmm_(inner.mT, message[rows])
            biases[0] += inner.sum(0)
        return to_message, to_state, of_message, of_state, *biases


def _tanh_(values: Tensor) -> Tensor:
    """In place, as 2 sigmoid(2 x) - 1: PyTorch computes the sigmoid six times as fast as the tanh."""
    return values.mul_(2).sigmoid_().mul_(2).sub_(1)
