"""The gated recurrent unit of equation 15, with few passes over memory."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def gru(
    incoming: Float[Tensor, "rows three_features"],
    own: Float[Tensor, "rows three_features"],
    state: Float[Tensor, "rows features"],
) -> Float[Tensor, "rows features"]:
    """The update of `torch.nn.GRUCell`: r, z = sigmoid(i + o), n = tanh(i_n + r o_n), h' = n + z (h - n).

    Args:
        incoming: i, the linear map of the input to reset gate, update gate and proposal, side by side.
        own: o, the same of the state.
        state: h.
    """
    updated: Tensor = _Update.apply(incoming, own, state)  # type: ignore[no-untyped-call]
    return updated


class _Update(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, incoming: Tensor, own: Tensor, state: Tensor) -> Tensor:
        width = state.shape[1]
        gates = torch.add(incoming[:, : 2 * width], own[:, : 2 * width]).sigmoid_()
        reset, keep = gates.chunk(2, dim=1)
        own_part = own[:, 2 * width :]
        proposal = torch.addcmul(incoming[:, 2 * width :], reset, own_part).tanh_()
        ctx.save_for_backward(gates, own, proposal, state)
        return torch.lerp(proposal, state, keep)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        gates, own, proposal, state = ctx.saved_tensors
        (outer,) = gradients
        width = state.shape[1]
        reset, keep = gates.chunk(2, dim=1)
        to_incoming, to_own = torch.empty_like(own), torch.empty_like(own)
        to_state = outer * keep
        to_proposal = torch.ops.aten.tanh_backward(outer - to_state, proposal)
        to_incoming[:, 2 * width :] = to_proposal
        torch.mul(to_proposal, reset, out=to_own[:, 2 * width :])
        to_gates = torch.empty_like(gates)
        torch.mul(to_proposal, own[:, 2 * width :], out=to_gates[:, :width])
        torch.sub(state, proposal, out=to_gates[:, width:]).mul_(outer)
        torch.ops.aten.sigmoid_backward.grad_input(to_gates, gates, grad_input=to_gates)
        to_incoming[:, : 2 * width] = to_gates
        to_own[:, : 2 * width] = to_gates
        return to_incoming, to_own, to_state
