"""What makes a crystal unusable, and what makes a result doubtful."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from empnn.crystals import CrystalBatch
from empnn.geometry import lattice_parameters, volume
from empnn.graph import Graph, cutoff, dimensions
from empnn.graph.reduction import reduce_cells

MIN_VOLUME_PER_ATOM = 0.5
MIN_DISTANCE = 0.3
USUAL_DISTANCE = 0.5
"""Atoms closer than that are so near to being refused that what is made of them may be."""
MAX_LENGTH = 1e4
USUAL_VOLUMES = (2.0, 200.0)
VACUUM = 6.5
"""Angstrom without an atom that no crystal has: layers and large ions come to 5.5."""
_DIMENSIONS = ("atoms or molecules", "wires", "sheets")
_GAP = 4.0
"""Where no atomic layers are so far apart there is no vacuum, so that few crystals are looked at more closely."""
_PARTS = 2
_PLANES = np.array([h for h in itertools.product(range(-_PARTS, _PARTS + 1), repeat=3) if h > (0, 0, 0)])
"""All that are `VACUUM` apart, in a reduced cell whose vectors are shorter than (_PARTS + 1) times that."""
_MOST_PARTS = 12
_BONDS = 4.0
"""Most crystals hang together by distances up to that."""
_BOXES = 1e6
"""Boxes as wide as the radius of a search, at most, that a cell is cut into."""
_FEW_ATOMS = 200
"""Atoms that may be all in one place without too many pairs."""


@dataclass(frozen=True)
class _Flaw:
    """What is wrong with a crystal, what to do, and whether it is refused for it."""

    what: str
    what_to_do: str
    refused: bool = True


def refusals(crystals: CrystalBatch) -> list[str | None]:
    """For each structure the reason it is refused, `what; what to do`, or None.

    Refused are a volume under 0.5 cubic angstrom per atom (which covers |det(cell)| = 0), a lattice vector longer
    than 10^4 angstrom and two atoms (or an atom and its image) within 0.3 angstrom. A left-handed or skewed cell is
    fine. Invariant under Euc(3), S_n and, but for the length of a vector, SL3(Z).
    """
    return [f"{flaw.what}; {flaw.what_to_do}" if flaw and flaw.refused else None for flaw in _flaws(crystals)]


def is_collapsed(cell: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Which cells (structures, 3, 3) a network made unusable: not finite, or flat. Invariant under SL3(Z)."""
    per_atom = volume(cell.nan_to_num()) / sizes
    usable: torch.Tensor = torch.isfinite(cell).all(-1).all(-1) & torch.isfinite(per_atom)
    return ~(usable & (per_atom >= MIN_VOLUME_PER_ATOM))


def doubts(before: CrystalBatch, after: CrystalBatch, elements: set[int], strain_limit: float) -> list[list[str]]:
    """For each structure the reasons to look at the result twice, in words.

    Args:
        before: The crystals as given, none of which is refused.
        after: The same relaxed, in usable cells.
        elements: Atomic numbers the model was trained on; empty if unknown.
        strain_limit: Largest principal Hencky strain that the model was trained to remove.
    """
    volumes = {name: volume(some.cell) / some.sizes for name, some in (("given", before), ("relaxed", after))}
    stretches = torch.linalg.svdvals(torch.linalg.solve(before.cell, after.cell))
    strain = stretches.log().abs().amax(-1)
    vacuums, flaws = _vacuums(before), {"as given": _flaws(before), "once relaxed": _flaws(after)}
    reasons: list[list[str]] = []
    for index, (start, stop) in enumerate(zip(before.starts[:-1], before.starts[1:], strict=True)):
        found = []
        unseen = set(before.numbers[start:stop].tolist()) - elements if elements else set()
        if unseen:
            found.append(f"elements not in the training data: {', '.join(map(_symbol, sorted(unseen)))}")
        for name, per_atom in volumes.items():
            if not USUAL_VOLUMES[0] <= per_atom[index] <= USUAL_VOLUMES[1]:
                found.append(f"{name} volume {per_atom[index]:.1f} cubic angstrom per atom is outside 2-200")
        if strain[index] > strain_limit:
            found.append(f"deformed by a strain of {strain[index]:.2f}, more than the model was trained to remove")
        if index in vacuums:
            found.append(vacuums[index])
        found += [f"{when}, {flaw.what}" for when, some in flaws.items() if (flaw := some[index])]
        reasons.append(found)
    return reasons


