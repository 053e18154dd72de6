"""Vector fields on edges and triplets: infinitesimal deformations of the lattice (section 5.1, Definition 8).

A field maps vectors, in angstrom, to elements of gl(3) acting from the left: edge vectors v (edges, 3) to (edges, 3,
3), or both legs of a triplet, pointing away from their common point, to (triplets, 3, 3). It turns with the crystal,
field(v @ Q.T) = Q field(v) Q^T for Q in O(3); since v does not depend on the basis, it is invariant under SL3(Z). To
add a field, write a class with `formula` and `__call__` and name it in `EDGE_FIELDS` or `TRIPLET_FIELDS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from empnn.errors import ConfigError
from empnn.fields.gradient import ANGLE, AREA, FIRST_LENGTH, LENGTH, SECOND_LENGTH
from empnn.fields.in_plane import AlongEdge, Coefficients, Frame, InPlane
from empnn.fields.ketbra import (
    KETBRA,
    KETBRA_CROSS,
    KETBRA_CROSS_BACK,
    KETBRA_FIRST,
    KETBRA_SECOND,
    KETBRA_SYMMETRIC,
)


@runtime_checkable
class EdgeField(Protocol):
    """What a vector field on edges is."""

    @property
    def formula(self) -> str:
        """The field in words."""
        ...

    def __call__(self, vectors: Tensor) -> Tensor:
        """Matrices (edges, 3, 3) of the edge vectors (edges, 3)."""
        ...


@runtime_checkable
class TripletField(Protocol):
    """What a vector field on triplets is."""

    @property
    def formula(self) -> str:
        """The field in words."""
        ...

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Matrices (triplets, 3, 3) of both legs (triplets, 3)."""
        ...


@dataclass(frozen=True)
class FieldSet:
    """The fields a model acts with: one row of the paper's Table 2, or any combination.

    Attributes:
        edges: Fields on edges.
        triplets: Fields on triplets.
    """

    edges: tuple[EdgeField, ...] = ()
    triplets: tuple[TripletField, ...] = ()

    @property
    def formula(self) -> str:
        """The fields in words."""
        parts = [f"{name}: {', '.join(f.formula for f in fields)}" for name, fields in self._named() if fields]
        return "; ".join(parts)

    def _named(self) -> tuple[tuple[str, Sequence[EdgeField | TripletField]], ...]:
        return (("edges", self.edges), ("triplets", self.triplets))


EDGE_FIELDS: dict[str, EdgeField] = {"ketbra": KETBRA, "grad-r": LENGTH}
"""Single fields on edges, by the names used in lists for `model.fields`."""

TRIPLET_FIELDS: dict[str, TripletField] = {
    "ketbra-first": KETBRA_FIRST,
    "ketbra-second": KETBRA_SECOND,
    "ketbra-sym": KETBRA_SYMMETRIC,
    "ketbra-cross": KETBRA_CROSS,
    "ketbra-cross-back": KETBRA_CROSS_BACK,
    "grad-r-first": FIRST_LENGTH,
    "grad-r-second": SECOND_LENGTH,
    "grad-area": AREA,
    "grad-theta": ANGLE,
}
"""Single fields on triplets, by the names used in lists for `model.fields`."""

_KETBRA_LEGS = (KETBRA_FIRST, KETBRA_SECOND)
_LENGTHS = (FIRST_LENGTH, SECOND_LENGTH)

_GRADIENTS = {
    "r-e": FieldSet(edges=(LENGTH,)),
    "r-t": FieldSet(triplets=_LENGTHS),
    "r-e-t": FieldSet(edges=(LENGTH,), triplets=_LENGTHS),
    "r-e-t-area": FieldSet(edges=(LENGTH,), triplets=(*_LENGTHS, AREA)),
    "r-e-t-theta": FieldSet(edges=(LENGTH,), triplets=(*_LENGTHS, ANGLE)),
}

TABLE2: dict[str, FieldSet] = {
    "ketbra-e": FieldSet(edges=(KETBRA,)),
    "ketbra-t": FieldSet(triplets=_KETBRA_LEGS),
    "ketbra-e-t": FieldSet(edges=(KETBRA,), triplets=_KETBRA_LEGS),
    "ketbra-e-tsym": FieldSet(edges=(KETBRA,), triplets=(*_KETBRA_LEGS, KETBRA_SYMMETRIC)),
    "ketbra-e-tall": FieldSet(edges=(KETBRA,), triplets=(*_KETBRA_LEGS, KETBRA_CROSS, KETBRA_CROSS_BACK)),
    **{f"grad-{name}": fields for name, fields in _GRADIENTS.items()},
    **{f"gradsym-{name}": fields for name, fields in _GRADIENTS.items()},
}
"""The fifteen rows of Table 2 by the names used in `model.fields`. `grad-*` and `gradsym-*` are the same functions."""


def field_set(name: Any) -> FieldSet:
    """A row of Table 2 by its key, or a combination of single fields by their names.

    Raises:
        ConfigError: If a name does not exist or occurs twice, or there is none.
    """
    if not isinstance(name, str) and not (isinstance(name, Sequence) and all(isinstance(n, str) for n in name)):
        raise ConfigError(f"model.fields={name}: must be a row ({', '.join(TABLE2)}) or a list of fields")
    if isinstance(name, str):
        if name not in TABLE2:
            raise ConfigError(
                f"model.fields={name} does not exist; use one of {', '.join(TABLE2)}, or a list of fields"
            )
        return TABLE2[name]
    unknown = [n for n in name if n not in EDGE_FIELDS and n not in TRIPLET_FIELDS]
    if unknown or not name:
        known = ", ".join([*EDGE_FIELDS, *TRIPLET_FIELDS])
        raise ConfigError(f"model.fields: no field {', '.join(unknown) or 'given'}; use some of {known}")
    if len(set(name)) < len(name):
        raise ConfigError(f"model.fields={list(name)}: a field occurs twice")
    return FieldSet(
        edges=tuple(EDGE_FIELDS[n] for n in name if n in EDGE_FIELDS),
        triplets=tuple(TRIPLET_FIELDS[n] for n in name if n in TRIPLET_FIELDS),
    )


__all__ = [
    "EDGE_FIELDS",
    "KETBRA",
    "TABLE2",
    "TRIPLET_FIELDS",
    "AlongEdge",
    "Coefficients",
    "EdgeField",
    "FieldSet",
    "Frame",
    "InPlane",
    "TripletField",
    "field_set",
]
