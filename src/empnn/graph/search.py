"""All pairs of atoms and images within a radius: small cells by pairs, large ones by a list of cells.

Everything is float64 and happens in reduced bases, so that few images have to be looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres

from empnn import ragged

_MARGIN = 1e-6
"""Part of the radius by which the search looks further, so that rounding loses no edge."""
_SMALL = 24
"""Atoms up to which looking at all pairs of a structure is faster than making a list of cells."""
_PAIRS = 24_576
"""Pairs, either way round, that are looked at together, at most 65,536; what is made of them stays in the caches."""
BASE = 2.0**17
"""Translations of fewer cells than half of that are distinct as one number, which is exact in float64."""
_PBC = np.ones(3, dtype=np.int64)
_ZERO = 1e-8
"""An atom closer than this to an image of its own is that image."""


@dataclass(frozen=True)
class Edges:
    """Edges of crystals in their reduced bases.

    Attributes:
        source: Atom an edge starts from.
        target: Atom it ends at.
        image: Lattice translation (a, b, c) of the target as one number, a + BASE b + BASE^2 c; see `translations`.
        length: Length in angstrom.
    """

    source: np.ndarray
    target: np.ndarray
    image: np.ndarray
    length: np.ndarray

    def keep(self, which: np.ndarray) -> Edges:
        """Some of them, by a mask or by their places."""
        index = np.flatnonzero(which) if which.dtype == bool else which
        return Edges(*(column.take(index) for column in (self.source, self.target, self.image, self.length)))

    def translations(self, some: slice) -> np.ndarray:
        """Lattice translations (3, edges) of some edges."""
        code = self.image[some]
        c = np.rint(code / BASE**2)
        code = code - BASE**2 * c
        b = np.rint(code / BASE)
        return np.stack([code - BASE * b, b, c])

    @staticmethod
    def cat(parts: Sequence[Edges]) -> Edges:
        """All of them; none if there are no parts."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*((e.source, e.target, e.image, e.length) for e in parts), strict=True)
        empty = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0)
        return Edges(*(np.concatenate(c) for c in columns)) if parts else Edges(*empty)