def _flaws(crystals: CrystalBatch) -> list[_Flaw | None]:
    """What is wrong with the cell of each structure, or else with its closest atoms."""
    per_atom = (volume(crystals.cell) / crystals.sizes).tolist()
    longest = lattice_parameters(crystals.cell)[:, :3].amax(1).tolist()
    found = [_bad_cell(v, length) for v, length in zip(per_atom, longest, strict=True)]
    spacing = 1 / torch.linalg.vector_norm(torch.linalg.inv_ex(crystals.cell).inverse, dim=1).amax(-1)
    for index in torch.nonzero(~(spacing > MIN_DISTANCE) | (crystals.sizes > _FEW_ATOMS)).flatten().tolist():
        one = crystals.select([index])
        found[index] = found[index] or _short_translation(one) or _in_one_box(one)
    rest = [index for index, flaw in enumerate(found) if flaw is None]
    for index, flaw in zip(rest, _closest_atoms(crystals.select(rest)), strict=True):
        found[index] = flaw
    return found


def _bad_cell(per_atom: float, longest: float) -> _Flaw | None:
    if not per_atom >= MIN_VOLUME_PER_ATOM:
        what = f"its volume is {per_atom:.3g} cubic angstrom per atom (the cell is flat or too small)"
        return _Flaw(what, "correct the lattice vectors")
    if longest > MAX_LENGTH:
        what = f"a lattice vector is {longest:.3g} angstrom long, over 10000"
        return _Flaw(what, "correct the lattice vectors or their unit")
    return None


def _short_translation(crystal: CrystalBatch) -> _Flaw | None:
    """A lattice vector that is too short, however the cell is written; a search for close atoms would find millions."""
    reduced, _ = reduce_cells(crystal.cell.numpy())
    shortest = float(np.linalg.norm(_PLANES @ reduced[0], axis=1).min())
    return _too_close(0, 0, shortest) if shortest <= MIN_DISTANCE else None


def _in_one_box(crystal: CrystalBatch) -> _Flaw | None:
    """Two atoms in one of the boxes, too small for two, that the cell is cut into.

    Where there are none, a search for close atoms finds few: thousands of atoms in one place would make millions.
    """
    counts = (lattice_parameters(crystal.cell)[0, :3] * 3 / MIN_DISTANCE).ceil()
    boxes = ((crystal.frac * counts).floor() @ torch.stack([counts[0] ** 0, counts[0], counts[0] * counts[1]])).numpy()
    order = boxes.argsort(kind="stable")
    shared = np.flatnonzero(boxes[order][1:] == boxes[order][:-1])
    if not len(shared):
        return None
    first, second = order[shared[0]], order[shared[0] + 1]
    apart = (crystal.frac[second] - crystal.frac[first]) @ crystal.cell[0]
    return _too_close(int(first), int(second), float(torch.linalg.vector_norm(apart)))


def _closest_atoms(crystals: CrystalBatch) -> list[_Flaw | None]:
    """The closest atoms of each structure, where they are unusually close."""
    found: list[_Flaw | None] = [None] * len(crystals)
    graph = _within(crystals, USUAL_DISTANCE)
    lengths = torch.linalg.vector_norm(graph.vectors, dim=-1).numpy()
    close = np.flatnonzero(lengths <= USUAL_DISTANCE)
    batch = graph.batch.numpy()[close]
    order = np.lexsort((lengths[close], batch))
    for edge in close[order[np.unique(batch[order], return_index=True)[1]]].tolist():
        index = int(graph.batch[edge])
        first, second = sorted(int(end[edge] - crystals.starts[index]) for end in (graph.source, graph.target))
        found[index] = _too_close(first, second, float(lengths[edge]))
    return found


