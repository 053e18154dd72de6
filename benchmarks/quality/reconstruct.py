"""Reconstruction (Table 3) by the packaged networks: the paper's protocol, several starts, and skewed bases.

`protocol`: the paper's, one pass from a cube of 1 angstrom in the basis of the data set, beside the paper; mean
absolute errors of lengths and angles, and of those of each crystal the median and the 95th percentile, on val and on
the first crystals of train. benchmarks.quality.reconstruct_floor says what is out of reach.
`starts`: the first crystals of val with their coordinates rewritten by 0, 1, 3 and 6 elementary matrices (+-1, seeded
by the position of the crystal), and how many are right (a Hencky strain below 0.05 to the true cell in the given basis)
at the first start, at the one chosen of 16, and at any of 16; and the mean and median errors of the lattice parameters
of the chosen cell, Niggli-reduced, beside those of the true one.
Usage: python -m benchmarks.quality.reconstruct [--limit 300] [--starts 16] [--rank errors] [--matrices 0 1 3 6]
(EMPNN_DATA names the data)
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.quality.candidates import write
from empnn.corruption.cube import in_cube
from empnn.crystals import CrystalBatch
from empnn.data.sets import locate
from empnn.evaluate import load_crystals
from empnn.geometry import hencky_distance, lattice_parameters
from empnn.models import card_of, find, write_card
from empnn.relax.reconstruct import Reconstructor, load
from empnn.relax.reconstruct.starts import niggli
from empnn.reproduce.paper import TABLE3
from empnn.symmetry import change_basis, elementary_product

MODELS = {"mp_20": "mp-20-reconstruct", "carbon_24": "carbon-24-reconstruct"}
SUCCESS = 0.05
TRAINED = 1500
"""Crystals of train that are looked at."""


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


def starts(model: Reconstructor, crystals: CrystalBatch, options: argparse.Namespace, matrices: int) -> dict[str, Any]:
    """How often one of several starts is right, and the chosen one."""
    given = rewritten(crystals, matrices)
    found = model.reconstruct(given, options.starts, rank=options.rank)
    usable = torch.isfinite(found.cells).all(-1).all(-1)
    cells = torch.where(usable[..., None, None], found.cells, in_cube(given).cell)
    right = torch.stack([hencky_distance(some, given.cell) < SUCCESS for some in cells])
    chosen = found.chosen.clamp_min(0)
    answer = cells.gather(0, chosen[None, :, None, None].expand(1, -1, 3, 3))[0]
    reduced = [_niggli(some) for some in (answer, given.cell)]
    off = (lattice_parameters(reduced[0]) - lattice_parameters(reduced[1])).abs()
    return {
        "matrices": matrices,
        "n": len(crystals),
        "starts": options.starts,
        "rank": options.rank,
        "success_at_1": float(right[0].double().mean()),
        "success_chosen": float(right.gather(0, chosen[None])[0].double().mean()),
        "success_any": float(right.any(0).double().mean()),
        "niggli_lengths_mean": float(off[:, :3].mean()),
        "niggli_lengths_median": float(off[:, :3].mean(1).quantile(0.5)),
        "niggli_angles_mean": float(off[:, 3:].mean()),
        "niggli_angles_median": float(off[:, 3:].mean(1).quantile(0.5)),
    }


def _niggli(cells: torch.Tensor) -> torch.Tensor:
    return torch.stack(
        [torch.from_numpy(niggli(cell).astype(np.float64)) @ torch.from_numpy(cell) for cell in cells.numpy()]
    )


def main() -> None:
    """Print a line per figure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--starts", type=int, default=16)
    parser.add_argument("--rank", default="errors")
    parser.add_argument("--matrices", type=int, nargs="*", default=[0, 1, 3, 6])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/reconstruct.json"))
    options = parser.parse_args()
    rows = []
    for data, name in MODELS.items():
        model, crystals = load(name), load_crystals(locate(None, data), "val")
        trained = load_crystals(locate(None, data), "train").select(np.arange(TRAINED))
        lengths, angles = TABLE3["empnn"][data]
        found = {"data": data, "protocol": protocol(model, crystals), "lengths_paper": lengths, "angles_paper": angles}
        found["train"] = protocol(model, trained)
        print(data, found["protocol"], f"paper {lengths} / {angles}", flush=True)
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
