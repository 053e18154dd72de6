"""Predicted errors of the default model beside the true ones, and what they cost.

Sets that took no part in fitting or calibration: MP-20's val split strained at 0.1 (with 0.1 A on atoms, and without),
decorated candidates of val, and zintl_dev, far from the training set. Of each: share of the errors below their 90 %
bounds, also by thirds of predicted error and by number of atoms; Spearman's correlation of predicted and true errors;
the mean bound over the constant bound of equal coverage; the share marked as suspect for it, and of the 5 % with the
largest volume errors the share that is marked, or is among the tenth with the largest predicted ones. Then known hard
cases, and the throughput with and without predicted errors, in turns.
Usage: python -m benchmarks.quality.errors [--model pbe] [--limit 2000]   (EMPNN_DATA names the data)
       python -m benchmarks.quality.errors --draw                         (the picture from the result file)
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from scipy.stats import spearmanr

import empnn
from benchmarks.bench import RESULTS, ROOT
from benchmarks.pages import fill
from benchmarks.quality.candidates import decorated, real_pairs, write
from empnn.checks.doubts import LARGE_ERRORS
from empnn.corruption.source import BeforeAfter
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, to_structures
from empnn.data.sets import load_split, locate
from empnn.nn.error_head import ERRORS, ErrorHead
from empnn.relax import Relaxer
from empnn.training.calibration import Answering, answer_errors, signals_and_answers
from empnn.viz.reliability import binned, reliability

PAGE = ROOT / "docs" / "trust.md"
SIZES = ((1, 4), (5, 10), (11, 20))
SIGMA = DISPLACEMENT = 0.1
SEED, ROUNDS = 0, 5
DRAWN = ("decorated", "strained", "zintl_dev")
HARD = {
    "diamond": (bulk("C", "diamond", 3.574), 11.41),
    "c-BN": (bulk("BN", "zincblende", 3.626), 11.92),
    "Xe, fcc": (bulk("Xe", "fcc", 7.07), 88.3),
    "Hg, rhombohedral": (bulk("Hg", "rhombohedral", a=3.41, alpha=62.5), 29.3),
}
"""Crystals as PBE has them, about, and their volumes in cubic angstrom per primitive cell."""


def sets(limit: int) -> dict[str, BeforeAfter]:
    """Crystals before and after."""
    val = load_split(locate(None, "mp_20"), "val").stored
    truth = val.select(np.arange(min(limit, len(val))))
    return {
        "decorated": decorated(min(limit, 1200)),
        "strained": (with_fixed_noise(truth, SIGMA, SEED, DISPLACEMENT), truth),
        "strained, atoms in place": (with_fixed_noise(truth, SIGMA, SEED), truth),
        "zintl_dev": real_pairs("zintl_dev"),
    }


def predicted(relaxer: Relaxer, head: ErrorHead, pair: BeforeAfter) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted errors, bounds and true errors, (structures, errors) each."""
    before, truth = pair
    signals, answers = signals_and_answers(Answering(relaxer.network, relaxer.elements, relaxer.shrinkage), before)
    if signals is None:
        raise ValueError("the network has no features, so nothing tells of its errors")
    with torch.inference_mode():
        expected, bounds = head.predict(signals)
    true = answer_errors(answers, truth, relaxer.moves_atoms)
    return expected.numpy(), bounds.numpy(), true.numpy()


