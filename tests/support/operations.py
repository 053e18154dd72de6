"""The operations of a crystal as spglib finds them, and how far they are from those of another; numpy alone."""

import warnings

import numpy as np
import spglib
from ase import Atoms

SYMPREC = 1e-5
Operations = tuple[np.ndarray, np.ndarray]
"""W (operations, 3, 3) and t (operations, 3), on fractional coordinates."""


def operations(atoms: Atoms) -> Operations:
    """W and t of all operations that spglib finds; the identity where it finds none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = spglib.get_symmetry((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=SYMPREC)
    return (np.eye(3)[None], np.zeros((1, 3))) if found is None else (found["rotations"], found["translations"])


def broken(atoms: Atoms, found: Operations) -> tuple[float, float]:
    """How far the operations are from symmetries of the cell, and of the atoms, in angstrom."""
    rotations, translations = found
    cell, frac = atoms.cell.array, atoms.get_scaled_positions()
    turned = np.linalg.solve(cell, (rotations.transpose(0, 2, 1) @ cell)).transpose(0, 2, 1)
    left, _, right = np.linalg.svd(turned)
    of_cell = np.linalg.norm(np.einsum("nij,kj->nki", turned - left @ right, cell), axis=-1).max()
    apart = (frac @ rotations.transpose(0, 2, 1) + translations[:, None])[:, :, None] - frac
    distances = np.linalg.norm((apart - np.rint(apart)) @ cell, axis=-1)
    distances[:, atoms.numbers[:, None] != atoms.numbers] = np.inf
    return float(of_cell), float(distances.min(2).max())
