"""In how many directions of space the atoms of a crystal hang together."""

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from empnn.graph.graph import Graph

_ROUNDING = 1e-6
"""Square angstrom; the shortest lattice translation squared is far above it."""


def dimensions(graph: Graph, longest: float) -> np.ndarray:
    """In how many directions the atoms of each structure hang together by edges up to a length (structures,).

    0 for molecules, 1 for wires, 2 for sheets, 3 for what fills space; of parts that do not hang together the largest
    counts. Every atom is placed next to a neighbour that has been placed; edges that do not lead to where their target
    then is differ from it by lattice translations, which span the directions. Invariant under Euc(3), SL3(Z) and S_n.

    Args:
        graph: Edges of crystals that go both ways, as those of `cutoff` do.
        longest: Longest edge that is looked at, in angstrom.
    """
    vectors = graph.vectors.numpy()
    near = np.einsum("ex,ex->e", vectors, vectors) <= longest**2
    source, target, vectors = graph.source.numpy()[near], graph.target.numpy()[near], vectors[near]
    atoms = graph.n_atoms
    matrix = csr_matrix((np.ones(len(source)), (source, target)), (atoms, atoms))
    count, part = connected_components(matrix, connection="strong")
    first = np.unique(part, return_index=True)[1]
    placed, places = np.zeros(atoms, dtype=bool), np.zeros((atoms, 3))
    placed[first] = True
    left = np.arange(len(source))
    while len(left := left[~placed[target[left]]]):
        new = left[placed[source[left]]]
        places[target[new]] = places[source[new]] + vectors[new]
        placed[target[new]] = True
    translations = places[source] + vectors - places[target]
    spanned = np.zeros((count, 3, 3))
    for i, j in np.ndindex(3, 3):
        spanned[:, i, j] = np.bincount(part[source], translations[:, i] * translations[:, j], count)
    tolerance = 1e-9 * np.trace(spanned, axis1=1, axis2=2) + _ROUNDING
    rank = np.linalg.matrix_rank(spanned, tolerance, hermitian=True)
    found = np.zeros(graph.n_structures, dtype=np.int64)
    np.maximum.at(found, graph.atom_batch.numpy()[first], rank)
    return found
