"""Linear maps in blocks against `torch.nn.functional.linear`."""

import pytest
import torch

from empnn.nn.kernels import blocks
from empnn.nn.kernels.linear import linear


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 8, 11])
def test_blocks_give_what_one_product_gives_gradients_included(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LARGEST", 4)
    monkeypatch.setattr(blocks, "STEP", 2)
    generator = torch.Generator().manual_seed(0)
    shapes = ((n, 3), (5, 3), (5,))
    given = [torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]
    ours, theirs = linear(*given), torch.nn.functional.linear(*given)
    torch.testing.assert_close(ours, theirs)
    found, expected = (torch.autograd.grad(f.sin().sum(), given) for f in (ours, theirs))
    torch.testing.assert_close(found, expected)
