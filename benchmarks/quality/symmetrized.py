"""Answers made symmetric: how many are, whether their groups are the true ones, and what that does to the errors.

Crystals of MP-20's validation split, strained with sigma 0.1 and their atoms displaced by 0.1 angstrom, or strained
alone, and decorated candidates (`decorated.py`), which keep their symmetry; relaxed as they are and with `symmetrize`
at several tolerances. An answer is symmetric if spglib finds a space group other than P1 within 0.01 angstrom, and has
the true group if that is the one found in the true crystal. Errors are those of `decorated.py`.
Usage: python -m benchmarks.quality.symmetrized [--model pbe] [--limit N]   (EMPNN_DATA names the data)
"""

import argparse
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import empnn
from benchmarks.bench import RESULTS, fast_process
from benchmarks.pages import fill
from benchmarks.quality.candidates import decorated, shown, write
from empnn.corruption.source import BeforeAfter
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, from_atoms, to_atoms
from empnn.data.sets import load_split, locate
from empnn.metrics import relaxation_metrics
from empnn.relax import Relaxer
from empnn.space_groups import group_names

PAGE = RESULTS.parents[1] / "docs" / "conventions.md"
SIGMA, POSITIONS, DECORATED = 0.1, 0.1, 1200
TOLERANCES = (None, 0.1, 0.3)
DECISIVE, WANTED = 0.3, 0.93
"""The tolerance at which this share of the strained crystals is to end symmetric."""
ERRORS = ("strain_mean", "strain_median", "volume_median", "lengths_mae", "angles_mae", "positions_mean")
CHUNK = 512
_P1 = "P1 (1)"


def figures(model: Relaxer, given: BeforeAfter, true: list[str], tolerance: float | None) -> dict[str, Any]:
    """What becomes of crystals at a tolerance; as they are if that is None."""
    before, truth = given
    started = time.perf_counter()
    answers = []
    for some in torch.arange(len(before)).split(CHUNK):
        relaxed = model.relax(to_atoms(before.select(some)), symmetrize=tolerance).structures
        answers += [from_atoms(atoms) for atoms in relaxed if atoms is not None]
    seconds = time.perf_counter() - started
    after = CrystalBatch.cat(answers)
    found = group_names(after)
    symmetric = np.array([name != _P1 for name in found])
    of_truth = np.array([name != _P1 for name in true])
    metrics = relaxation_metrics(before, after, truth)
    return {
        "n": len(truth),
        "symmetric": float(symmetric.mean()),
        "symmetric_of_symmetric": float(symmetric[of_truth].mean()),
        "true_group": float(np.mean([one == other for one, other in zip(found, true, strict=True)])),
        **metrics.after,
        "strain_removed": 1 - metrics.left("strain_mean"),
        "strain_worse": metrics.strain_worse,
        "milliseconds_per_crystal": 1000 * seconds / len(truth),
    }


def cases(limit: int | None) -> dict[str, BeforeAfter]:
    """The crystals before, and as they should be."""
    val = load_split(locate(None, "mp_20"), "val").crystals
    truth = val.select(range(len(val) if limit is None else min(limit, len(val))))
    return {
        "strained, atoms too": (with_fixed_noise(truth, SIGMA, 0, POSITIONS), truth),
        "strained": (with_fixed_noise(truth, SIGMA, 0), truth),
        "decorated": decorated(min(limit or DECORATED, DECORATED)),
    }


def table(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """What becomes of the crystals at each tolerance, in Markdown."""
    lines = [
        "| crystals | tolerance, Å | symmetric | of those that should be | true group "
        "| Hencky strain left, median / mean | volume error, median | atoms off by, median / mean |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, found in rows.items():
        for tolerance, row in found.items():
            cells = [
                f"{row['n']:,} {case}",
                tolerance,
                *(f"{100 * row[name]:.1f} %" for name in ("symmetric", "symmetric_of_symmetric", "true_group")),
                f"{row['strain_median']:.4f} / {row['strain_mean']:.4f}",
                f"{row['volume_median']:.2f} %",
                f"{row['positions_median']:.4f} / {row['positions_mean']:.4f} Å",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def shortfalls(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """What the figures should be and are not."""
    wrong = []
    for case, found in rows.items():
        plain, exact = found["as it is"], found[f"{DECISIVE:g}"]
        if case == "decorated":
            continue
        wrong += [f"{case}: {name} grows" for name in ERRORS if exact[name] > plain[name]]
        if exact["symmetric"] < WANTED:
            wrong.append(f"{case}: only {exact['symmetric']:.3f} are symmetric")
    return wrong


def main() -> None:
    """Measure, write the result file and the table of the page, and print a line per case and tolerance."""
    fast_process()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pbe")
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    model = empnn.load(options.model)
    rows: dict[str, dict[str, Any]] = {}
    for case, given in cases(options.limit).items():
        true = group_names(given[1])
        for tolerance in TOLERANCES:
            name = "as it is" if tolerance is None else f"{tolerance:g}"
            found = figures(model, given, true, tolerance)
            rows.setdefault(case, {})[name] = found
            print(f"{case}, {name}: symmetric {found['symmetric']:.3f}, true group {found['true_group']:.3f}")
            print(shown("", found), flush=True)
    write(RESULTS / "symmetrized.json", __doc__, model=options.model, sigma=SIGMA, positions=POSITIONS, rows=rows)
    fill(PAGE, "symmetrized", table(rows))
    if wrong := shortfalls(rows):
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    main()
