"""Cells of the right shape and the wrong volume: all of `val` with every length scaled, relaxed by the packaged models.

Models that learn only from strains that distort the shape take a perfect shape for a sign that a crystal is relaxed.
Beside them pymatgen's DLSVolumePredictor, on the first crystals of MP-20. Errors of lengths and angles, and the figures
of the other benchmarks of candidates (benchmarks.quality.candidates).
Usage: python -m benchmarks.quality.wrong_volume [--out FILE.json]   (EMPNN_DATA names the data)
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import empnn
from benchmarks.quality.candidates import figures, scaled_by_dls
from benchmarks.quality.denoising import MODELS
from empnn.crystals import CrystalBatch
from empnn.data.sets import locate
from empnn.evaluate import load_crystals
from empnn.files import replacing
from empnn.metrics import denoising_metrics
from empnn.relax import Relaxer

SCALES = (0.9, 0.95, 0.98, 1.02, 1.05, 1.1)
OF_DLS = 1000
"""Crystals that DLSVolumePredictor is asked for."""


def main() -> None:
    """Measure, write the result file and print a line per data set and scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/wrong_volume.json"))
    out = parser.parse_args().out
    rows = []
    for name, data in MODELS.items():
        crystals, model = load_crystals(locate(None, data), "val"), empnn.load(name)
        answer = partial(relaxed, model)
        rows += [scored(data, name, crystals, scale, answer) for scale in SCALES]
    few = load_crystals(locate(None, "mp_20"), "val").select(np.arange(OF_DLS))
    rows += [scored("mp_20", "dls", few, scale, scaled_by_dls) for scale in SCALES]
    with replacing(out) as temporary:
        temporary.write_text(json.dumps({"description": __doc__, "rows": rows}, indent=2) + "\n")


def relaxed(model: Relaxer, given: CrystalBatch) -> CrystalBatch:
    """The answers of a model."""
    return model.relax_batch(given).crystals


def scored(
    data: str, name: str, truth: CrystalBatch, scale: float, answer: Callable[[CrystalBatch], CrystalBatch]
) -> dict[str, Any]:
    """The figures of one set, scale and relaxer."""
    scaled = truth.with_cell(truth.cell * scale)
    after = answer(scaled)
    metrics, others = denoising_metrics(scaled, after, truth), figures(scaled, after, truth)
    print(
        f"{name:<10} x {scale:<5} {metrics.noise_lengths:.3f} A, left {metrics.lengths_mae:.3f} A, "
        f"removed {metrics.lengths_removed:.2f}, worse {others['strain_worse']:.2f}",
        flush=True,
    )
    return {"data": data, "model": name, "scale": scale, **others, **metrics.as_dict()}


if __name__ == "__main__":
    main()