def figures(expected: np.ndarray, bounds: np.ndarray, true: np.ndarray, sizes: np.ndarray) -> dict[str, Any]:
    """What is reported of one set."""
    held, rows = true <= bounds, {}
    for column, name in enumerate(ERRORS[: true.shape[1]]):
        of, below = held[:, column], bounds[:, column]
        thirds = np.array_split(np.argsort(expected[:, column]), 3)
        rows[name] = {
            "coverage": of.mean(),
            "coverage_thirds": [of[part].mean() for part in thirds],
            "coverage_sizes": [of[(low <= sizes) & (sizes <= high)].mean() for low, high in SIZES],
            "spearman": spearmanr(expected[:, column], true[:, column])[0],
            "bound_over_constant": below.mean() / np.quantile(true[:, column], of.mean()),
            "predicted_mean": expected[:, column].mean(),
            "true_mean": true[:, column].mean(),
        }
    limits = [LARGE_ERRORS[f"{name}_90"][0] for name in ERRORS[: true.shape[1]]]
    marked = (bounds > limits).any(1)
    worst = true[:, 1] >= np.quantile(true[:, 1], 0.95)
    feared = bounds[:, 1] >= np.quantile(bounds[:, 1], 0.9)
    return {
        "n": len(true),
        **{name: rounded(row) for name, row in rows.items()},
        "suspect": round(float(marked.mean()), 3),
        "worst_suspect": round(float(marked[worst].mean()), 3),
        "worst_in_feared_tenth": round(float(feared[worst].mean()), 3),
    }


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Three digits."""
    return {k: [round(float(v), 3) for v in x] if isinstance(x, list) else round(float(x), 3) for k, x in row.items()}


def hard_cases(relaxer: Relaxer) -> dict[str, Any]:
    """What becomes of crystals that models get wrong."""
    found = {}
    for name, (atoms, volume) in HARD.items():
        one = relaxer.relax(atoms)
        errors = {} if one.errors is None else {k: round(v, 3) for k, v in one.errors.as_dict().items()}
        off = 100 * (one.structures.get_volume() / volume - 1)
        found[name] = {"volume_error": round(float(off), 1), "status": one.status, "why": one.warnings, **errors}
    return found


def cost(model: str, before: CrystalBatch) -> dict[str, float]:
    """Crystals per second with and without predicted errors, in turns; the best of some rounds."""
    given: list[Atoms] = [structure.to_ase_atoms() for structure in to_structures(before)]
    kinds = {"with": empnn.load(model), "without": empnn.load(model)}
    kinds["without"].error_head = None
    rates = dict.fromkeys(kinds, 0.0)
    for _ in range(ROUNDS):
        for kind, relaxer in kinds.items():
            started = time.perf_counter()
            relaxer.relax(given)
            rates[kind] = max(rates[kind], len(given) / (time.perf_counter() - started))
    return {**{kind: round(rate) for kind, rate in rates.items()}, "ratio": round(rates["with"] / rates["without"], 3)}


def table(rows: dict[str, Any]) -> str:
    """The tables of docs/trust.md."""
    lines = [
        "| set | error | below the bound | by thirds of predicted error | 1-4, 5-10, 11-20 atoms | Spearman "
        "| mean bound / constant bound | predicted, true mean |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        for error in (error for error in ERRORS if error in row):
            found = row[error]
            parts = (found["coverage"], *map(_listed, (found["coverage_thirds"], found["coverage_sizes"])))
            means = f"{found['predicted_mean']:.3g}, {found['true_mean']:.3g}"
            shown = " | ".join(map(str, (*parts, found["spearman"], found["bound_over_constant"], means)))
            lines.append(f"| {name} | {error} | {shown} |")
    lines += ["", "| set | marked as suspect for it | of the 5 % with the largest volume errors |", "|---|---|---|"]
    lines += [f"| {name} | {row['suspect']:.1%} | {row['worst_suspect']:.0%} |" for name, row in rows.items()]
    return "\n".join(lines)


def _listed(shares: list[float]) -> str:
    return ", ".join(f"{share:.2f}" for share in shares)


def main() -> None:
    """Measure, draw, write the result file and print a line per set and error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pbe")
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=RESULTS / "errors.json")
    parser.add_argument("--picture", type=Path, default=Path("docs/images/errors.png"))
    parser.add_argument("--draw", action="store_true", help="draw what the result file holds, and measure nothing")
    options = parser.parse_args()
    if options.draw:
        reliability(json.loads(options.out.read_text())["reliability"], options.picture)
        return
    relaxer = empnn.load(options.model)
    if relaxer.error_head is None:
        raise SystemExit(f"{options.model} predicts no errors")
    rows, drawn = {}, {}
    pairs = sets(options.limit)
    for name, pair in pairs.items():
        found = predicted(relaxer, relaxer.error_head, pair)
        rows[name] = figures(*found, pair[0].sizes.numpy())
        drawn[name] = {
            error: binned(*(part[:, i] for part in found)) for i, error in enumerate(ERRORS[: found[0].shape[1]])
        }
        for error in drawn[name]:
            print(f"{name:<24} {error:<9} {rows[name][error]}")
        print({key: rows[name][key] for key in ("suspect", "worst_suspect", "worst_in_feared_tenth")}, flush=True)
    points = {name: drawn[name] for name in DRAWN}
    reliability(points, options.picture)
    hard = hard_cases(relaxer)
    print(hard)
    speed = cost(options.model, pairs["decorated"][0])
    print(speed)
    write(
        options.out, __doc__, model=options.model, rows=rows, reliability=points, hard=hard, crystals_per_second=speed
    )
    fill(PAGE, "errors", table(rows))


if __name__ == "__main__":
    main()
