"""What makes a crystal unusable."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from empnn.crystals import CrystalBatch
from empnn.geometry import lattice_parameters, volume
from empnn.graph import Graph, cutoff
from empnn.graph.reduction import reduce_cells

MIN_VOLUME_PER_ATOM = 0.5
MIN_DISTANCE = 0.3
USUAL_DISTANCE = 0.5
"""Atoms closer than that are so near to being refused that what is made of them may be."""
MAX_LENGTH = 1e4
PARTS = 2
PLANES = np.array([h for h in itertools.product(range(-PARTS, PARTS + 1), repeat=3) if h > (0, 0, 0)])
"""All planes, and vectors, of a reduced cell with indices up to `PARTS`, one of each that differ by their sign only."""
_BOXES = 1e6
"""Boxes as wide as the radius of a search, at most, that a cell is cut into."""
_FEW_ATOMS = 200
"""Atoms that may be all in one place without too many pairs."""


@dataclass(frozen=True)
class Flaw:
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
    return [f"{flaw.what}; {flaw.what_to_do}" if flaw and flaw.refused else None for flaw in flaws_of(crystals)]


def is_collapsed(cell: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Which cells (structures, 3, 3) a network made unusable: not finite, or flat. Invariant under SL3(Z)."""
    per_atom = volume(cell.nan_to_num()) / sizes
    usable: torch.Tensor = torch.isfinite(cell).all(-1).all(-1) & torch.isfinite(per_atom)
    return ~(usable & (per_atom >= MIN_VOLUME_PER_ATOM))


def flaws_of(crystals: CrystalBatch) -> list[Flaw | None]:
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


def _bad_cell(per_atom: float, longest: float) -> Flaw | None:
    if not per_atom >= MIN_VOLUME_PER_ATOM:
        what = f"its volume is {per_atom:.3g} cubic angstrom per atom (the cell is flat or too small)"
        return Flaw(what, "correct the lattice vectors")
    if longest > MAX_LENGTH:
        what = f"a lattice vector is {longest:.3g} angstrom long, over 10000"
        return Flaw(what, "correct the lattice vectors or their unit")
    return None


def _short_translation(crystal: CrystalBatch) -> Flaw | None:
    """A lattice vector that is too short, however the cell is written; a search for close atoms would find millions."""
    reduced, _ = reduce_cells(crystal.cell.numpy())
    shortest = float(np.linalg.norm(PLANES @ reduced[0], axis=1).min())
    return _too_close(0, 0, shortest) if shortest <= MIN_DISTANCE else None


def _in_one_box(crystal: CrystalBatch) -> Flaw | None:
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


def _closest_atoms(crystals: CrystalBatch) -> list[Flaw | None]:
    """The closest atoms of each structure, where they are unusually close."""
    found: list[Flaw | None] = [None] * len(crystals)
    graph = edges_within(crystals, USUAL_DISTANCE)
    lengths = torch.linalg.vector_norm(graph.vectors, dim=-1).numpy()
    close = np.flatnonzero(lengths <= USUAL_DISTANCE)
    batch = graph.batch.numpy()[close]
    order = np.lexsort((lengths[close], batch))
    for edge in close[order[np.unique(batch[order], return_index=True)[1]]].tolist():
        index = int(graph.batch[edge])
        first, second = sorted(int(end[edge] - crystals.starts[index]) for end in (graph.source, graph.target))
        found[index] = _too_close(first, second, float(lengths[edge]))
    return found


def _too_close(first: int, second: int, distance: float) -> Flaw:
    pair = f"atoms {first} and {second}" if first != second else f"atom {first} and its periodic image"
    what_to_do = "remove or move one" if first != second else "correct the lattice vectors"
    if distance > MIN_DISTANCE:
        return Flaw(f"{pair} are only {distance:.3f} angstrom apart", what_to_do, refused=False)
    return Flaw(f"{pair} overlap ({distance:.3f} angstrom apart)", what_to_do)


def edges_within(crystals: CrystalBatch, radius: float) -> Graph:
    """At least all edges within a radius; more in a cell so large that it would be cut into too many boxes."""
    radii = (volume(crystals.cell) / _BOXES).pow(1 / 3).clamp(min=radius)
    return cutoff(radii[crystals.batch])(crystals)
