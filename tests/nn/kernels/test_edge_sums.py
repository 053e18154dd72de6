"""Chunked sums over pairs against the concatenation [h_i || h_j || f], one product and a scatter, with gradients."""

import itertools
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu

from empnn.graph import Pairs
from empnn.graph import grouping as pairs_module
from empnn.graph.grouping import make_pairs
from empnn.nn.kernels.edge_sums import (
    angles_between,
    project,
    sum_left,
    sum_of_sides,
    sum_over_right,
    sum_right,
    take_right,
)

FEATURES, EXTRA, WEIGHTS = 4, 3, 2
ROW_STARTS = np.array([0, 3, 3, 9, 10, 14])
"""Five structures, one of them without rows, one with a single row."""


def some_pairs(chunk: int, monkeypatch: pytest.MonkeyPatch, step: int = 3) -> Pairs:
    """Random pairs within structures, in random numbers; some rows have none."""
    monkeypatch.setattr(pairs_module, "CHUNK", chunk)
    monkeypatch.setattr(pairs_module, "STEP", step)
    generator = np.random.default_rng(0)
    left, right = [], []
    for start, stop in itertools.pairwise(ROW_STARTS):
        for row in range(start, stop):
            own = generator.integers(start, stop, size=generator.integers(0, 6))
            left += [row] * len(own)
            right += own.tolist()
    return make_pairs(np.array(left), np.array(right), ROW_STARTS)


@pytest.fixture(params=[1, 7, 1000])
def pairs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Pairs:
    return some_pairs(request.param, monkeypatch)


def inputs(pairs: Pairs) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "table": (pairs.n_rows, 2 * FEATURES),
        "features": (len(pairs), EXTRA),
        "weight": (FEATURES, EXTRA),
        "projection": (WEIGHTS, FEATURES),
    }
    made = {n: torch.randn(s, dtype=torch.float64, generator=generator) for n, s in shapes.items()}
    return {name: tensor.requires_grad_() for name, tensor in made.items()}


def mapped(given: dict[str, Tensor], pairs: Pairs) -> Tensor:
    """[W_1 || W_2 || W] [h_i || h_j || f] where the table is W_1 h || W_2 h."""
    table = given["table"]
    sides = torch.cat([table[pairs.left, :FEATURES], table[pairs.right, FEATURES:], given["features"]], dim=1)
    identity = torch.eye(FEATURES, dtype=torch.float64)
    return sides @ torch.cat([identity, identity, given["weight"]], dim=1).T


def summed(given: dict[str, Tensor], pairs: Pairs) -> Tensor:
    rows = torch.zeros(pairs.n_rows, FEATURES, dtype=torch.float64)
    return rows.index_add(0, pairs.left, silu(mapped(given, pairs)))


def cosine_and_squared_sine(first: Tensor, second: Tensor) -> Tensor:
    u, w = (v / v.norm(dim=1, keepdim=True) for v in (first, second))
    return torch.stack([(u * w).sum(1), torch.linalg.cross(u, w).square().sum(1)], dim=1)


CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "sum": (lambda g, p: sum_over_right(g["table"], g["features"], g["weight"], p), summed),
    "project": (
        lambda g, p: project(g["table"], g["features"], g["weight"], g["projection"], p),
        lambda g, p: silu(mapped(g, p)) @ g["projection"].T,
    ),
    "left": (
        lambda g, p: sum_left(g["features"], p),
        lambda g, p: torch.zeros(p.n_rows, EXTRA, dtype=torch.float64).index_add(0, p.left, g["features"]),
    ),
    "right": (
        lambda g, p: sum_right(g["features"], p),
        lambda g, p: torch.zeros(p.n_rows, EXTRA, dtype=torch.float64).index_add(0, p.right, g["features"]),
    ),
    "take": (lambda g, p: take_right(g["table"], p), lambda g, p: g["table"][p.right]),
    "angles": (
        lambda g, p: angles_between(torch.nn.functional.normalize(g["table"][:, :3], dim=1), p),
        lambda g, p: cosine_and_squared_sine(*(g["table"][side, :3] for side in (p.left, p.right))),
    ),
    "sides": (lambda g, p: sum_of_sides(g["table"], g["features"], g["weight"], p), mapped),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_the_concatenation(case: str, pairs: Pairs) -> None:
    ours, literal = CASES[case]
    given = inputs(pairs)
    torch.testing.assert_close(ours(given, pairs), literal(given, pairs))
    parts = {
        "project": list(given),
        "sum": ["table", "features", "weight"],
        "sides": ["table", "features", "weight"],
        "left": ["features"],
        "right": ["features"],
    }
    used = [given[name] for name in parts.get(case, ["table"])]
    found = torch.autograd.grad(ours(given, pairs).sin().sum(), used)
    expected = torch.autograd.grad(literal(given, pairs).sin().sum(), used)
    torch.testing.assert_close(found, expected)


