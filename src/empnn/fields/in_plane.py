"""Fields made of the directions of edges alone, so that their weighted sums need no matrix per edge or triplet.

With u = v / r, and primes for the second leg of a triplet, such a field is a combination of u u^T, u' u'^T, sym(u u'^T)
and the antisymmetric part of u u'^T whose coefficients are invariants. A layer sums coefficients times weights first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize


class Frame(NamedTuple):
    """Invariants of triplets.

    Attributes:
        first: Length r of the first leg, angstrom.
        second: Length r' of the second leg, angstrom.
        cosine: Cosine of the angle between them.
        squared_sine: Square of its sine.
    """

    first: Tensor
    second: Tensor
    cosine: Tensor
    squared_sine: Tensor


class Coefficients(NamedTuple):
    """Coefficients of a triplet field, each a number or one of each triplet.

    Attributes:
        first: Of u u^T.
        second: Of u' u'^T.
        symmetric: Of (u u'^T + u' u^T) / 2.
        antisymmetric: Of (u u'^T - u' u^T) / 2.
    """

    first: Tensor | float = 0.0
    second: Tensor | float = 0.0
    symmetric: Tensor | float = 0.0
    antisymmetric: Tensor | float = 0.0


@dataclass(frozen=True)
class AlongEdge:
    """The edge field c(r) u u^T.

    Attributes:
        formula: The field in words.
        coefficient: c, a function of the lengths (edges,) in angstrom.
    """

    formula: str
    coefficient: Callable[[Tensor], Tensor]

    def __call__(self, vectors: Float[Tensor, "edges 3"]) -> Float[Tensor, "edges 3 3"]:
        """Matrices (edges, 3, 3) of the edge vectors, angstrom."""
        unit = normalize(vectors, dim=-1)
        return self.coefficient(torch.linalg.vector_norm(vectors, dim=-1))[..., None, None] * outer(unit, unit)


@dataclass(frozen=True)
class InPlane:
    """A triplet field in the plane of both legs.

    Attributes:
        formula: The field in words.
        coefficients: Its coefficients as functions of the invariants.
    """

    formula: str
    coefficients: Callable[[Frame], Coefficients]

    def __call__(self, first: Float[Tensor, "triplets 3"], second: Float[Tensor, "triplets 3"]) -> Tensor:
        """Matrices (triplets, 3, 3) of both legs, angstrom."""
        u, w = normalize(first, dim=-1), normalize(second, dim=-1)
        r, s = (torch.linalg.vector_norm(leg, dim=-1) for leg in (first, second))
        found = self.coefficients(Frame(r, s, (u * w).sum(-1), torch.linalg.cross(u, w).square().sum(-1)))
        cross = outer(u, w)
        parts = (outer(u, u), outer(w, w), (cross + cross.mT) / 2, (cross - cross.mT) / 2)
        terms = [torch.as_tensor(c)[..., None, None] * part for c, part in zip(found, parts, strict=True)]
        return torch.stack(terms).sum(0)


def outer(first: Float[Tensor, "*batch 3"], second: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The matrix |first><second|."""
    return first.unsqueeze(-1) * second.unsqueeze(-2)
