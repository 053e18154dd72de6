"""Vector fields on edges: infinitesimal deformations of the lattice (section 5.1, Definition 8).

A field maps edge vectors v (edges, 3), in angstrom, to elements of gl(3) acting from the left, (edges, 3, 3), with
field(v @ Q.T) = Q field(v) Q^T for Q in O(3). Since v does not depend on the basis, fields are invariant under
SL3(Z). To add one: write a class with `formula` and `__call__`, and a line in `TABLE2`.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from empnn.fields.ketbra import KetBra


@runtime_checkable
class EdgeField(Protocol):
    """What a vector field on edges is."""

    formula: ClassVar[str]

    def __call__(self, vectors: Tensor) -> Tensor:
        """Matrices (edges, 3, 3) of the edge vectors (edges, 3)."""
        ...


@dataclass(frozen=True)
class FieldSet:
    """The fields a model acts with: one row of the paper's Table 2."""

    edges: tuple[EdgeField, ...]


TABLE2: dict[str, FieldSet] = {
    "ketbra-e": FieldSet(edges=(KetBra(),)),
}
"""Rows of Table 2 by the names used in `model.fields`."""

__all__ = ["TABLE2", "EdgeField", "FieldSet", "KetBra"]
