"""What makes a crystal unusable, and what makes a result doubtful."""

import itertools
import math

import numpy as np
import torch

from empnn.crystals import CrystalBatch
from empnn.geometry import lattice_parameters, volume
from empnn.graph import knn
from empnn.graph.reduction import reduce_cells
from empnn.graph.search import few_pairs

MIN_VOLUME_PER_ATOM = 0.5
MIN_DISTANCE = 0.3
MAX_LENGTH = 1e4
_FEW_ATOMS = 200
"""Up to so many atoms all pairs of a structure are looked at; beyond, its neighbours are searched."""
_PAIRS = 1 << 20
"""Pairs that are looked at together."""
_VORONOI = np.array([v for v in itertools.product((-1, 0, 1), repeat=3) if any(v)])


def refusals(crystals: CrystalBatch) -> list[str | None]:
    """For each structure the reason it is refused, `what; what to do`, or None.

    Refused are a volume under 0.5 cubic angstrom per atom (which covers |det(cell)| = 0), a lattice vector longer
    than 10^4 angstrom and two atoms (or an atom and its image) within 0.3 angstrom. A left-handed or skewed cell is
    fine. Invariant under Euc(3), S_n and, but for the length of a vector, SL3(Z).
    """
    per_atom = (volume(crystals.cell) / crystals.sizes).tolist()
    longest = lattice_parameters(crystals.cell)[:, :3].amax(1).tolist()
    found: list[str | None] = [_bad_cell(v, length) for v, length in zip(per_atom, longest, strict=True)]
    sound = [index for index, reason in enumerate(found) if reason is None]
    for index, reason in zip(sound, _overlaps(crystals.select(sound)), strict=True):
        found[index] = reason
    return found


def is_collapsed(cell: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Which cells (structures, 3, 3) a network made unusable: not finite, or flat. Invariant under SL3(Z)."""
    per_atom = volume(cell.nan_to_num()) / sizes
    usable: torch.Tensor = torch.isfinite(cell).all(-1).all(-1) & torch.isfinite(per_atom)
    return ~(usable & (per_atom >= MIN_VOLUME_PER_ATOM))


def _bad_cell(per_atom: float, longest: float) -> str | None:
    if not per_atom >= MIN_VOLUME_PER_ATOM:
        return (
            f"its volume is {per_atom:.3g} cubic angstrom per atom (the cell is flat or too small); "
            "correct the lattice vectors"
        )
    if longest > MAX_LENGTH:
        return f"a lattice vector is {longest:.3g} angstrom long, over 10000; correct the lattice vectors or their unit"
    return None


def _overlaps(crystals: CrystalBatch) -> list[str | None]:
    """The closest pair of atoms of each structure, where it is too close."""
    found: list[str | None] = [None] * len(crystals)
    doubtful = torch.nonzero(_may_overlap(crystals)).squeeze(-1).tolist()
    shortest = _shortest_translations(crystals.cell[doubtful])
    for index, length in zip(doubtful, shortest, strict=True):
        # A search among the neighbours of such a lattice could take minutes.
        found[index] = _overlap(0, 0, length) if length <= MIN_DISTANCE else None
    doubtful = [index for index, length in zip(doubtful, shortest, strict=True) if length > MIN_DISTANCE]
    for index, reason in zip(doubtful, _closest_pairs(crystals.select(doubtful)), strict=True):
        found[index] = reason
    return found


def _may_overlap(crystals: CrystalBatch) -> torch.Tensor:
    """Which structures can have atoms that overlap (structures,); never misses one.

    Where all planes of the lattice are far enough apart, two atoms can be close only through the nearest image of each
    fractional coordinate, so that looking at pairs is enough.
    """
    parts = few_pairs(crystals.sizes.clamp(max=_FEW_ATOMS).numpy(), _PAIRS)
    if len(parts) <= 1:
        return _may_overlap_in(crystals)
    return torch.cat([_may_overlap_in(crystals.select(range(part.start, part.stop))) for part in parts])


def _may_overlap_in(crystals: CrystalBatch) -> torch.Tensor:
    """The same, looking at all pairs together."""
    spacing = 1 / torch.linalg.vector_norm(torch.linalg.inv_ex(crystals.cell).inverse, dim=1).amax(-1)
    doubtful: torch.Tensor = ~(spacing > 2.1 * MIN_DISTANCE) | (crystals.sizes > _FEW_ATOMS)
    sizes = crystals.sizes.masked_fill(doubtful, 0)[crystals.batch]
    later = (crystals.starts[1:][crystals.batch] - torch.arange(crystals.n_atoms) - 1).masked_fill(sizes == 0, 0)
    first = torch.repeat_interleave(torch.arange(crystals.n_atoms), later)
    second = first + 1 + torch.arange(len(first)) - (later.cumsum(0) - later)[first]
    along = crystals.frac.T.contiguous()
    between = along[:, second] - along[:, first]
    structure = crystals.batch[first]
    # Atoms that close are at most so far apart along each coordinate: few pairs are left to be measured.
    near = between.sub_(between.round()).abs().amax(0) <= 1.01 * MIN_DISTANCE / spacing[structure]
    structure = structure[near]
    vectors = torch.bmm(between[:, near].T.unsqueeze(1), crystals.cell[structure]).squeeze(1)
    doubtful[structure[(vectors**2).sum(-1) < (1.01 * MIN_DISTANCE) ** 2]] = True
    return doubtful


def _shortest_translations(cell: torch.Tensor) -> list[float]:
    """Length of the shortest vector of each lattice, in angstrom; infinite where no compact basis is found."""
    lengths: list[float] = []
    for one in cell.numpy():
        try:
            reduced, _ = reduce_cells(one[None])
        except ValueError:
            lengths.append(math.inf)
            continue
        # The shortest vector of a lattice is among the seven Voronoi vectors of a basis reduced by Selling.
        lengths.append(float(np.linalg.norm(_VORONOI @ reduced[0], axis=1).min()))
    return lengths


def _closest_pairs(crystals: CrystalBatch) -> list[str | None]:
    """The closest pair of atoms of each structure, where it is too close.

    Nearest neighbours are searched, for they are cheap in a cell of any size.
    """
    if len(crystals) == 0:
        return []
    try:
        graph = knn(1)(crystals)
    except ValueError:
        if len(crystals) > 1:
            return [_closest_pairs(crystals.select([index]))[0] for index in range(len(crystals))]
        return ["its cell is so skewed that no compact basis is found; write it in a more compact basis"]
    found: list[str | None] = [None] * len(crystals)
    lengths = torch.linalg.vector_norm(graph.vectors, dim=-1)
    close = torch.nonzero(lengths <= MIN_DISTANCE).squeeze(-1)
    for edge in close[lengths[close].argsort(descending=True)].tolist():
        index = int(graph.batch[edge])
        first, second = sorted(int(end[edge] - crystals.starts[index]) for end in (graph.source, graph.target))
        found[index] = _overlap(first, second, float(lengths[edge]))
    return found


def _overlap(first: int, second: int, distance: float) -> str:
    pair = f"atoms {first} and {second}" if first != second else f"atom {first} and its periodic image"
    what_to_do = "remove or move one" if first != second else "correct the lattice vectors"
    return f"{pair} overlap ({distance:.3f} angstrom apart); {what_to_do}"
