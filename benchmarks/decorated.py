"""Candidates decorated in the cells and at the places of isostructural crystals, relaxed in one pass.

A: crystals of MP-20's val split in file order that have a partner. B: drawn by `default_rng([seed, index])` among all
partners of another composition in MP-20's partial train split. Doing nothing and pymatgen's DLSVolumePredictor (B's
cell scaled to the volume it predicts) stand beside. Compositions that occur in none of the training sets are reported
apart.
Usage: python benchmarks/decorated.py [MODEL...] [--limit 1200] [--training FOLDER...]   (EMPNN_DATA names the data)
"""

import argparse
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import empnn
from empnn.corruption.decorated import decorate
from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch, to_structures
from empnn.data.curation.composition import composition_groups
from empnn.data.curation.isostructural import attach, isostructural
from empnn.data.sets import load_split, locate
from empnn.files import replacing
from empnn.geometry import volume
from empnn.metrics import relaxation_metrics

SEED = 0


def decorated(limit: int) -> BeforeAfter:
    """The candidates, and the crystals they should relax to."""
    folder = locate(None, "mp_20")
    train, val = (load_split(folder, split).stored for split in ("train", "val"))
    table = isostructural(train, workers=2)
    own = attach(val, table, workers=2)
    chosen = np.flatnonzero(table.partners(own) > 0)[:limit]
    uniform = np.array([np.random.default_rng([SEED, index]).uniform() for index in chosen])
    return decorate(val.select(chosen), own, chosen, table, table.partner(chosen, uniform, own))


def unseen(crystals: CrystalBatch, training: Sequence[Path]) -> np.ndarray:
    """Positions of the crystals whose composition is in none of the training sets."""
    known = [load_split(folder, "train").crystals for folder in training]
    groups = composition_groups(CrystalBatch.cat([crystals, *known]))
    return np.flatnonzero(~np.isin(groups[: len(crystals)], groups[len(crystals) :]))


def scaled_by_dls(before: CrystalBatch) -> CrystalBatch:
    """The candidates in cells of the volume that pymatgen's DLSVolumePredictor finds; as given where it finds none."""
    from pymatgen.analysis.structure_prediction.volume_predictor import DLSVolumePredictor

    predictor, factors = DLSVolumePredictor(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for structure in to_structures(before):
            try:
                factors.append((predictor.predict(structure) / structure.volume) ** (1 / 3))
            except (ValueError, ZeroDivisionError, KeyError):
                factors.append(1.0)
    return before.with_cell(before.cell * torch.tensor(factors, dtype=torch.float64)[:, None, None])


def figures(before: CrystalBatch, after: CrystalBatch, truth: CrystalBatch, apart: np.ndarray) -> dict[str, Any]:
    """Metrics of all candidates and of those of unseen composition."""
    found = relaxation_metrics(before, after, truth)
    of_unseen = relaxation_metrics(*(crystals.select(apart) for crystals in (before, after, truth)))
    ten = (volume(after.cell) / volume(truth.cell) - 1).abs() > 0.1
    return {
        **found.after,
        "strain_worse": found.strain_worse,
        "volume_off_by_10_percent": float(ten.to(torch.float64).mean()),
        "unseen": {"n": of_unseen.n, **of_unseen.after},
    }


def main() -> None:
    """Measure, write the result file and print a line per relaxer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["mp-20"])
    parser.add_argument("--limit", type=int, default=1200)
    parser.add_argument("--training", nargs="*", type=Path, default=[locate(None, "mp_20")])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/decorated.json"))
    options = parser.parse_args()
    before, truth = decorated(options.limit)
    apart = unseen(truth, options.training)
    rows: dict[str, Any] = {}
    answers = {"nothing": lambda: before, "dls": lambda: scaled_by_dls(before)}
    for name in options.models:
        answers[str(name)] = lambda name=name: empnn.load(name).relax_batch(before).crystals
    for name, answer in answers.items():
        rows[name] = row = figures(before, answer(), truth, apart)
        print(
            f"{name:<12} strain {row['strain_median']:.4f} median {row['strain_mean']:.4f} mean, volume "
            f"{row['volume_median']:.2f} %, atoms {row['positions_median']:.4f} / {row['positions_mean']:.3f}",
            flush=True,
        )
    result = {"description": __doc__, "seed": SEED, "n": len(truth), "rows": rows}
    with replacing(options.out) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
