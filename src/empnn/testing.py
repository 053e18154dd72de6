"""Equivariance under Euc(3) x SL3(Z) x S_n, checked numerically for any network, layer or field.

How a result must transform is told by its name, in one table: `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from empnn import symmetry
from empnn.crystals import CrystalBatch
from empnn.graph import Graph, GraphRule, knn

VECTOR_FLOOR = 1e-2
"""Errors of vectors are relative to this at least, in angstrom: symmetry makes some vanish but for rounding."""

Kind = Literal["structure", "operator", "cell", "atom", "vector", "edge", "edge operator"]

KINDS: dict[str, Kind] = {
    "action": "operator",
    "steps": "operator",
    "displacement": "vector",
    "features": "structure",
    "cell": "cell",
    "atoms": "atom",
    "edges": "edge",
    "field": "edge operator",
}
"""Results by name. `structure`, `atom`, `edge`: invariant scalars of each; `operator`: (..., structures, 3, 3), acting
from the left, h -> Q h Q^T; `vector`: (atoms, 3), Cartesian, d -> Q d; `cell`: (..., structures, 3, 3), rows; `edge
operator`: (edges, 3, 3)."""


@dataclass(frozen=True)
class Moved:
    """A group element applied to crystals.

    Attributes:
        group: Name of the group.
        crystals: The moved crystals.
        orthogonal: Q per structure, identity if the group does not rotate.
        order: New atom i is old atom `order[i]`.
        unimodular: g per structure, identity if the group does not change the basis.
    """

    group: str
    crystals: CrystalBatch
    orthogonal: Tensor
    order: Tensor
    unimodular: Tensor


def moves(crystals: CrystalBatch, generator: torch.Generator) -> Iterator[Moved]:
    """A random element of each group: O(3), translations, S_n, and SL3(Z) mild and strongly skewed."""
    n = len(crystals)
    identity = torch.eye(3, dtype=torch.float64).repeat(n, 1, 1)
    same, order = identity.to(torch.int64), torch.arange(crystals.n_atoms)
    q = symmetry.random_orthogonal(n, generator)
    yield Moved("O(3)", symmetry.rotate(crystals, q), q, order, same)
    v = symmetry.random_translation(n, generator)
    yield Moved("translation", symmetry.translate(crystals, v), identity, order, same)
    s = symmetry.random_permutation(crystals, generator)
    yield Moved("S_n", symmetry.permute(crystals, s), identity, s, same)
    for name, factors, largest in (("SL3(Z) mild", 3, 1), ("SL3(Z) skewed", 8, 3)):
        g = symmetry.random_unimodular(n, generator, factors, largest)
        yield Moved(name, symmetry.change_basis(crystals, g), identity, order, g)


def equivariance_errors(
    subject: Callable[..., Any],
    batch: CrystalBatch,
    *,
    rule: GraphRule | None = None,
    kinds: Mapping[str, Kind] | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, dict[str, float]]:
    """Worst error of each result under each group, relative to the largest entry of the result: {result: {group: e}}.

    Args:
        subject: A network or function of a `CrystalBatch` that returns a tensor, mapping or dataclass of tensors; or,
            with `rule`, a function of a `Graph`, such as `lambda graph: field(graph.vectors)`.
        batch: Crystals to try it on.
        rule: Neighbour rule, if the subject takes a graph. A single tensor is then called `field`, else `action`.
        kinds: How results transform, where `KINDS` does not say.
        generator: Source of the group elements.
    """
    generator = generator or torch.Generator().manual_seed(0)
    table = {**KINDS, **(kinds or {})}
    before = _results(subject, batch, rule)
    errors: dict[str, dict[str, float]] = {name: {} for name in before}
    for moved in moves(batch, generator):
        after = _results(subject, moved.crystals, rule)
        for name, value in before.items():
            if name not in table:
                raise ValueError(f"say how {name} transforms: kinds={{{name!r}: ...}}")
            expected, actual = _pair(table[name], value, after[name], batch, moved, rule)
            floor = VECTOR_FLOOR if table[name] == "vector" else torch.finfo(torch.float64).tiny
            scale = max(float(expected.abs().max()), floor)
            errors[name][moved.group] = float((expected - actual).abs().max()) / scale
    return errors


def assert_equivariant(
    model_or_field: Callable[..., Any],
    batch: CrystalBatch,
    *,
    tolerance: float = 1e-9,
    rule: GraphRule | None = None,
    kinds: Mapping[str, Kind] | None = None,
    generator: torch.Generator | None = None,
) -> None:
    """Check that a network, layer or field is equivariant under Euc(3), SL3(Z) and S_n.

    Args:
        model_or_field: See `equivariance_errors`.
        batch: Crystals to try it on.
        tolerance: Largest relative error: 1e-9 for float64, 1e-4 for float32.
        rule: See `equivariance_errors`.
        kinds: See `equivariance_errors`.
        generator: Source of the group elements.

    Raises:
        AssertionError: With a table of the error of each result under each group.
    """
    __tracebackhide__ = True
    errors = equivariance_errors(model_or_field, batch, rule=rule, kinds=kinds, generator=generator)
    if not all(e <= tolerance for groups in errors.values() for e in groups.values()):
        rows = [f"  {name:<12} {group:<14} {e:.2e}" for name, groups in errors.items() for group, e in groups.items()]
        raise AssertionError("\n".join([f"not equivariant to {tolerance:g}; relative errors:", *rows]))


def match_edges(first: Graph, second: Graph, moved: Moved) -> np.ndarray:
    """For each edge of `first` the edge of `second` it became under a group element.

    Edges correspond if they connect the same atoms by the same, rotated, vector.

    Raises:
        AssertionError: If the two edge sets are not the same.
    """
    order = moved.order
    vectors = (moved.orthogonal[first.batch] @ first.vectors.unsqueeze(-1)).squeeze(-1)
    here = torch.cat([first.source[:, None], first.target[:, None], vectors], dim=1)
    there = torch.cat([order[second.source][:, None], order[second.target][:, None], second.vectors], dim=1)
    if len(first) != len(second):
        raise AssertionError(f"{moved.group}: {len(first)} edges became {len(second)}")
    distance, match = KDTree(there.numpy()).query(here.numpy())
    if len(first) and (distance.max() > 1e-6 or len(np.unique(match)) != len(first)):
        raise AssertionError(f"{moved.group}: the edge set changed (farthest edge {distance.max():.2e} angstrom off)")
    return np.asarray(match, dtype=np.int64)


def _results(subject: Callable[..., Any], batch: CrystalBatch, rule: GraphRule | None) -> dict[str, Tensor]:
    with torch.no_grad():
        result = subject(batch if rule is None else rule(batch))
    if isinstance(result, Tensor):
        return {"action" if rule is None else "field": result}
    if is_dataclass(result):
        result = {f.name: getattr(result, f.name) for f in fields(result)}
    return {name: value for name, value in result.items() if value is not None}


def _pair(
    kind: Kind, before: Tensor, after: Tensor, batch: CrystalBatch, moved: Moved, rule: GraphRule | None
) -> tuple[Tensor, Tensor]:
    """What the result should be after the group element, and what it is."""
    before, after = before.to(torch.float64), after.to(torch.float64)
    q = moved.orthogonal
    if kind == "operator":
        return q @ before @ q.mT, after
    if kind == "cell":
        return torch.linalg.inv(moved.unimodular.to(torch.float64)).mT @ before @ q.mT, after
    if kind == "vector":
        return (q[batch.batch] @ before.unsqueeze(-1)).squeeze(-1)[moved.order], after
    if kind == "atom":
        return before[moved.order], after
    if kind in ("edge", "edge operator"):
        rule = rule or knn(8)
        graph = rule(batch)
        match = match_edges(graph, rule(moved.crystals), moved)
        rotated = q[graph.batch] @ before @ q[graph.batch].mT if kind == "edge operator" else before
        return rotated, after[match]
    return before, after
