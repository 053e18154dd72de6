"""How many radial functions the paper's network needs: the same training with 32, 16 and 8 of them.

The preset `paper` with `ketbra-e` on MP-20 for some steps, the same batches and seeds; fractions of the noise removed
from the first 1,000 structures of the validation split, by which nothing is chosen.
Usage: python -m benchmarks.quality.radial [--steps 800]   (EMPNN_DATA names the data)
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.bench import fast_process, row, write
from empnn.data.sets import load_split, locate
from empnn.evaluate import denoise
from empnn.relax import load
from empnn.training.config import load_config
from empnn.training.report import Reporter
from empnn.training.run import train

COUNTS = (32, 16, 8)


def main() -> None:
    """Train and score each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=800)
    steps = parser.parse_args().steps
    fast_process()
    crystals = load_split(locate(None, "mp_20"), "val").crystals.select(range(1000))
    found, rows = {}, []
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            settings = [f"model.radial.count={count}", "data=mp_20", f"train.steps={steps}", f"train.out={folder}/run"]
            schedule = ["train.learning_rate=1e-3", "train.warmup_steps=50", "train.decay=true"]
            validations = [f"train.validate_every={steps}", "train.validate_structures=200"]
            run = train(load_config("paper", [*settings, *schedule, *validations]), Reporter(quiet=True))
            found[str(count)] = denoise(load(Path(run)), crystals, 0.1).as_dict()
        removed = (found[str(count)][key] for key in ("lengths_removed", "angles_removed"))
        rows.append(
            row(f"removed after {steps} steps, {count} radial functions", " / ".join(f"{x:.3f}" for x in removed), "")
        )
        print(rows[-1], flush=True)
    write("radial", __doc__ or "", {"steps": steps, "scores": found, "rows": rows})


if __name__ == "__main__":
    main()
