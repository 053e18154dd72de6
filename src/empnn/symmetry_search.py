"""What spglib finds in a crystal, and where operations take its atoms; without torch, for processes of their own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import spglib

SYMPREC = 0.01
"""Distance in angstrom within which operations are looked for, spglib's `symprec`."""


def ask_spglib(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a function of spglib finds, None where it finds nothing: some versions raise then and others warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*arguments, **options)
        except spglib.SpglibError:
            return None


def space_group(cell: np.ndarray, frac: np.ndarray, numbers: np.ndarray, symprec: float = SYMPREC) -> str | None:
    """Symbol and number of the space group that spglib finds, as in `Fm-3m (225)`; None where it finds none.

    Takes from a quarter of a millisecond (no symmetry) to more than ten (cubic with a centred cell).
    """
    found: str | None = ask_spglib(spglib.get_spacegroup, (cell, frac, numbers), symprec=symprec)
    return found


def images_of(
    metric: np.ndarray, frac: np.ndarray, kinds: np.ndarray, rotations: np.ndarray, translations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest site of its kind to where each operation takes each site, and the way there.

    Args:
        metric: Scalar products of the lattice vectors (3, 3), square angstrom.
        frac: Places (sites, 3).
        kinds: Species (sites,).
        rotations: W of the operations `x -> W x + w` (operations, 3, 3).
        translations: w of the operations (operations, 3).

    Returns:
        The sites (operations, sites), and what leads to them, fractional (operations, sites, 3).
    """
    moved = frac @ rotations.transpose(0, 2, 1) + translations[:, None]
    apart = frac - moved[:, :, None]
    apart -= np.rint(apart)
    squared = np.einsum("gstx,xy,gsty->gst", apart, metric, apart, optimize=True)
    squared[:, kinds[:, None] != kinds] = np.inf
    images = squared.argmin(2)
    return images, np.take_along_axis(apart, images[..., None, None], 2)[:, :, 0]


def one_to_one(images: np.ndarray) -> np.ndarray:
    """Which operations take the sites to each other one by one (operations,)."""
    found: np.ndarray = (np.sort(images, axis=1) == np.arange(images.shape[1])).all(axis=1)
    return found
