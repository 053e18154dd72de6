"""What makes a crystal unusable, and what makes a result doubtful."""

import torch

from empnn.crystals import CrystalBatch
from empnn.geometry import lattice_parameters, volume
from empnn.graph import cutoff

MIN_VOLUME_PER_ATOM = 0.5
MIN_DISTANCE = 0.3
MAX_LENGTH = 1e4
USUAL_VOLUMES = (2.0, 200.0)


def refusals(crystals: CrystalBatch) -> list[str | None]:
    """For each structure the reason it is refused, `what; what to do`, or None.

    Refused are a volume under 0.5 cubic angstrom per atom (which covers |det(cell)| = 0), a lattice vector longer
    than 10^4 angstrom and two atoms within 0.3 angstrom. A left-handed cell is fine. Invariant under Euc(3), S_n
    and, but for the length of a vector, SL3(Z).
    """
    per_atom = (volume(crystals.cell) / crystals.sizes).tolist()
    longest = lattice_parameters(crystals.cell)[:, :3].amax(1).tolist()
    found: list[str | None] = [_bad_cell(v, length) for v, length in zip(per_atom, longest, strict=True)]
    sound = [i for i, reason in enumerate(found) if reason is None]
    for index, reason in _overlaps(crystals.select(sound)).items():
        found[sound[index]] = reason
    return found


def doubts(before: CrystalBatch, after: torch.Tensor, elements: set[int], strain_limit: float) -> list[list[str]]:
    """For each structure the reasons to look at the result twice, in words.

    Args:
        before: The crystals as given.
        after: Relaxed cells (structures, 3, 3), angstrom.
        elements: Atomic numbers the model was trained on; empty if unknown.
        strain_limit: Largest entry of the Hencky strain that the model was trained to remove.
    """
    per_atom = volume(after) / before.sizes
    change = torch.linalg.matrix_norm(torch.linalg.solve(before.cell, after) - torch.eye(3, dtype=after.dtype), ord=2)
    reasons: list[list[str]] = []
    for index, (start, stop) in enumerate(zip(before.starts[:-1], before.starts[1:], strict=True)):
        found = []
        unseen = set(before.numbers[start:stop].tolist()) - elements if elements else set()
        if unseen:
            found.append(f"elements not in the training data: {', '.join(map(_symbol, sorted(unseen)))}")
        if not USUAL_VOLUMES[0] <= per_atom[index] <= USUAL_VOLUMES[1]:
            found.append(f"relaxed volume {per_atom[index]:.1f} cubic angstrom per atom is outside 2-200")
        if change[index] > strain_limit:
            found.append(f"deformed by {change[index]:.0%}, more than the model was trained to remove")
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


def _overlaps(crystals: CrystalBatch) -> dict[int, str]:
    if len(crystals) == 0:
        return {}
    graph = cutoff(MIN_DISTANCE)(crystals)
    starts = crystals.starts
    found: dict[int, str] = {}
    lengths = torch.linalg.vector_norm(graph.vectors, dim=-1)
    for edge in range(len(graph)):
        index = int(graph.batch[edge])
        first, second = (int(t[edge] - starts[index]) for t in (graph.source, graph.target))
        pair = f"atoms {first} and {second}" if first != second else f"atom {first} and its periodic image"
        found.setdefault(index, f"{pair} overlap ({float(lengths[edge]):.3f} angstrom apart); remove or move one")
    return found


def _symbol(number: int) -> str:
    from ase.data import chemical_symbols

    return str(chemical_symbols[number])
