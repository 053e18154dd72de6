"""Reconstruction (Table 3) by the packaged networks: the paper's protocol, several starts, and skewed bases.

`protocol`: the paper's, one pass from a cube of 1 angstrom in the basis of the data set, beside the paper; mean
absolute errors of lengths and angles, and of those of each crystal the median and the 95th percentile, on val and on
the first crystals of train. benchmarks.quality.reconstruct_floor says what is out of reach.
`given`: all of val in the given basis, by several passes from the cube alone and from the best of the cube and other
shapes, how many are right, and the errors of Niggli-reduced cells.
`starts`: the first crystals of val with their coordinates rewritten by 0, 1, 3 and 6 elementary matrices (+-1, seeded
by the position of the crystal), and how many are right (a Hencky strain below 0.05 to the true cell in the given
basis): from the cube in the given basis, the default there, the one chosen of the starts, by each rank, and any of
them. `same_*` count those, too, that are the true crystal in another basis, which the coordinates allow as well
(benchmarks.quality.ambiguity); `ceiling` is what no choice in the given basis can exceed on average. And the mean and
median errors of the lattice parameters of the chosen cell, Niggli-reduced, beside those of the true one.
Usage: python -m benchmarks.quality.reconstruct [--only mp_20] [--limit 200] [--bases 649] [--matrices 0 1 3 6]
[--oracle sevennet --judged 40]   (EMPNN_DATA names the data; an oracle ranks the starts of the first crystals, too)
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.quality.ambiguity import SUCCESS, ceiling, niggli, same_crystal
from benchmarks.quality.candidates import write
from empnn.corruption.cube import in_cube
from empnn.crystals import CrystalBatch
from empnn.data.sets import locate
from empnn.energy.answers import Choice
from empnn.energy.oracle import OracleRelaxation
from empnn.energy.run import Job, energies_of
from empnn.evaluate import load_crystals
from empnn.geometry import hencky_distance, lattice_parameters
from empnn.models import card_of, find, write_card
from empnn.relax.reconstruct import AGREEMENT, NONE, RANKS, Reconstruction, Reconstructor, load
from empnn.reproduce.paper import TABLE3
from empnn.symmetry import change_basis, elementary_product

MODELS = {"mp_20": "mp-20-reconstruct", "carbon_24": "carbon-24-reconstruct"}
TRAINED = 1500
"""Crystals of train that are looked at."""
MOST_PRODUCTS = 3
"""Elementary matrices of which all products can be listed, for the ceiling."""


def rewritten(crystals: CrystalBatch, matrices: int) -> CrystalBatch:
    """The crystals in a basis that so many elementary matrices lead to."""
    changes = [elementary_product(np.random.default_rng([0, index]), matrices) for index in range(len(crystals))]
    return change_basis(crystals, torch.from_numpy(np.stack(changes)))


def errors(cells: torch.Tensor, crystals: CrystalBatch) -> dict[str, float]:
    """Mean absolute errors of lengths and angles; the median and the 95th percentile of those of a crystal."""
    off = (lattice_parameters(cells) - lattice_parameters(crystals.cell)).abs()
    found = {}
    for name, own in (("lengths", off[:, :3].mean(1)), ("angles", off[:, 3:].mean(1))):
        found[f"{name}_mae"] = float(own.mean())
        found[f"{name}_median"], found[f"{name}_95"] = own.quantile(own.new_tensor([0.5, 0.95])).tolist()
    return found


def protocol(model: Reconstructor, crystals: CrystalBatch) -> dict[str, Any]:
    """The paper's one pass; what fails counts as the cube."""
    cells = model.protocol(crystals)
    failed = ~torch.isfinite(cells).all(-1).all(-1)
    cells = torch.where(failed[:, None, None], in_cube(crystals).cell, cells)
    right = hencky_distance(cells, crystals.cell) < SUCCESS
    return {
        "n": len(crystals),
        "failed": int(failed.sum()),
        **errors(cells, crystals),
        "right": float(right.double().mean()),
    }


def given_basis(model: Reconstructor, crystals: CrystalBatch) -> dict[str, Any]:
    """All passes in the given basis alone; what fails counts as the cube."""
    found: dict[str, Any] = {"n": len(crystals)}
    for name, rank in (("cube", NONE), ("shapes", AGREEMENT)):
        answers = _answers(model.reconstruct(crystals, rank=rank), crystals)
        right = (hencky_distance(answers, crystals.cell) < SUCCESS).double()
        deviation = float(right.std() / len(right) ** 0.5)
        shares = {"right": float(right.mean()), "standard_error": deviation}
        found[name] = {**shares, **_niggli_errors(answers, crystals)}
    return found


