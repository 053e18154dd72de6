"""Crystals of a few well-known structures, and crystals distorted within their symmetry, written anyhow."""

from __future__ import annotations

import numpy as np
import torch

from empnn import symmetry
from empnn.crystals import CrystalBatch, from_arrays
from empnn.data.curation.standard_form import Standardised, standard_form

FCC = np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2


def crystal(cell: object, frac: object, numbers: object) -> CrystalBatch:
    return from_arrays(np.array(cell, dtype=float), np.array(frac, dtype=float), np.array(numbers))


def rocksalt(a: float, cation: int, anion: int, at: float = 0.0) -> CrystalBatch:
    return crystal(a * FCC, np.array([[0.0] * 3, [0.5] * 3]) + at, [cation, anion])


def half_heusler(a: float, numbers: tuple[int, int, int], places: tuple[float, float, float]) -> CrystalBatch:
    """Two species make a rocksalt, the third one fills half the tetrahedra; `places` along the cube's diagonal."""
    return crystal(a * FCC, np.array(places)[:, None] * np.ones(3), numbers)


def perovskite(a: float, corner: int, centre: int, faces: int) -> CrystalBatch:
    halves = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return crystal(np.eye(3) * a, halves, [corner, centre, faces, faces, faces])


def antiperovskite(a: float, corner: int, centre: int, edges: int) -> CrystalBatch:
    """The perovskite structure with the octahedron about the origin."""
    return crystal(
        np.eye(3) * a,
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]],
        [centre, corner, edges, edges, edges],
    )


def wurtzite(a: float, c: float, u: float, cation: int, anion: int, mirrored: bool = False) -> CrystalBatch:
    z = np.array([0.0, 0.5, u, u + 0.5])
    cell = [[a, 0, 0], [-a / 2, a * 3**0.5 / 2, 0], [0, 0, c]]
    xy = [[1 / 3, 2 / 3], [2 / 3, 1 / 3]] * 2
    frac = [[x, y, -at if mirrored else at] for (x, y), at in zip(xy, z, strict=True)]
    return crystal(cell, frac, [cation, cation, anion, anion])


def tellurium(a: float, c: float, u: float, number: int, mirrored: bool = False) -> CrystalBatch:
    """Helices of one hand or the other, which make two space groups."""
    cell = np.array([[a, 0, 0], [-a / 2, a * 3**0.5 / 2, 0], [0, 0, -c if mirrored else c]])
    return crystal(cell, [[u, 0, 1 / 3], [0, u, 2 / 3], [-u, -u, 0]], [number] * 3)


def spinel(a: float, u: float, tetrahedral: int, octahedral: int, anion: int) -> CrystalBatch:
    """Origin at the inversion centre; the cubic parameter u is that of the anions at 32e."""
    places = [[[0.125] * 3, [0.875] * 3]]
    places += [[[0.5] * 3, [0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]]
    v = 0.25 - u
    places += [[[u] * 3, [u, v, v], [v, u, v], [v, v, u], [-u] * 3, [-u, -v, -v], [-v, -u, -v], [-v, -v, -u]]]
    numbers = np.repeat([tetrahedral, octahedral, anion], [len(each) for each in places])
    return crystal(a * FCC, np.concatenate(places) @ np.linalg.inv(FCC), numbers)


def form(one: CrystalBatch) -> Standardised:
    found = standard_form(one.cell[0].numpy(), one.frac.numpy(), one.numbers.numpy())
    assert found is not None
    return found


def rewritten(one: CrystalBatch, generator: torch.Generator) -> CrystalBatch:
    """The same crystals in another basis, order, orientation (mirrored or not) and place."""
    one = symmetry.change_basis(one, symmetry.random_unimodular(len(one), generator, factors=3))
    one = symmetry.permute(one, symmetry.random_permutation(one, generator))
    one = symmetry.rotate(one, symmetry.random_orthogonal(len(one), generator))
    return symmetry.translate(one, symmetry.random_translation(len(one), generator))
