"""Left-trivialised gradients of lengths, angles and areas: d/dh f(h v, h v') at h = I (section 5.1).

The paper's equations 5 to 7 differentiate by the lattice itself, which gives u e^T: that is not equivariant as an
action from the left. Lengths, angles and areas are invariant under O(3), so their derivative along a rotation is zero
and these matrices are symmetric: the rows `grad-*` and `gradsym-*` of Table 2 are the same functions.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from empnn.fields.ketbra import outer

COLLINEAR = 1e-3
"""eps in sqrt(|v x v'|^2 + eps^2 r^2 r'^2), which keeps the fields of collinear triplets finite; they tend to 0."""


class LengthGradient:
    """The edge field grad r = u v^T = r u u^T, in angstrom."""

    formula: ClassVar[str] = "grad r = r u u^T"

    def __call__(self, vectors: Float[Tensor, "edges 3"]) -> Float[Tensor, "edges 3 3"]:
        """Matrices (edges, 3, 3)."""
        return _length_gradient(vectors)


class FirstLengthGradient:
    """The triplet field grad r of the first leg, in angstrom."""

    formula: ClassVar[str] = "grad r"

    def __call__(self, first: Float[Tensor, "triplets 3"], second: Float[Tensor, "triplets 3"]) -> Tensor:
        """Matrices (triplets, 3, 3)."""
        return _length_gradient(first)


class SecondLengthGradient:
    """The triplet field grad r' of the second leg, in angstrom."""

    formula: ClassVar[str] = "grad r'"

    def __call__(self, first: Float[Tensor, "triplets 3"], second: Float[Tensor, "triplets 3"]) -> Tensor:
        """Matrices (triplets, 3, 3)."""
        return _length_gradient(second)


class AngleGradient:
    """The triplet field grad theta = -(u u'^T + u' u^T - c (u u^T + u' u'^T)) / s, in radians.

    c and s are the cosine and sine of theta; s is floored smoothly by `COLLINEAR`. Frobenius norm sqrt(2) s.
    """

    formula: ClassVar[str] = "grad theta = -(u u'^T + u' u^T - c (u u^T + u' u'^T)) / s"

    def __call__(self, first: Float[Tensor, "triplets 3"], second: Float[Tensor, "triplets 3"]) -> Tensor:
        """Matrices (triplets, 3, 3)."""
        u, w = _unit(first), _unit(second)
        cosine = (u * w).sum(-1)[..., None, None]
        sine = (torch.linalg.cross(u, w).square().sum(-1) + COLLINEAR**2).sqrt()[..., None, None]
        cross = outer(u, w)
        gradient: Tensor = (cosine * (outer(u, u) + outer(w, w)) - cross - cross.mT) / sine
        return gradient


class AreaGradient:
    """The triplet field grad area = A (I - n n^T), n the unit normal of the triangle, in square angstrom."""

    formula: ClassVar[str] = "grad area = A (I - n n^T)"

    def __call__(self, first: Float[Tensor, "triplets 3"], second: Float[Tensor, "triplets 3"]) -> Tensor:
        """Matrices (triplets, 3, 3)."""
        normal = torch.linalg.cross(first, second)
        squared = normal.square().sum(-1)
        floor = COLLINEAR**2 * first.square().sum(-1) * second.square().sum(-1)
        doubled = (squared + floor).sqrt()[..., None, None]
        identity = torch.eye(3, dtype=first.dtype, device=first.device)
        gradient: Tensor = (squared[..., None, None] * identity - outer(normal, normal)) / (2 * doubled)
        return gradient


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


def _length_gradient(vectors: Tensor) -> Tensor:
    return outer(_unit(vectors), vectors)
