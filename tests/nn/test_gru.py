"""The update against `torch.nn.GRUCell`."""

import torch

from empnn.nn.gru import gru


def test_it_is_the_cell_of_torch_gradients_included() -> None:
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(5, 4).double()
    message, state = (torch.randn(7, n, dtype=torch.float64, requires_grad=True) for n in (5, 4))
    wanted = [message, state, *cell.parameters()]

    def ours() -> torch.Tensor:
        incoming = message @ cell.weight_ih.T + cell.bias_ih
        return gru(incoming, state @ cell.weight_hh.T + cell.bias_hh, state)

    torch.testing.assert_close(ours(), cell(message, state))
    found, expected = (torch.autograd.grad(f.sin().sum(), wanted) for f in (ours(), cell(message, state)))
    torch.testing.assert_close(found, expected)
