"""The update against `torch.nn.GRUCell`."""

import pytest
import torch

from empnn.nn.kernels import blocks
from empnn.nn.kernels.gru import gru


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9])
def test_it_is_the_cell_of_torch_gradients_included(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LARGEST", 4)
    monkeypatch.setattr(blocks, "STEP", 2)
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(5, 4).double()
    message, state = (torch.randn(rows, n, dtype=torch.float64, requires_grad=True) for n in (5, 4))
    weights = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
    own = state @ cell.weight_hh.T + cell.bias_hh
    ours, theirs = gru(message, own, state, cell.weight_ih, cell.bias_ih), cell(message, state)
    torch.testing.assert_close(ours, theirs)
    found, expected = (torch.autograd.grad(f.sin().sum(), [message, state, *weights]) for f in (ours, theirs))
    torch.testing.assert_close(found, expected)
