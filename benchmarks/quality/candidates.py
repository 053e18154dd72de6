"""What the benchmarks of candidates share: decorated crystals, real pairs, a volume predictor, and the figures of all.

The crystals of a pair are in the same basis and order; see `empnn.corruption.source.BeforeAfter`.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bench import keep
from empnn.corruption.decorated import decorate
from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch, to_structures
from empnn.data.curation.composition import composition_groups
from empnn.data.curation.isostructural import attach, isostructural
from empnn.data.pairs import load_pairs
from empnn.data.sets import load_split, locate
from empnn.files import data_folder
from empnn.geometry import metric_tensor, turned, volume
from empnn.metrics import displacements, relaxation_metrics

SEED = 0


def decorated(limit: int, largest: int | None = None) -> BeforeAfter:
    """Candidates in the cells and at the places of isostructural crystals, and the crystals they should relax to.

    A: crystals of MP-20's val split in file order that have a partner, of at most `largest` atoms. B: drawn by
    `default_rng([seed, index])` among all partners of another composition in MP-20's partial train split.
    """
    folder = locate(None, "mp_20")
    train, val = (load_split(folder, split).stored for split in ("train", "val"))
    table = isostructural(train, workers=2)
    own = attach(val, table, workers=2)
    small = val.select(np.arange(len(val))).sizes.numpy() <= largest if largest else True
    chosen = np.flatnonzero((table.partners(own) > 0) & small)[:limit]
    uniform = np.array([np.random.default_rng([SEED, index]).uniform() for index in chosen])
    return decorate(val.select(chosen), own, chosen, table, table.partner(chosen, uniform, own))


def real_pairs(name: str) -> BeforeAfter:
    """Structures before and after they were relaxed by DFT: `zintl_dev`, `nbsrh_train` or `nbsrh_val`."""
    path = data_folder() / "pairs" / f"{name}.json.gz"
    pairs = load_pairs([(path, path)])
    everything = np.arange(len(pairs))
    return pairs.before.select(everything), pairs.relaxed.select(everything)


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


def figures(before: CrystalBatch, after: CrystalBatch, truth: CrystalBatch) -> dict[str, Any]:
    """All figures of answers, beside what they left to be done in fractions of doing nothing."""
    found = relaxation_metrics(before, after, truth)
    ten = (volume(after.cell) / volume(truth.cell) - 1).abs() > 0.1
    return {
        "n": found.n,
        **found.after,
        "strain_removed": 1 - found.left("strain_mean"),
        "strain_worse": found.strain_worse,
        "volume_off_by_10_percent": float(ten.to(torch.float64).mean()),
        **by_others(after, truth),
    }


def by_others(after: CrystalBatch, truth: CrystalBatch) -> dict[str, float]:
    """Errors as DeepRelax and E3Relax define them (Yang et al., arXiv 2404.00865 and 2511.12243).

    Mean absolute errors of the Cartesian coordinates (`coordinates_l1`, over atoms and directions, angstrom), of the
    entries of the cell (`cell_l1`, angstrom) and of the volume (`volume_mae`, cubic angstrom), and the mean Frobenius
    norm of the difference of the metric tensors (`metric_frobenius`, square angstrom). The first two compare frames:
    the cells are so turned that the strain between them is symmetric.
    """
    errors = {
        "coordinates_l1": displacements(after, truth).abs().mean(),
        "cell_l1": (turned(after.cell, truth.cell) - truth.cell).abs().mean(),
        "volume_mae": (volume(after.cell) - volume(truth.cell)).abs().mean(),
        "metric_frobenius": torch.linalg.matrix_norm(metric_tensor(after.cell) - metric_tensor(truth.cell)).mean(),
    }
    return {name: float(value) for name, value in errors.items()}


def shown(name: str, row: Mapping[str, Any]) -> str:
    """The figures that matter most, on one line."""
    return (
        f"{name:<20} strain {row['strain_median']:.4f} median {row['strain_mean']:.4f} mean, removed "
        f"{row['strain_removed']:.3f}, worse {row['strain_worse']:.3f}; volume {row['volume_median']:.2f} %; atoms "
        f"{row['positions_median']:.4f} / {row['positions_mean']:.4f} A"
    )


def write(path: Path, description: str | None, **content: Any) -> None:
    """Write a result file, and say so."""
    keep(path, str(description), content)
    print(f"wrote {path}")
