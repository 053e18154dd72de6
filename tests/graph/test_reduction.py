import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice
from support.zoo import ALL, FCC

from empnn import symmetry
from empnn.graph.reduction import reduce_cells

CELLS = ALL.cell.numpy()


def assert_reduced(cell: np.ndarray, reduced: np.ndarray, change: np.ndarray) -> None:
    """The same lattice, rows sorted by length, and an obtuse superbase of which the fourth vector is the longest."""
    assert change.dtype == np.int64
    np.testing.assert_array_equal(np.rint(np.linalg.det(change)) ** 2, 1)
    np.testing.assert_allclose(reduced, change @ cell, rtol=0, atol=1e-12 * np.abs(cell).max() * np.abs(change).max())
    lengths = np.linalg.norm(reduced, axis=-1)
    assert (np.diff(lengths, axis=1) >= -1e-9 * lengths[:, :1]).all()
    superbase = np.concatenate([reduced, -reduced.sum(1, keepdims=True)], axis=1)
    products = superbase @ superbase.transpose(0, 2, 1)
    scale = np.einsum("sii->s", products)[:, None, None]
    assert (products - 10 * scale * np.eye(4) <= 1e-8 * scale).all()


def test_the_zoo() -> None:
    assert_reduced(CELLS, *reduce_cells(CELLS))


@given(seed=st.integers(0, 2**32 - 1), factors=st.integers(0, 10), largest=st.integers(1, 4))
def test_any_basis_of_a_lattice_is_reduced_to_a_short_one(seed: int, factors: int, largest: int) -> None:
    g = symmetry.random_unimodular(len(ALL), torch.Generator().manual_seed(seed), factors, largest)
    skewed = symmetry.change_basis(ALL, g).cell.numpy()
    reduced, change = reduce_cells(skewed)
    assert_reduced(skewed, reduced, change)
    # Where vectors are orthogonal there are several obtuse superbases; the shortest vector is in all of them.
    before = np.linalg.norm(reduce_cells(CELLS)[0], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=-1)[:, 0], before[:, 0], rtol=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
def test_the_shortest_vector_is_that_of_the_niggli_cell(seed: int) -> None:
    cell = np.random.default_rng(seed).normal(0, 4, (1, 3, 3))
    reduced, _ = reduce_cells(cell)
    # The shortest of the sums of an obtuse superbase is the shortest of the lattice, as is the first Niggli vector.
    signs = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]])
    shortest = np.linalg.norm(signs @ reduced[0], axis=1).min()
    assert shortest == pytest.approx(min(Lattice(cell[0]).get_niggli_reduced_lattice().abc), rel=1e-5)


def test_a_search_box_in_the_reduced_basis_is_small() -> None:
    g = symmetry.random_unimodular(len(ALL), torch.Generator().manual_seed(0), factors=10, largest=3)
    skewed = symmetry.change_basis(ALL, g).cell.numpy()

    def defect(cell: np.ndarray) -> np.ndarray:
        return np.linalg.norm(cell, axis=-1).prod(-1) / np.abs(np.linalg.det(cell))

    assert defect(skewed).max() > 1e4
    assert defect(reduce_cells(skewed)[0]).max() < 3


def test_reduced_cells_are_left_as_they_are() -> None:
    box = np.diag([2.0, 3.0, 5.0])[None]
    reduced, change = reduce_cells(box)
    np.testing.assert_array_equal(np.abs(reduced), box)
    np.testing.assert_array_equal(np.abs(change), np.eye(3)[None])


def test_handedness_does_not_matter() -> None:
    mirrored = CELLS * np.array([1, 1, -1])
    reduced, change = reduce_cells(mirrored)
    assert_reduced(mirrored, reduced, change)
    np.testing.assert_allclose(
        np.linalg.norm(reduced, axis=-1), np.linalg.norm(reduce_cells(CELLS)[0], axis=-1), rtol=1e-9
    )


@pytest.mark.parametrize("height", [1e-2, 1e-5, 1e-9])
def test_nearly_flat_cells(height: float) -> None:
    flat = np.array([[[3.0, 0, 0], [0.5, 3.5, 0], [1.1, 0.7, height]]])
    assert_reduced(flat, *reduce_cells(flat))


@pytest.mark.parametrize(("short", "long"), [(3.0, 50.0), (3.0, 1e4), (0.8, 1e4)])
def test_elongated_and_slanted_cells(short: float, long: float) -> None:
    needle = np.array([[[short, 0, 0], [0.1, 3.5, 0], [0.9 * long, 0.3 * long, 0.3 * long]]])
    reduced, change = reduce_cells(needle)
    assert_reduced(needle, reduced, change)
    assert np.linalg.norm(reduced[0, 2]) < 0.3 * long + 5


def test_no_cells() -> None:
    reduced, change = reduce_cells(FCC.cell.numpy()[:0])
    assert reduced.shape == change.shape == (0, 3, 3)
