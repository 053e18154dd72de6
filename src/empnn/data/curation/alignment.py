"""One isostructural crystal laid onto another: the change of basis, the order of the atoms and their displacements.

Both are in standard form, so that the candidates are the elements of the normaliser of their space group, and along
polar directions any translation. A crystal laid onto another one by such a map, orbit onto orbit, site symmetry onto
site symmetry, stays as symmetric all the way. The best candidate moves the atoms least, see `_LENGTH`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import linear_sum_assignment

from empnn.data.curation.standard_form import StandardForm
from empnn.graph.reduction import reduce_cells

LARGEST_STRAIN = 0.6
"""Norm of the Hencky strain at equal volumes above which two crystals are not alike."""
LARGEST_DISPLACEMENT = 1.0
"""Mean distance in angstrom, after a translation, above which two crystals are not alike."""

_LENGTH = 3**-0.5
"""A strain counts as what it does to the distance of neighbours: its norm, times the cube root of the volume per atom
and this, is the root mean square over all directions."""
_CHANGES = 64
"""Changes of basis tried, those of least strain."""
_SCREENED = 32
"""Candidates looked at closely."""
_MOST = 50_000_000
"""Distances beyond which two crystals, of many atoms and low symmetry, are not compared."""
_TOGETHER = 200_000
"""Distances measured at once."""
_FAR = 1e6
_TIE = 1e-6
_IMAGES = np.array(list(product((-1, 0, 1), repeat=3)))


@dataclass(frozen=True)
class Alignment:
    """A crystal laid onto another.

    Attributes:
        change: Integer matrix U (3, 3), of determinant 1 or -1, from the primitive basis of the one to the other's.
        metric: Scalar products of the lattice vectors in that basis.
        slots: Site of the other that each site of the one is laid onto (sites,).
        frac: Places of the sites (sites, 3) in that basis, each in the image next to that of its slot.
        strain: Norm of the Hencky strain between the two at equal volumes.
        displacement: Mean distance of sites from their slots in angstrom.
    """

    change: np.ndarray
    metric: np.ndarray
    slots: np.ndarray
    frac: np.ndarray
    strain: float
    displacement: float


@dataclass(frozen=True)
class _Candidates:
    """Maps `x -> U x + t` of a crystal, with the metric at its mean with the target's, and the strain."""

    changes: np.ndarray
    shifts: np.ndarray
    metrics: np.ndarray
    strains: np.ndarray

    def __getitem__(self, index: np.ndarray) -> _Candidates:
        return _Candidates(self.changes[index], self.shifts[index], self.metrics[index], self.strains[index])


@dataclass(frozen=True)
class _Match:
    """How a candidate lays orbits onto orbits: for the first site of each, the site of the target and the way to it."""

    cost: float
    candidate: int
    onto: np.ndarray
    moved: np.ndarray


