"""What makes a crystal unusable, and what makes a result doubtful."""

import itertools

import numpy as np
import torch

from empnn.crystals import CrystalBatch
from empnn.geometry import lattice_parameters, volume
from empnn.graph.neighbours import reduced_search

MIN_VOLUME_PER_ATOM = 0.5
MIN_DISTANCE = 0.3
MAX_LENGTH = 1e4
USUAL_VOLUMES = (2.0, 200.0)
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


def doubts(before: CrystalBatch, after: torch.Tensor, elements: set[int], strain_limit: float) -> list[list[str]]:
    """For each structure the reasons to look at the result twice, in words.

    Args:
        before: The crystals as given.
        after: Relaxed cells (structures, 3, 3), angstrom.
        elements: Atomic numbers the model was trained on; empty if unknown.
        strain_limit: Largest principal Hencky strain that the model was trained to remove.
    """
    volumes = {"given": volume(before.cell) / before.sizes, "relaxed": volume(after) / before.sizes}
    stretches = torch.linalg.svdvals(torch.linalg.solve(before.cell, after))
    strain = stretches.log().abs().amax(-1)
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
        reasons.append(found)
    return reasons


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
    try:
        search, _, _ = reduced_search(crystals)
    except ValueError:
        if len(crystals) > 1:
            return [_overlaps(crystals.select([index]))[0] for index in range(len(crystals))]
        return ["its cell is so skewed that no compact basis is found; write it in a more compact basis"]
    # The shortest vector of a lattice is among the seven Voronoi vectors of a basis reduced by Selling.
    shortest = np.linalg.norm(_VORONOI @ search.cell, axis=-1).min(-1)
    found = [_overlap(0, 0, length) if length <= MIN_DISTANCE else None for length in shortest.tolist()]
    # Neighbours in such a lattice could be too many. A large empty cell must not be cut into very many small ones.
    spacing = (volume(crystals.cell).numpy() / search.sizes) ** (1 / 3)
    edges = search.within(np.maximum(spacing / 2, MIN_DISTANCE), np.flatnonzero(shortest > MIN_DISTANCE))
    close = edges.keep(edges.length <= MIN_DISTANCE)
    for edge in np.argsort(-close.length, kind="stable").tolist():
        ends = close.source[edge], close.target[edge]
        index = search.owner[ends[0]]
        first, second = sorted(int(end - search.starts[index]) for end in ends)
        found[index] = _overlap(first, second, float(close.length[edge]))
    return found


def _overlap(first: int, second: int, distance: float) -> str:
    pair = f"atoms {first} and {second}" if first != second else f"atom {first} and its periodic image"
    what_to_do = "remove or move one" if first != second else "correct the lattice vectors"
    return f"{pair} overlap ({distance:.3f} angstrom apart); {what_to_do}"


def _symbol(number: int) -> str:
    from ase.data import chemical_symbols

    return str(chemical_symbols[number])
