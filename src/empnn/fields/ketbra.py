"""The ket-bra fields |u><u'| of Definition 8, with u = v / r."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize


class KetBra:
    """The edge field u u^T: stretch along an edge."""

    formula: ClassVar[str] = "u u^T"

    def __call__(self, vectors: Float[Tensor, "edges 3"]) -> Float[Tensor, "edges 3 3"]:
        """Matrices u u^T of edge vectors in angstrom."""
        return outer(unit := normalize(vectors, dim=-1), unit)


class KetBraFirst:
    """The triplet field u u^T: stretch along the first leg."""

    formula: ClassVar[str] = "u u^T"

    def __call__(self, first: Float[Tensor, "triplets 3"], second: Float[Tensor, "triplets 3"]) -> Tensor:
        """Matrices (triplets, 3, 3)."""
        return outer(unit := normalize(first, dim=-1), unit)


class KetBraSecond:
    """The triplet field u' u'^T: stretch along the second leg."""

    formula: ClassVar[str] = "u' u'^T"

    def __call__(self, first: Float[Tensor, "triplets 3"], second: Float[Tensor, "triplets 3"]) -> Tensor:
        """Matrices (triplets, 3, 3)."""
        return outer(unit := normalize(second, dim=-1), unit)


class KetBraCross:
    """The triplet field u u'^T, not symmetric."""

    formula: ClassVar[str] = "u u'^T"

    def __call__(self, first: Float[Tensor, "triplets 3"], second: Float[Tensor, "triplets 3"]) -> Tensor:
        """Matrices (triplets, 3, 3)."""
        return outer(normalize(first, dim=-1), normalize(second, dim=-1))


class KetBraCrossBack:
    """The triplet field u' u^T, not symmetric."""

    formula: ClassVar[str] = "u' u^T"

    def __call__(self, first: Float[Tensor, "triplets 3"], second: Float[Tensor, "triplets 3"]) -> Tensor:
        """Matrices (triplets, 3, 3)."""
        return outer(normalize(second, dim=-1), normalize(first, dim=-1))


class KetBraSymmetric:
    """The triplet field sym(u u'^T): shear of the plane of the two legs."""

    formula: ClassVar[str] = "sym(u u'^T)"

    def __call__(self, first: Float[Tensor, "triplets 3"], second: Float[Tensor, "triplets 3"]) -> Tensor:
        """Matrices (triplets, 3, 3)."""
        cross = outer(normalize(first, dim=-1), normalize(second, dim=-1))
        return (cross + cross.mT) / 2


def outer(first: Float[Tensor, "*batch 3"], second: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The matrix |first><second|."""
    return first.unsqueeze(-1) * second.unsqueeze(-2)
