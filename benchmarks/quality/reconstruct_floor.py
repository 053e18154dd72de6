"""The least error of any O(3)-equivariant network that starts from the paper's cube of 1 angstrom (Table 3).

The cube has 48 symmetries, the signed permutations of its axes. One that maps the fractional coordinates onto
themselves (species kept, up to a translation) is a symmetry of what the network is given, so it keeps it: axes that it
permutes come out equally long, and an angle that it takes to its supplement is 90 degrees. The primitive cell of rock
salt, whose angles are 60 degrees, comes out as a cube. Printed are the mean errors of the best lattice parameters that
keep all of them (the median of those that have to be equal), and the share of crystals whose nearest such cell is
within a Hencky strain of 0.05, beside the errors of the network of the paper. And how many of the first crystals any
method can have right in the given basis if coordinates were rewritten by 1 and 3 elementary matrices
(benchmarks.quality.ambiguity).
Usage: python -m benchmarks.quality.reconstruct_floor [--split val] [--limit 1000] [--out FILE]
(EMPNN_DATA names the data)
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.quality.ambiguity import SUCCESS, ceiling
from benchmarks.quality.candidates import write
from empnn.corruption.cube import in_cube
from empnn.crystals import CrystalBatch
from empnn.data.sets import locate
from empnn.evaluate import load_crystals
from empnn.geometry import hencky_distance, lattice_parameters, metric_tensor
from empnn.symmetry import SIGNED_PERMUTATIONS

TOLERANCE = 1e-3
"""Difference of fractional coordinates that counts as none."""
REWRITTEN = (1, 3)
PAPER = {"mp_20": (0.174, 1.965), "carbon_24": (0.200, 3.199)}
ANGLES = ((1, 2), (0, 2), (0, 1))


def symmetries(frac: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The signed permutations W with `W x + t` the same crystal for some t, (symmetries, 3, 3)."""
    rare = min(set(numbers.tolist()), key=lambda number: (numbers == number).sum())
    anchors = np.flatnonzero(numbers == rare)
    same = numbers[:, None] == numbers[None, :]
    kept = []
    for matrix in SIGNED_PERMUTATIONS:
        turned = frac @ matrix.T
        shifts = frac[anchors] - turned[anchors[0]]
        apart = (turned + shifts[:, None])[:, :, None] - frac
        near = (np.abs(apart - np.round(apart)).max(-1) < TOLERANCE) & same
        if near.any(2).all(1).any():
            kept.append(matrix)
    return np.array(kept)


def best_parameters(kept: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """The lattice parameters nearest to the true ones (absolute errors) among those that symmetries leave possible."""
    best = parameters.copy()
    for axis in range(3):
        best[axis] = np.median(parameters[list({int(np.flatnonzero(matrix[:, axis])[0]) for matrix in kept})])
    for index, (first, second) in enumerate(ANGLES):
        orbit = set()
        for matrix in kept:
            ends = [int(np.flatnonzero(matrix[:, axis])[0]) for axis in (first, second)]
            sign = int(matrix[ends[0], first] * matrix[ends[1], second])
            orbit.add((3 - sum(ends), sign))
        values = [parameters[3 + i] if sign > 0 else 180 - parameters[3 + i] for i, sign in orbit]
        best[3 + index] = 90.0 if len({i for i, _ in orbit}) < len(orbit) else np.median(values)
    return best


def nearest(kept: np.ndarray, metric: torch.Tensor) -> torch.Tensor:
    """The metric tensor nearest in Hencky strain that symmetries leave possible: the mean of the images of the true."""
    turned = torch.from_numpy(kept).to(metric)
    images = turned.mT @ metric @ turned
    mean = images.mean(0)
    for _ in range(20):
        root, inverse = _power(mean, 0.5), _power(mean, -0.5)
        values, vectors = torch.linalg.eigh(inverse @ images @ inverse)
        step = (vectors @ (values.log().unsqueeze(-1) * vectors.mT)).mean(0)
        mean = root @ torch.linalg.matrix_exp(step) @ root
    return mean


def _power(matrix: torch.Tensor, exponent: float) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ (values**exponent).diag() @ vectors.mT


def floor(crystals: CrystalBatch) -> dict[str, float]:
    """Mean errors of the best parameters, and of the cube; the share that can come out right."""
    parameters, metrics = lattice_parameters(crystals.cell).numpy(), metric_tensor(crystals.cell)
    best, cells = [], []
    for index in range(len(crystals)):
        one = crystals.select([index])
        kept = symmetries(one.frac.numpy(), one.numbers.numpy())
        best.append(best_parameters(kept, parameters[index]))
        cells.append(torch.linalg.cholesky(nearest(kept, metrics[index])))
    errors = np.abs(np.array(best) - parameters)
    median = np.abs(np.median(parameters, axis=0) - parameters)
    nothing = np.abs(lattice_parameters(in_cube(crystals).cell).numpy() - parameters)
    strains = hencky_distance(torch.stack(cells), crystals.cell)
    return {
        "n": len(crystals),
        "lengths_floor": float(errors[:, :3].mean()),
        "angles_floor": float(errors[:, 3:].mean()),
        "lengths_median_cell": float(median[:, :3].mean()),
        "angles_median_cell": float(median[:, 3:].mean()),
        "lengths_cube": float(nothing[:, :3].mean()),
        "angles_cube": float(nothing[:, 3:].mean()),
        "within_reach": float((strains < SUCCESS).double().mean()),
    }


def main() -> None:
    """Print a line per set and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=int, default=1000, help="crystals that are rewritten")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/reconstruct_floor.json"))
    arguments = parser.parse_args()
    rows = []
    for data, (lengths, angles) in PAPER.items():
        crystals = load_crystals(locate(None, data), arguments.split)
        found: dict[str, Any] = floor(crystals)
        few = [crystals.select([index]) for index in range(min(arguments.limit, len(crystals)))]
        found["rewritten"] = len(few)
        for matrices in REWRITTEN:
            found[f"ceiling_{matrices}"] = float(np.mean([ceiling(one, matrices) for one in few]))
        rows.append({"data": data, "split": arguments.split, **found, "lengths_paper": lengths, "angles_paper": angles})
        print(
            f"{data}: floor {found['lengths_floor']:.3f} A, {found['angles_floor']:.2f} degrees; paper {lengths} A, "
            f"{angles} degrees; the median cell {found['lengths_median_cell']:.2f} A, "
            f"{found['angles_median_cell']:.1f} degrees; within reach {found['within_reach']:.3f}; rewritten by 3 "
            f"matrices {found['ceiling_3']:.3f}",
            flush=True,
        )
    write(arguments.out, __doc__, rows=rows)


if __name__ == "__main__":
    main()
