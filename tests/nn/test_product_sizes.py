"""Products of float32 matrices come in few sizes, whatever the batch.

Each size is prepared once and kept, for a thousand sizes in each thread: hundreds of MiB.
"""

from typing import Any

import pytest
import torch
from support.zoo import PEROVSKITE
from torch.utils._python_dispatch import TorchDispatchMode

from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch
from empnn.nn import ModelConfig, build
from empnn.nn.kernels.blocks import STEP

FEATURES = 16
CONFIGS: dict[str, dict[str, Any]] = {
    "edges": {},
    "triplets": {"fields": "ketbra-e-tsym"},
    "messages of triplets": {"message_triplets": True},
    "positions": {"fields": "ketbra-e-tsym", "deform": ["cell", "positions"]},
    "as the paper": {"action": "first_order", "reduction": "sum", "aggregate": "sum", "strain_gate": False},
    "feed forward": {"name": "ff"},
}


class Products(TorchDispatchMode):
    """Collects the shapes that float32 matrices are multiplied in."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[torch.Size, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Take down what a product is made of."""
        name = func.name().partition(".")[0].removeprefix("aten::").rstrip("_")
        if name in ("mm", "addmm", "bmm", "baddbmm", "addmv", "mv"):
            matrices = [a for a in args if isinstance(a, torch.Tensor)][-2:]
            if matrices[0].dtype == torch.float32:
                self.shapes.add(tuple(matrix.shape for matrix in matrices))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
def test_sizes_of_products_are_multiples_of_a_step(options: dict[str, Any]) -> None:
    network = build(ModelConfig(features=FEATURES, message_layers=1, action_layers=2, **options))
    with Products() as products:
        for count in (9, STEP + 3, STEP + 8):
            crystals = with_fixed_noise(CrystalBatch.cat([PEROVSKITE] * count), 0.1, seed=count, positions=0.1)
            deformation = network(crystals)
            moved = deformation.displacement
            (deformation.action.sum() + (0 if moved is None else moved.sum())).backward()
    sizes = {size for shapes in products.shapes for shape in shapes for size in shape}
    assert max(sizes) > 10 * STEP
    # Up to that, sizes are those of weights, or of fewer rows than a step.
    assert not [size for size in sizes if size > 3 * FEATURES and size % STEP]