def starts(model: Reconstructor, crystals: CrystalBatch, options: argparse.Namespace, matrices: int) -> dict[str, Any]:
    """How often one of several starts is right, and the chosen one."""
    given = rewritten(crystals, matrices)
    first, few = (_answers(model.reconstruct(given, rank=rank), given) for rank in (NONE, AGREEMENT))
    started = time.perf_counter()
    found = model.reconstruct(given, options.bases)
    seconds = time.perf_counter() - started
    right, same = _right(found, given)
    row: dict[str, Any] = {
        "matrices": matrices,
        "n": len(crystals),
        "bases": options.bases,
        "starts": len(found.cells),
        "seconds_per_crystal": seconds / len(crystals),
        "success_at_1": float((hencky_distance(first, given.cell) < SUCCESS).double().mean()),
        "success_given": float((hencky_distance(few, given.cell) < SUCCESS).double().mean()),
        "success_any": float(right.any(0).mean()),
        "same_any": float(same.any(0).mean()),
    }
    if matrices <= MOST_PRODUCTS:
        row["ceiling"] = float(np.mean([ceiling(crystals.select([i]), matrices) for i in range(len(crystals))]))
    for rank in RANKS:
        chosen = found.ranked(rank).chosen.numpy()
        row[f"success_by_{rank}"], row[f"same_by_{rank}"] = _shares(right, same, chosen)
    if options.oracle:
        job = Job(choice=Choice(options.oracle, {}), relaxation=OracleRelaxation(mode="none"))
        part = given.select(np.arange(min(options.judged, len(given))))
        judged = model.reconstruct(part, options.bases, rank=partial(energies_of, job=job))
        row["judged"], row["oracle"] = len(part), options.oracle
        row["success_by_oracle"], row["same_by_oracle"] = _shares(*_right(judged, part), judged.chosen.numpy())
    return {**row, **_niggli_errors(_answers(found, given), given)}


def _answers(found: Reconstruction, crystals: CrystalBatch) -> torch.Tensor:
    """The cells that were found; what fails counts as the cube."""
    return torch.where(found.cell.isnan(), in_cube(crystals).cell, found.cell)


def _right(found: Reconstruction, given: CrystalBatch) -> tuple[np.ndarray, np.ndarray]:
    """Which starts led to the true cell, and which to the true crystal, (starts, structures)."""
    usable = torch.isfinite(found.cells).all(-1).all(-1)
    cells = torch.where(usable[..., None, None], found.cells, in_cube(given).cell)
    right = np.stack([(hencky_distance(some, given.cell) < SUCCESS).numpy() for some in cells])
    same = right.copy()
    for index in range(len(given)):
        one = given.select([index])
        truth, frac, numbers = one.cell[0].numpy(), one.frac.numpy(), one.numbers.numpy()
        for start in np.flatnonzero(~right[:, index]):
            same[start, index] = same_crystal(cells[start, index].numpy(), truth, frac, numbers)
    return right, same


def _shares(right: np.ndarray, same: np.ndarray, chosen: np.ndarray) -> tuple[float, float]:
    columns = np.arange(right.shape[1])
    return float(right[chosen, columns].mean()), float(same[chosen, columns].mean())


def _niggli_errors(answers: torch.Tensor, crystals: CrystalBatch) -> dict[str, float]:
    off = errors(_niggli(answers), crystals.with_cell(_niggli(crystals.cell)))
    return {f"niggli_{name}": value for name, value in off.items()}


def _niggli(cells: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.from_numpy(niggli(cell)) @ torch.from_numpy(cell) for cell in cells.numpy()])


def main() -> None:
    """Print a line per figure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--bases", type=int, default=649)
    parser.add_argument("--oracle")
    parser.add_argument("--judged", type=int, default=40)
    parser.add_argument("--matrices", type=int, nargs="*", default=[0, 1, 3, 6])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/reconstruct.json"))
    options = parser.parse_args()
    rows = []
    for data in options.only:
        name = MODELS[data]
        model, crystals = load(name), load_crystals(locate(None, data), "val")
        trained = load_crystals(locate(None, data), "train").select(np.arange(TRAINED))
        lengths, angles = TABLE3["empnn"][data]
        found = {"data": data, "protocol": protocol(model, crystals), "lengths_paper": lengths, "angles_paper": angles}
        found["train"] = protocol(model, trained)
        print(data, found["protocol"], f"paper {lengths} / {angles}", flush=True)
        found["given"] = given_basis(model, crystals)
        print(data, found["given"], flush=True)
        few = crystals.select(np.arange(min(options.limit, len(crystals))))
        found["starts"] = []
        for matrices in options.matrices:
            found["starts"].append(starts(model, few, options, matrices))
            print(data, found["starts"][-1], flush=True)
        rows.append(found)
        write_card(find(name), {**card_of(name), "reconstruction": {"split": "val", **found["protocol"]}})
    write(options.out, __doc__, rows=rows)


if __name__ == "__main__":
    main()