@dataclass(frozen=True)
class Search:
    """Crystals in reduced bases, ready to be searched.

    Attributes:
        cell: Reduced cells, (structures, 3, 3).
        frac: Fractional coordinates in them, in [0, 1), (atoms, 3).
        starts: First atom of each structure, and the number of atoms at the end.
    """

    cell: np.ndarray
    frac: np.ndarray
    starts: np.ndarray

    @cached_property
    def sizes(self) -> np.ndarray:
        """Atoms of each structure."""
        return np.diff(self.starts)

    @cached_property
    def owner(self) -> np.ndarray:
        """Structure of each atom."""
        return np.repeat(np.arange(len(self.cell)), self.sizes)

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Largest value of an atom in each structure."""
        return np.maximum.reduceat(values, self.starts[:-1]) if len(self.cell) else np.empty(0)

    def within(self, radii: np.ndarray, which: np.ndarray | None = None) -> Edges:
        """All edges no longer than the radius of their structure; see `parts`."""
        return Edges.cat(list(self.parts(radii, np.arange(len(self.cell)) if which is None else which)))

    def parts(self, radii: np.ndarray, which: np.ndarray) -> Iterator[Edges]:
        """All edges of the structures `which` no longer than the radius of their structure.

        Each part holds whole structures, and its edges come ordered by source. An atom is not its own neighbour: that
        edge comes with infinite length.
        """
        small = self.sizes[which] <= _SMALL
        for part in few_pairs(self.sizes[which[small]], _PAIRS):
            yield self._by_pairs(radii, which[small][part])
        for index in which[~small]:
            yield self._by_cells(float(radii[index]), int(index))

    def _by_pairs(self, radii: np.ndarray, which: np.ndarray) -> Edges:
        """The edges of some structures, from all pairs of atoms with those images that are near.

        In a triangular basis (a along x, b in the xy plane) the images of a pair within a sphere are enumerated axis by
        axis, z first: what is left of the radius limits the next axis, so that hardly any image is looked at in vain.
        Each pair is looked at once: the way back has the opposite image.
        """
        sizes = self.sizes[which]
        of_atom, within = np.repeat(np.arange(len(which)), sizes), ragged.within(sizes)
        atoms, after = self.starts[which][of_atom] + within, sizes[of_atom] - within
        structure, source = np.repeat(of_atom, after), np.repeat(np.arange(len(atoms)), after)
        target = source + ragged.within(after)
        limits = (radii[which] * (1 + _MARGIN)) ** 2
        basis = np.linalg.cholesky(np.einsum("nij,nkj->nik", self.cell[which], self.cell[which]))
        basis = np.ascontiguousarray(basis.transpose(1, 2, 0))
        frac = np.ascontiguousarray(self.frac[atoms].T)
        offset = frac.take(target, axis=1) - frac.take(source, axis=1)
        place, square, code = np.arange(len(source)), np.zeros(len(source)), np.zeros(len(source))
        along: list[np.ndarray] = []
        for axis in (2, 1, 0):
            left = np.sqrt(np.maximum(limits.take(structure) - square, 0))
            step, here = basis[axis, axis].take(structure), offset[axis].take(place)
            shift = sum((f * basis[other, axis].take(structure) for other, f in zip((2, 1), along, strict=False)), 0.0)
            parent, image = _integers((-left - shift) / step - here, (left - shift) / step - here)
            distance = (step * here + shift).take(parent) + step.take(parent) * image
            square = square.take(parent) + distance**2
            code = code.take(parent) + BASE**axis * image
            place = place.take(parent)
            if axis:
                structure = structure.take(parent)
                along = [*(f.take(parent) for f in along), here.take(parent) + image]
        edges = _both_ways(_without_itself(source.take(place), target.take(place), code, np.sqrt(square)))
        return Edges(atoms.take(edges.source), atoms.take(edges.target), edges.image, edges.length)

    def _by_cells(self, radius: float, index: int) -> Edges:
        """The edges of one structure."""
        start, stop = self.starts[index : index + 2]
        points = self.frac[start:stop] @ self.cell[index]
        source, target, image, length = find_points_in_spheres(
            points, points, radius * (1 + _MARGIN), _PBC, self.cell[index], tol=_ZERO
        )
        return _without_itself(source + start, target + start, image @ BASE ** np.arange(3.0), length)


def few_pairs(sizes: np.ndarray, most: int) -> list[slice]:
    """Structures, given by their numbers of atoms, in runs with about so many pairs of atoms at most."""
    cuts = np.flatnonzero(np.diff((sizes**2).cumsum() // most)) + 1
    edges = [0, *cuts.tolist(), len(sizes)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges) if start < stop]


def _both_ways(edges: Edges) -> Edges:
    """Edges between different atoms in both directions, the others as they are, all ordered by source."""
    back = edges.keep(edges.source != edges.target)
    both = Edges.cat([edges, Edges(back.target, back.source, -back.image, back.length)])
    # Numbers of 16 bits are sorted the fastest way; a part has fewer atoms than that.
    return both.keep(np.argsort(both.source.astype(np.uint16), kind="stable"))


def _without_itself(source: np.ndarray, target: np.ndarray, image: np.ndarray, length: np.ndarray) -> Edges:
    length[(length <= _ZERO) & (source == target)] = np.inf
    return Edges(source, target, image, length)


def _integers(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All integers from `low` to `high` for each pair of limits, one after the other, and the pair of each."""
    first = np.ceil(low)
    counts = (np.floor(high) - first).astype(np.int64) + 1
    parent = np.repeat(np.arange(len(counts)), counts)
    # What a number is above its place: one gather for the first integer and for where it stands.
    return parent, (first - (counts.cumsum() - counts)).take(parent) + np.arange(len(parent))
