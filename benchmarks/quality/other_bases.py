"""How much of the error on strongly strained crystals is the crystal itself, in another basis.

Coordinates that a change of basis maps onto themselves are this crystal in several cells
(benchmarks.quality.ambiguity), and a strained cell may lie nearer to another of these than to the one it was. Of each
set: the share of crystals of which that is so; the fraction of the errors of lengths and angles removed by the best
there could be without knowing the basis, a guess that knows the relaxed crystal and answers the nearest of these cells;
by the model; and by the model if the answer may be any of these cells. Atoms stay at their fractional coordinates in
the strain.
Usage: python -m benchmarks.quality.other_bases [--limit 1000]   (EMPNN_DATA names the data; fills a table of docs)
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import empnn
from benchmarks.bench import RESULTS, ROOT
from benchmarks.pages import fill
from benchmarks.quality.ambiguity import ALIKE, NEARBY, SUCCESS, amplitudes, niggli
from benchmarks.quality.candidates import write
from benchmarks.quality.second_pass import MODELS, SEED, SIGMAS
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch
from empnn.data.sets import locate
from empnn.evaluate import load_crystals
from empnn.geometry import hencky_distance
from empnn.metrics import denoising_metrics

PAGE = ROOT / "docs" / "accuracy.md"


def cells_of_the_same(cell: np.ndarray, frac: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The cells that are this crystal, or its mirror image, at these coordinates: its own, and nearly reduced ones."""
    reduced = niggli(cell)
    changes = np.linalg.inv(reduced).round() @ NEARBY @ reduced
    seen = amplitudes(frac, numbers, np.eye(3)[None])
    same = np.abs(amplitudes(frac, numbers, changes) - seen).max(1) < ALIKE
    return np.concatenate([cell[None], changes[same] @ cell])


def nearest(cells: Sequence[np.ndarray], given: Tensor) -> Tensor:
    """Of the cells of each crystal the one with the least Hencky strain to the given cell; (structures, 3, 3)."""
    found = []
    for some, one in zip(cells, given, strict=True):
        every = torch.from_numpy(some)
        found.append(every[hencky_distance(every, one.expand_as(every)).argmin()])
    return torch.stack(found)


def figures(model: str, truth: CrystalBatch, cells: Sequence[np.ndarray], sigma: float) -> dict[str, Any]:
    """What is reported of one set."""
    before = with_fixed_noise(truth, sigma, SEED)
    after = empnn.load(model).relax_batch(before).crystals
    guessed, found = nearest(cells, before.cell), nearest(cells, after.cell)
    row: dict[str, Any] = {"model": model, "sigma": sigma, "n": len(truth)}
    row["nearer_to_another"] = float((hencky_distance(guessed, truth.cell) > SUCCESS).double().mean())
    noise = denoising_metrics(before, before, truth)
    for name, answer, true in (
        ("best", truth.with_cell(guessed), truth),
        ("given", after, truth),
        ("any", after, truth.with_cell(found)),
    ):
        metrics = denoising_metrics(before, answer, true)
        row[f"{name}_lengths"] = 1 - metrics.lengths_mae / noise.noise_lengths
        row[f"{name}_angles"] = 1 - metrics.angles_mae / noise.noise_angles
        row[f"{name}_strain"] = float(hencky_distance(answer.cell, true.cell).mean())
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Fractions removed, lengths / angles."""
    lines = [
        "| model | sigma | nearer to the crystal in another basis | removed at best | removed | in any basis |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        pairs = [f"{row[f'{name}_lengths']:.3f} / {row[f'{name}_angles']:.3f}" for name in ("best", "given", "any")]
        start = [row["model"], f"{row['sigma']:g}", f"{100 * row['nearer_to_another']:.0f} %"]
        lines.append(f"| {' | '.join([*start, *pairs])} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, write the result file, print the table and put it into its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS / "other_bases.json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    cells: dict[str, list[np.ndarray]] = {}
    for model, data in MODELS.items():
        truth = load_crystals(locate(None, data), "val").select(range(options.limit))
        if data not in cells:
            each = (truth.select([index]) for index in range(len(truth)))
            cells[data] = [cells_of_the_same(*(a.numpy() for a in (c.cell[0], c.frac, c.numbers))) for c in each]
        for sigma in SIGMAS:
            rows.append(figures(model, truth, cells[data], sigma))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    write(options.out, __doc__, rows=rows)
    if options.out == parser.get_default("out"):
        fill(PAGE, "other-bases", table(rows))


if __name__ == "__main__":
    main()