class Target:
    """A crystal that others of its space group are laid onto.

    Args:
        form: Its standard form.
    """

    def __init__(self, form: StandardForm) -> None:
        self.form = form
        group = form.group
        fixed = form.images == np.arange(len(form.frac))
        counts = fixed.sum(0)
        self.free = np.einsum("gs,gij->sij", fixed, group.rotations) / counts[:, None, None]
        self.sizes = len(group.rotations) // counts
        self.volume = np.linalg.det(form.metric) ** 0.5
        self.length = (self.volume / len(form.frac)) ** (1 / 3)
        _, reduction = reduce_cells(np.linalg.cholesky(form.metric)[None])
        self.reduction = reduction[0]
        self.orbits = [np.flatnonzero(form.orbits == head) for head in np.unique(form.orbits)]

    def lay(self, form: StandardForm) -> Alignment | None:
        """Lay a crystal onto this one; None if it is not alike."""
        if form.hall != self.form.hall or len(form.frac) != len(self.form.frac):
            return None
        candidates = self._candidates(form)
        heads, sizes = np.unique(form.orbits, return_counts=True)
        if not len(candidates.strains) or sorted(sizes) != sorted(map(len, self.orbits)):
            return None
        polar = bool(self.form.group.polar.any())
        if polar:
            candidates = self._along_polar(form, candidates, heads, sizes)
        candidates = self._screened(form, candidates, heads, sizes)
        best = self._best(form, candidates, heads, sizes)
        if best is None:
            return None
        if polar:
            for _ in range(2):
                candidates = candidates[np.array([best.candidate])]
                candidates.shifts[:] -= self._mean(best.moved, sizes)
                best = self._best(form, candidates, heads, sizes)
                if best is None:
                    return None
        return self._spread(form, candidates[np.array([best.candidate])], best)

    def _mean(self, moved: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """The mean over all sites, which is along polar directions, of vectors at the first site of each orbit."""
        mean: np.ndarray = self.form.group.polar @ (sizes @ moved / sizes.sum())
        return mean

    def _candidates(self, form: StandardForm) -> _Candidates:
        """The maps of the normaliser that strain little, those of least strain first."""
        group = self.form.group
        inverse = np.linalg.inv(group.changes)
        metrics = inverse.transpose(0, 2, 1) @ form.metric @ inverse
        root = np.linalg.inv(np.linalg.cholesky(self.form.metric))
        logs = np.log(np.linalg.eigvalsh(root @ metrics @ root.T)) / 2
        strains = np.linalg.norm(logs - logs.mean(1, keepdims=True), axis=1)
        order = np.argsort(np.round(strains, 6), kind="stable")[:_CHANGES]
        order = order[strains[order] <= LARGEST_STRAIN]
        volume = np.linalg.det(form.metric) ** 0.5
        scale = (volume * self.volume) ** (1 / 3)
        means = scale / 2 * (metrics / volume ** (2 / 3) + self.form.metric / self.volume ** (2 / 3))
        chosen = np.repeat(order, [len(group.shifts[index]) for index in order])
        shifts = np.concatenate([np.empty((0, 3)), *(group.shifts[index] for index in order)])
        return _Candidates(group.changes[chosen], shifts, means[chosen], strains[chosen])

    def _along_polar(
        self, form: StandardForm, candidates: _Candidates, heads: np.ndarray, sizes: np.ndarray
    ) -> _Candidates:
        """The translations along polar directions that lay one site, of the rarest kind, beside one of the target."""
        pivot = np.argmin([(self.sizes == size).sum() for size in sizes])
        squared, moved = self._nearest(form, candidates, heads[[pivot]], sizes[[pivot]], _IMAGES, self.form.group.polar)
        which, site = np.nonzero(squared[:, 0] < _FAR)
        found = candidates[which]
        found.shifts[:] -= moved[which, 0, site] @ self.form.group.polar.T
        return found

    def _nearest(
        self,
        form: StandardForm,
        candidates: _Candidates,
        heads: np.ndarray,
        sizes: np.ndarray,
        images: np.ndarray,
        aside: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """From each site of the target, the way to the nearest image of each given site under each candidate.

        Only ways that the site symmetry leaves alone count, between sites of the same multiplicity.

        Returns:
            Squared distances (candidates, given, sites), without the part along `aside`, and vectors (..., 3).
        """
        given, sites = np.nonzero(sizes[:, None] == self.sizes)
        shape = (len(candidates.strains), len(heads), len(self.sizes))
        squared, moved = np.full(shape, _FAR), np.zeros((*shape, 3))
        roots = np.linalg.cholesky(candidates.metrics)[:, None]
        translations = images @ self.reduction
        special = np.flatnonzero(self.sizes[sites] < len(self.form.group.rotations))
        free = self.free[sites[special]].transpose(0, 2, 1)
        step = max(1, _TOGETHER // (len(given) * len(images)))
        for part in (slice(start, start + step) for start in range(0, shape[0], step)):
            places = form.frac[heads] @ candidates.changes[part].transpose(0, 2, 1) + candidates.shifts[part, None]
            apart = places[:, given] - self.form.frac[sites]
            apart -= np.rint(apart @ np.linalg.inv(self.reduction)) @ self.reduction
            ways = apart[..., None, :] + translations
            measured = (ways if aside is None else ways - ways @ aside.T) @ roots[part]
            lengths = np.einsum("cpni,cpni->cpn", measured, measured)
            off = ways[:, special] @ free - ways[:, special]
            lengths[:, special] += _FAR * (np.einsum("cpni,cpni->cpn", off, off) > _TIE**2)
            nearest = lengths.argmin(-1)[..., None]
            squared[part, given, sites] = np.take_along_axis(lengths, nearest, -1)[..., 0]
            moved[part, given, sites] = np.take_along_axis(ways, nearest[..., None], -2)[..., 0, :]
        return squared, moved

    def _screened(
        self, form: StandardForm, candidates: _Candidates, heads: np.ndarray, sizes: np.ndarray
    ) -> _Candidates:
        """The candidates that promise most where there are many, by distances to the first image only."""
        if len(candidates.strains) <= _SCREENED:
            return candidates
        if len(candidates.strains) * len(heads) * len(self.sizes) > _MOST:
            return candidates[np.arange(0)]
        squared, _ = self._nearest(form, candidates, heads, sizes, _IMAGES[len(_IMAGES) // 2, None])
        least = squared.min(-1) @ (sizes / sizes.sum()) + (_LENGTH * self.length * candidates.strains) ** 2
        return candidates[np.sort(np.argsort(np.round(least, 6), kind="stable")[:_SCREENED])]

    def _best(self, form: StandardForm, candidates: _Candidates, heads: np.ndarray, sizes: np.ndarray) -> _Match | None:
        """The candidate of least cost; of those that tie, the first."""
        if not len(candidates.strains):
            return None
        squared, moved = self._nearest(form, candidates, heads, sizes, _IMAGES)
        weights = sizes / sizes.sum()
        costs = np.stack([squared[..., orbit].min(-1) for orbit in self.orbits], -1) * weights[:, None]
        strain = (_LENGTH * self.length * candidates.strains) ** 2
        polar = bool(self.form.group.polar.any())
        # Along polar directions one site is laid exactly, and taking off the mean cannot save more than the others.
        least = costs.min(-1).sum(-1) * (weights.min() if polar else 1) + strain
        best: _Match | None = None
        for candidate in np.argsort(least, kind="stable"):
            if best is not None and least[candidate] > best.cost + _TIE:
                break
            pairs = _assign(costs[candidate], form.kinds[heads], self.kinds)
            if pairs is None:
                continue
            onto = [self.orbits[q][squared[candidate, s, self.orbits[q]].argmin()] for s, q in enumerate(pairs)]
            ways = moved[candidate, np.arange(len(heads)), onto]
            mean = self._mean(ways, sizes)
            metric = candidates.metrics[candidate]
            cost = costs[candidate, np.arange(len(heads)), pairs].sum() - mean @ metric @ mean + strain[candidate]
            tied = best is not None and abs(cost - best.cost) <= _TIE
            if best is None or (tied and candidate < best.candidate) or (not tied and cost < best.cost):
                best = _Match(float(cost), int(candidate), np.array(onto), ways)
        return best

    def _spread(self, form: StandardForm, chosen: _Candidates, match: _Match) -> Alignment | None:
        """The alignment of all sites, from that of the first of each orbit, by the operations."""
        group = self.form.group
        moved = np.zeros_like(self.form.frac)
        moved[self.form.images[:, match.onto]] = np.einsum("gij,sj->gsi", group.rotations, match.moved)
        places = form.frac @ chosen.changes[0].T + chosen.shifts[0]
        slots = _same_places(places, self.form.frac + moved)
        if slots is None:
            return None
        distances = np.einsum("si,ij,sj->s", moved, chosen.metrics[0], moved) ** 0.5
        if distances.mean() > LARGEST_DISPLACEMENT:
            return None
        inverse = np.linalg.inv(chosen.changes[0])
        return Alignment(
            chosen.changes[0],
            inverse.T @ form.metric @ inverse,
            slots,
            (self.form.frac + moved)[slots],
            float(chosen.strains[0]),
            float(distances.mean()),
        )

    @property
    def kinds(self) -> np.ndarray:
        """The species of each orbit."""
        return np.array([self.form.kinds[orbit[0]] for orbit in self.orbits])


def _assign(costs: np.ndarray, kinds: np.ndarray, others: np.ndarray) -> np.ndarray | None:
    """The orbit of the target for each orbit, species onto species, at least cost (orbits, orbits); None if none is."""
    species, targets = np.unique(kinds), np.unique(others)
    if len(species) != len(targets):
        return None
    total = np.full((len(species), len(targets)), _FAR)
    pairs = np.empty((len(species), len(targets)), dtype=object)
    for i, kind in enumerate(species):
        for j, other in enumerate(targets):
            rows, columns = np.flatnonzero(kinds == kind), np.flatnonzero(others == other)
            if len(rows) == len(columns):
                part = costs[np.ix_(rows, columns)]
                _, chosen = linear_sum_assignment(part)
                total[i, j] = part[np.arange(len(rows)), chosen].sum()
                pairs[i, j] = rows, columns[chosen]
    chosen_species = linear_sum_assignment(total)
    if total[chosen_species].max() >= _FAR / 1000:
        return None
    found = np.empty(len(kinds), dtype=np.int64)
    for rows, columns in pairs[chosen_species]:
        found[rows] = columns
    return found


def _same_places(places: np.ndarray, others: np.ndarray) -> np.ndarray | None:
    """Which of the others each place is, modulo lattice translations."""
    apart = places[:, None] - others
    distances = np.abs(apart - np.rint(apart)).max(-1)
    found: np.ndarray = distances.argmin(1)
    if distances.min(1).max() > 1e-6 or len(np.unique(found)) < len(found):
        return None
    return found
