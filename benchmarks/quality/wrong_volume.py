"""Cells of the right shape and the wrong volume: all of `val` with every length scaled, relaxed by the packaged models.

Models that learn only from strains that distort the shape take a perfect shape for a sign that a crystal is relaxed.
Usage: python -m benchmarks.quality.wrong_volume [--out FILE.json]   (EMPNN_DATA names the data)
"""

import argparse
import json
from pathlib import Path

import empnn
from empnn.data.sets import locate
from empnn.evaluate import load_crystals
from empnn.files import replacing
from empnn.metrics import denoising_metrics

MODELS = {"carbon-24": "carbon_24", "mp-20": "mp_20", "pbe": "mp_20", "perov-5": "perov_5"}
SCALES = (0.9, 0.95, 0.98, 1.02, 1.05, 1.1)


def main() -> None:
    """Measure, write the result file and print a line per data set and scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/wrong_volume.json"))
    out = parser.parse_args().out
    rows = []
    for name, data in MODELS.items():
        crystals, model = load_crystals(locate(None, data), "val"), empnn.load(name)
        for scale in SCALES:
            scaled = crystals.with_cell(crystals.cell * scale)
            metrics = denoising_metrics(scaled, model.relax_batch(scaled).crystals, crystals)
            rows.append({"data": data, "model": name, "scale": scale, **metrics.as_dict()})
            print(
                f"{name:<10} x {scale:<5} {metrics.noise_lengths:.3f} A, left {metrics.lengths_mae:.3f} A, "
                f"removed {metrics.lengths_removed:.2f}",
                flush=True,
            )
    with replacing(out) as temporary:
        temporary.write_text(json.dumps({"description": __doc__, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
