"""Selling reduction: a compact basis for any lattice, however skewed its cell is written, and minimum images.

Neighbour search looks through a box of lattice translations. In a skewed basis that box is huge, in a reduced one
it is small; the set of neighbours is the same.
"""

from itertools import product

import numpy as np

_MAX_STEPS = 10_000
_MAX_SWEEPS = 200
_TOLERANCE = 1e-9
_NEIGHBOURS = np.array(list(product((-1, 0, 1), repeat=3)))
_PAIRS = np.array([(i, j) for i in range(4) for j in range(i + 1, 4)])


def reduce_cells(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduce every cell: `reduced = change @ cell`, rows sorted by length.

    First whole multiples of shorter vectors are taken off longer ones, which makes short work of a very slanted cell.
    Then Selling's algorithm: extend the basis by b4 = -(b1 + b2 + b3) and, while two of the four vectors enclose an
    acute angle, replace them, b_i -> -b_i and b_k -> b_k + b_i for the two others. Then keep the three shortest.

    Args:
        cell: Shape (structures, 3, 3), rows, angstrom; must not be singular.

    Returns:
        The reduced cells and the integer changes of basis (determinant +1 or -1), both (structures, 3, 3).

    Raises:
        ValueError: If a cell is so degenerate that the reduction does not end.
    """
    base = _shorten(cell)
    change = np.concatenate([base, -base.sum(1, keepdims=True)], axis=1)
    active = np.arange(len(cell))
    for _ in range(_MAX_STEPS):
        vectors = change[active] @ cell[active]
        products = vectors @ vectors.transpose(0, 2, 1)
        acute = products[:, _PAIRS[:, 0], _PAIRS[:, 1]]
        scale = np.einsum("sii->s", products)
        worst = acute.argmax(axis=1)
        unfinished = acute.max(axis=1) > _TOLERANCE * scale
        active, worst = active[unfinished], worst[unfinished]
        if len(active) == 0:
            break
        _flip(change, active, _PAIRS[worst])
    else:
        raise ValueError("lattice reduction did not end: the cell is too close to singular")
    lengths = np.linalg.norm(change @ cell, axis=-1)
    order = np.argsort(lengths, axis=1, kind="stable")[:, :3]
    kept = np.take_along_axis(change, order[..., None], axis=1)
    return kept @ cell, kept


def minimum_images(shift: np.ndarray, cell: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The shortest Cartesian vectors that differ from the given ones by lattice vectors.

    Args:
        shift: Vectors in the basis of the cells, (vectors, 3).
        cell: Shape (structures, 3, 3), rows, angstrom; must not be singular.
        index: Structure of each vector, (vectors,).

    Returns:
        Shape (vectors, 3), angstrom. Invariant under SL3(Z), but for the choice among equally short images.
    """
    reduced, change = reduce_cells(cell)
    # shift @ cell = shift @ inv(change) @ reduced; in a reduced basis the nearest image is among the neighbours.
    components = np.einsum("vi,vij->vj", shift, np.linalg.inv(change)[index])
    components = components - np.rint(components)
    images = np.einsum("vni,vij->vnj", components[:, None] + _NEIGHBOURS, reduced[index])
    nearest = np.square(images).sum(-1).argmin(1)
    shortest: np.ndarray = images[np.arange(len(images)), nearest]
    return shortest


def _shorten(cell: np.ndarray) -> np.ndarray:
    """Integer changes of basis after which no vector gets shorter by whole multiples of another one."""
    change = np.broadcast_to(np.eye(3, dtype=np.int64), cell.shape).copy()
    for _ in range(_MAX_SWEEPS):
        changed = False
        vectors = change @ cell
        for i, j in ((0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)):
            first, second = vectors[:, i], vectors[:, j]
            along = np.einsum("sx,sx->s", first, second) / np.einsum("sx,sx->s", second, second)
            far = np.flatnonzero(np.abs(along) > 0.5 + _TOLERANCE)
            if len(far):
                change[far, i] -= np.rint(along[far, None]).astype(np.int64) * change[far, j]
                vectors[far, i] = (change[far, i, None] @ cell[far])[:, 0]
                changed = True
        if not changed:
            break
    return change


def _flip(change: np.ndarray, active: np.ndarray, pair: np.ndarray) -> None:
    first, second = pair.T
    moved = change[active, first]
    others = np.ones((len(active), 4), dtype=bool)
    rows = np.arange(len(active))
    others[rows, first] = False
    others[rows, second] = False
    updated = change[active]
    updated[others] += np.repeat(moved, 2, axis=0)
    updated[rows, first] = -moved
    change[active] = updated
