"""The ket-bra fields |u><u| of Definition 8."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor


class KetBra:
    """lambda = u u^T with u = v / r: stretch along an edge (Definition 8)."""

    formula: ClassVar[str] = "u u^T"

    def __call__(self, vectors: Float[Tensor, "edges 3"]) -> Float[Tensor, "edges 3 3"]:
        """Matrices u u^T of edge vectors in angstrom."""
        unit = torch.nn.functional.normalize(vectors, dim=-1)
        return unit.unsqueeze(-1) * unit.unsqueeze(-2)