def _too_close(first: int, second: int, distance: float) -> _Flaw:
    pair = f"atoms {first} and {second}" if first != second else f"atom {first} and its periodic image"
    what_to_do = "remove or move one" if first != second else "correct the lattice vectors"
    if distance > MIN_DISTANCE:
        return _Flaw(f"{pair} are only {distance:.3f} angstrom apart", what_to_do, refused=False)
    return _Flaw(f"{pair} overlap ({distance:.3f} angstrom apart)", what_to_do)


def _within(crystals: CrystalBatch, radius: float) -> Graph:
    """At least all edges within a radius; more in a cell so large that it would be cut into too many boxes."""
    radii = (volume(crystals.cell) / _BOXES).pow(1 / 3).clamp(min=radius)
    return cutoff(radii[crystals.batch])(crystals)


def _vacuums(crystals: CrystalBatch) -> dict[int, str]:
    """The structures that do not hang together in all directions, and the vacuum that parts them, in words."""
    cells, change = reduce_cells(crystals.cell.numpy())
    frac = np.einsum("ai,aij->aj", crystals.frac.numpy(), np.linalg.inv(change)[crystals.batch.numpy()])
    large = np.linalg.norm(cells, axis=-1).max(1, initial=0) >= (_PARTS + 1) * VACUUM
    parted = np.flatnonzero(large | _has_gap(cells, frac, crystals))
    found = np.empty(0, dtype=np.int64)
    for longest in (_BONDS, VACUUM):
        found = dimensions(_within(crystals.select(parted), longest), longest)
        parted, found = parted[found < 3], found[found < 3]
    words = {}
    for index, dimension in zip(parted.tolist(), found.tolist(), strict=True):
        gap = _widest_gap(cells[index], frac[crystals.batch.numpy() == index])
        size = f"{max(VACUUM, gap):.1f} angstrom between {_DIMENSIONS[dimension]}"
        words[index] = f"a vacuum of {size}, relaxed as part of a crystal"
    return words


def _has_gap(cells: np.ndarray, frac: np.ndarray, crystals: CrystalBatch) -> np.ndarray:
    """Whether neighbouring atomic layers on some plane are more than `_GAP` apart (structures,), in reduced cells."""
    spacing = 1 / np.linalg.norm(_PLANES @ np.linalg.inv(cells).transpose(0, 2, 1), axis=-1)
    structure, plane = np.nonzero(spacing > _GAP)
    sizes = crystals.sizes.numpy()[structure]
    ends = sizes.cumsum()
    family = np.repeat(np.arange(len(sizes)), sizes)
    atom = np.arange(len(family)) + np.repeat(crystals.starts.numpy()[structure] - (ends - sizes), sizes)
    # Heights in units of the spacing; all families of planes are sorted at once, one above the other.
    heights = np.sort(np.mod(np.einsum("ai,ai->a", frac[atom], _PLANES[plane[family]]), 1) + family)
    gaps = np.diff(heights, append=0)
    gaps[ends - 1] = heights[ends - sizes] + 1 - heights[ends - 1]
    found = np.zeros(len(cells), dtype=bool)
    found[structure[family[gaps * spacing[structure, plane][family] > _GAP]]] = True
    return found


def _widest_gap(cell: np.ndarray, frac: np.ndarray) -> float:
    """Largest distance of neighbouring atomic layers in a reduced cell, on planes `VACUUM` apart or more, angstrom."""
    widest = 0.0
    # Planes (h, k, l) cut the vector a into h parts, none of which is shorter than they are apart.
    most = np.minimum(np.linalg.norm(cell, axis=1) // VACUUM, _MOST_PARTS).astype(int)
    for plane in itertools.product(*(range(-n, n + 1) for n in most)):
        spacing = 1 / np.linalg.norm(np.linalg.solve(cell, plane)) if plane > (0, 0, 0) else 0.0
        if spacing > max(VACUUM, widest):
            heights = np.sort(np.mod(frac @ plane, 1))
            widest = max(widest, float(np.diff(heights, append=heights[0] + 1).max() * spacing))
    return widest


def _symbol(number: int) -> str:
    from ase.data import chemical_symbols

    return str(chemical_symbols[number])
