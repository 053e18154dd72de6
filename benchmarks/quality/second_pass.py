"""What the second pass brings that crystals get whose cell the first one changes much; two for all beside it.

The first crystals of each `val`, strained at random, and decorated candidates (benchmarks/quality/decorated.py): what
is left of the Hencky strain after one pass, after one and a second where the first changes the cell much (the default),
and after two. `far`: the share of the crystals that a second pass changed.
Seconds are medians of runs in turns, of the default model.
Usage: python -m benchmarks.quality.second_pass [--limit 1000]   (EMPNN_DATA names the data; fills a table of docs)
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import empnn
from benchmarks.bench import RESULTS, ROOT, alternate
from benchmarks.pages import fill
from benchmarks.quality.candidates import decorated, write
from empnn.corruption.source import BeforeAfter
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch
from empnn.data.sets import locate
from empnn.evaluate import load_crystals
from empnn.geometry import hencky_distance
from empnn.metrics import denoising_metrics, mean_displacements
from empnn.nn.runtime.cpu import tuned
from empnn.relax import Relaxer

PAGE = ROOT / "docs" / "method.md"
MODELS = {"pbe": "mp_20", "mp-20": "mp_20", "carbon-24": "carbon_24", "perov-5": "perov_5"}
SIGMAS = (0.1, 0.2, 0.3)
SEED = 0
SAME = 1e-6
"""Strains below this are rounding."""
REPEATS = 9
PASSES = {"one": 1, "default": None, "two": 2}


def left(relaxer: Relaxer, pair: BeforeAfter) -> dict[str, Any]:
    """Strain left after each number of passes, fractions removed, and displacements left."""
    before, truth = pair
    answers = {name: relaxer.relax_batch(before, passes).crystals for name, passes in PASSES.items()}
    rows: dict[str, Any] = {}
    for name, after in answers.items():
        strain, metrics = hencky_distance(after.cell, truth.cell), denoising_metrics(before, after, truth)
        rows[name] = {
            "strain_mean": float(strain.mean()),
            "strain_median": float(strain.median()),
            "lengths_removed": metrics.lengths_removed,
            "angles_removed": metrics.angles_removed,
            "positions_mean": float(mean_displacements(after, truth).mean()),
        }
    moved = hencky_distance(answers["default"].cell, answers["one"].cell) > SAME
    return {"n": len(truth), "far": float(moved.double().mean()), "passes": rows}


def timed(relaxer: Relaxer, before: CrystalBatch) -> dict[str, float]:
    """Seconds of each number of passes."""
    ways = {name: partial(relaxer.relax_batch, before, passes) for name, passes in PASSES.items()}
    with tuned():
        return alternate(ways, REPEATS)


def table(rows: list[dict[str, Any]]) -> str:
    """What is left, beside the share of the crystals that have a second pass, and what it costs."""
    lines = [
        "| model | crystals | one pass | default | two passes | second passes | time of the default |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = [f"{one['strain_median']:.4f} / {one['strain_mean']:.3f}" for one in row["passes"].values()]
        seconds = row.get("seconds")
        cost = "" if seconds is None else f"{seconds['default'] / seconds['one']:.2f}"
        share = f"{100 * row['far']:.0f} %"
        lines.append(f"| {' | '.join([row['model'], row['kind'], *figures, share, cost])} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, write the result file and print a line per set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS / "second_pass.json")
    options = parser.parse_args()
    rows = []
    for name, data in MODELS.items():
        relaxer, truth = empnn.load(name), load_crystals(locate(None, data), "val").select(range(options.limit))
        sets = {f"sigma {sigma}": (with_fixed_noise(truth, sigma, SEED), truth) for sigma in SIGMAS}
        if name == "pbe":
            sets["decorated"] = decorated(options.limit)
        for kind, pair in sets.items():
            row = {"model": name, "kind": kind, **left(relaxer, pair)}
            if name == "pbe":
                row["seconds"] = timed(relaxer, pair[0])
            rows.append(row)
            shown = "; ".join(
                f"{passes} {one['strain_median']:.4f} median {one['strain_mean']:.4f} mean"
                for passes, one in row["passes"].items()
            )
            print(f"{name:<10} {kind:<10} far {row['far']:.2f}  {shown}", flush=True)
    write(options.out, __doc__, rows=rows)
    if options.out == parser.get_default("out"):
        fill(PAGE, "second-pass", table(rows))


if __name__ == "__main__":
    main()