def test_features_that_need_no_gradient_get_none(pairs: Pairs) -> None:
    given = inputs(pairs)
    given["features"] = given["features"].detach()
    for function in (sum_over_right, sum_of_sides):
        given["weight"].grad = None
        function(given["table"], given["features"], given["weight"], pairs).sum().backward()
        assert given["features"].grad is None
        assert given["weight"].grad is not None


@pytest.mark.parametrize("rows", [0, 3])
def test_no_pairs(rows: int) -> None:
    none = make_pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.array([0, rows]))
    given = inputs(none)
    total = sum_over_right(given["table"], given["features"], given["weight"], none)
    assert torch.equal(total, torch.zeros(rows, FEATURES, dtype=torch.float64))
    weights = project(given["table"], given["features"], given["weight"], given["projection"], none)
    assert weights.shape == (0, WEIGHTS)
    sides = sum_of_sides(given["table"], given["features"], given["weight"], none)
    (total.sum() + weights.sum() + sides.sum()).backward()
    assert float(given["table"].grad.abs().sum()) == float(given["weight"].grad.abs().sum()) == 0


def test_chunks_cover_all_and_split_no_row_and_no_structure(pairs: Pairs) -> None:
    for chunks, boundaries in ((pairs.row_chunks, np.arange(15)), (pairs.structure_chunks, ROW_STARTS)):
        for runs, last in (([c.rows for c in chunks], pairs.n_rows), ([c.pairs for c in chunks], len(pairs))):
            assert runs[0].start == 0
            assert runs[-1].stop == last
            assert all(a.stop == b.start for a, b in itertools.pairwise(runs))
        assert {r for c in chunks for r in (c.rows.start, c.rows.stop)} <= set(boundaries.tolist())
        for chunk in chunks:
            assert set(pairs.left[chunk.pairs].tolist()) <= set(range(15)[chunk.rows])
    for chunk in pairs.structure_chunks:
        assert set(pairs.right[chunk.pairs].tolist()) <= set(range(15)[chunk.rows])


def test_a_window_holds_its_chunk(pairs: Pairs) -> None:
    every = torch.arange(len(pairs))
    for chunk in (*pairs.row_chunks, *pairs.structure_chunks, pairs.whole):
        assert torch.equal(every[chunk.window][chunk.inside], every[chunk.pairs])
        size = len(every[chunk.window])
        assert size == len(pairs) or size % pairs_module.STEP == 0
        assert size - len(every[chunk.pairs]) < pairs_module.STEP


def test_a_chunk_holds_about_as_many_pairs_as_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = some_pairs(7, monkeypatch)
    sizes = [c.pairs.stop - c.pairs.start for c in fine.row_chunks]
    assert max(sizes) <= 7
    assert len(sizes) <= 1 + len(fine) / (7 - 5)
    few = some_pairs(1000, monkeypatch)
    assert len(few) % pairs_module.STEP
    assert len(few.row_chunks) == len(few.structure_chunks) == 2
    assert not any((c.window.stop - c.window.start) % pairs_module.STEP for c in few.row_chunks)
    fewer = some_pairs(1000, monkeypatch, step=len(few) + 1)
    assert len(fewer.row_chunks) == len(fewer.structure_chunks) == 1


def test_a_part_is_what_its_structures_give_alone(pairs: Pairs) -> None:
    for first, last in itertools.combinations(range(6), 2):
        (r0, r1), part = ROW_STARTS[[first, last]], pairs.part(first, last)
        own = (pairs.left >= int(r0)) & (pairs.left < int(r1))
        left, right = (side[own].numpy() - r0 for side in (pairs.left, pairs.right))
        alone = make_pairs(left, right, ROW_STARTS[first : last + 1] - r0)
        for field in fields(Pairs):
            assert torch.equal(getattr(part, field.name), getattr(alone, field.name)), field.name


def test_both_orders_are_grouped(pairs: Pairs) -> None:
    for row in range(pairs.n_rows):
        own = slice(int(pairs.left_starts[row]), int(pairs.left_starts[row + 1]))
        assert torch.equal(torch.nonzero(pairs.left == row).flatten(), torch.arange(len(pairs))[own])
        there = pairs.by_right[int(pairs.right_starts[row]) : int(pairs.right_starts[row + 1])]
        assert torch.equal(there.sort().values, torch.nonzero(pairs.right == row).flatten())
