"""One crystal as its space group sees it: primitive, in the standard setting, exactly symmetric.

This file imports no torch, for it runs in processes of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib

from empnn.data.curation.normalisers import SpaceGroup, space_group
from empnn.symmetry_search import SYMPREC, ask_spglib, images_of, one_to_one

MOST_SITES = 256
"""Crystals with more sites in the primitive cell are not brought to standard form."""
_MIRRORED = {78, 95, 96, 145, 153, 154, 170, 172, 179, 181, 213}
"""Of the eleven pairs of space groups that are mirror images, those that are read as the other one."""
_WITHIN = 0.2
"""An atom and the image of another one that are no farther apart, in angstrom, are the same place."""


@dataclass(frozen=True)
class StandardForm:
    """A crystal in a primitive basis of the standard setting of its space group, exactly symmetric.

    Attributes:
        hall: Number of the Hall symbol of the setting.
        metric: Scalar products of the primitive lattice vectors (3, 3).
        frac: Places (sites, 3) in the primitive basis.
        kinds: Species of each site.
        images: Site that each operation takes each site to (operations, sites).
    """

    hall: int
    metric: np.ndarray
    frac: np.ndarray
    kinds: np.ndarray
    images: np.ndarray

    @property
    def group(self) -> SpaceGroup:
        """The space group."""
        return space_group(self.hall)

    @property
    def orbits(self) -> np.ndarray:
        """The first site of the orbit of each site (sites,)."""
        first: np.ndarray = self.images.min(0)
        return first


@dataclass(frozen=True)
class Standardised:
    """The way from a crystal to its standard form.

    Attributes:
        form: The standard form.
        basis: The integer matrix g of `frac @ g.T + shift` that leads there from the crystal's own basis; its
            determinant counts the primitive cells of the crystal's own one, negative if mirrored.
        sites: Site of each atom of the crystal (atoms,).
        key: The same for all crystals of the same space group and Wyckoff letters by species, modulo the normaliser,
            whichever species is which; and perhaps for some of other letters of the same site symmetry.
    """

    form: StandardForm
    basis: np.ndarray
    sites: np.ndarray
    key: str


def standard_form(cell: np.ndarray, frac: np.ndarray, numbers: np.ndarray) -> Standardised | None:
    """Bring a crystal to its standard form: `cell` (3, 3) rows in angstrom, `frac` (atoms, 3), `numbers` (atoms,).

    None if spglib finds no space group, or one that does not hold for the atoms, and for very large primitive cells.
    """
    hand = 1 if np.linalg.det(cell) > 0 else -1
    right_handed = hand * cell
    found = _dataset(right_handed, hand * frac, numbers)
    if found is not None and found.number in _MIRRORED:
        # Read in a left-handed basis a crystal has the group of the other hand.
        hand = -hand
        found = _dataset(right_handed, hand * frac, numbers)
    if found is None:
        return None
    group = space_group(int(found.hall_number))
    to_primitive = np.linalg.inv(group.primitive.T)
    real = to_primitive @ found.transformation_matrix * hand
    basis = np.rint(real).astype(np.int64)
    _, first, sites = np.unique(found.mapping_to_primitive, return_index=True, return_inverse=True)
    if np.abs(real - basis).max() > 1e-3 or len(first) > MOST_SITES:
        return None
    inverse = np.linalg.inv(basis)
    metric = inverse.T @ cell @ cell.T @ inverse
    places = frac[first] @ basis.T + to_primitive @ found.origin_shift
    kinds = numbers[first]
    form = symmetric_form(int(found.hall_number), metric, places, kinds)
    if form is None:
        return None
    return Standardised(form, basis, sites.reshape(-1), _key(form))


def symmetric_form(hall: int, metric: np.ndarray, frac: np.ndarray, kinds: np.ndarray) -> StandardForm | None:
    """The standard form of a crystal that is nearly in it; None if the space group does not hold for the atoms."""
    group = space_group(hall)
    symmetric = make_symmetric(metric, frac, kinds, group.rotations, group.translations)
    return None if symmetric is None else StandardForm(hall, symmetric[0], symmetric[1], kinds, symmetric[2])


def _dataset(cell: np.ndarray, frac: np.ndarray, numbers: np.ndarray) -> Any:
    return ask_spglib(spglib.get_symmetry_dataset, (cell, frac, numbers), symprec=SYMPREC)


def make_symmetric(
    metric: np.ndarray, frac: np.ndarray, kinds: np.ndarray, rotations: np.ndarray, translations: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The mean of a crystal over the operations of its space group: nearly symmetric in, exactly symmetric out.

    Args:
        metric: Scalar products of the lattice vectors (3, 3), square angstrom.
        frac: Places (sites, 3).
        kinds: Species (sites,).
        rotations: W of the operations `x -> W x + w`, all of the given cell (operations, 3, 3).
        translations: w of the operations (operations, 3).

    Returns:
        The metric, the places, and the site that each operation takes each site to (operations, sites); None if an
        operation takes a site to none of the same species.
    """
    metric = (rotations.transpose(0, 2, 1) @ metric @ rotations).mean(0)
    images, ways = images_of(metric, frac, kinds, rotations, translations)
    near = np.einsum("gsx,xy,gsy->gs", ways, metric, ways).max() < _WITHIN**2
    if not near or not one_to_one(images).all():
        return None
    offsets = np.zeros_like(frac)
    np.add.at(offsets, images, ways)
    return metric, frac - offsets / len(rotations), images


def _key(form: StandardForm) -> str:
    """The space group and, species by species, the multiplicity and the kinds of site symmetry of the orbits."""
    fixed = form.images == np.arange(len(form.frac))
    kinds = np.einsum("gii->g", form.group.rotations) * 4 + np.rint(np.linalg.det(form.group.rotations)).astype(int)
    species: dict[int, list[str]] = {}
    for head in np.unique(form.orbits):
        species.setdefault(int(form.kinds[head]), []).append(",".join(map(str, np.sort(kinds[fixed[:, head]]))))
    return f"{form.hall}:" + "|".join(sorted("/".join(sorted(orbits)) for orbits in species.values()))
