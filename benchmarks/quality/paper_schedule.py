"""What the paper's schedule of 32,768 steps of 256 reaches on Carbon-24, beside doing nothing and the paper.

For a finished run of configs/carbon-24-paper.yaml: its best weights on all of val, on which nothing was trained or
chosen, and its validations on the development set as a picture. The paper's figures are the best of each column of its
Table 2, and its row for the same field.
Usage: python -m benchmarks.quality.paper_schedule runs/carbon-24-paper   (EMPNN_DATA names the data folder)
       python -m benchmarks.quality.paper_schedule --draw                 (the picture from the result file)
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks.bench import RESULTS, ROOT, row, write
from benchmarks.quality.denoising import PAPER, SEED
from empnn.data.sets import locate
from empnn.evaluate import denoise, load_crystals
from empnn.relax import load
from empnn.training.checkpoint import load_run
from empnn.training.config import load_config
from empnn.viz.style import DARK, INK, MIDDLE, save, styled

NAME, SIGMA, SAME_FIELD = "carbon_24", 0.1, (0.084, 1.266)
MEASURES = {"lengths_improvement": "improvement of lengths (Å)", "angles_improvement": "improvement of angles (°)"}
PICTURE = ROOT / "docs" / "images" / "paper_schedule.png"


def main() -> None:
    """Score the run, and draw how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--draw", action="store_true", help="draw what the result file holds, and measure nothing")
    options = parser.parse_args()
    if options.draw:
        held = json.loads((RESULTS / "paper_schedule.json").read_text())
        draw(held["dev"], held["val"], held["best_step"])
        return
    run = options.run
    if run is None:
        parser.error("which run? or --draw")
    _, _, state = load_run(run / "last")
    settings = load_config(run / "config.yaml").train
    if state.step < settings.steps:
        raise SystemExit(f"{run} is at step {state.step:,} of {settings.steps:,}: empnn train --resume {run}")
    crystals = load_crystals(locate(None, NAME), "val")
    scores = denoise(load(run), crystals, SIGMA, SEED).as_dict()
    curve = validations(run)
    draw(curve, scores, state.best_step)
    improvement = "{:.3f} A / {:.3f} deg".format(*(scores[measure] for measure in MEASURES))
    what = f"Carbon-24, {state.step:,} steps of {settings.batch_size}, {scores['n']:,} structures of val, improvement"
    papers = {"best of Table 2": PAPER[NAME], "ketbra-e": SAME_FIELD}
    rows = [row(what, improvement, "paper's {}: {} A / {} deg".format(name, *paper)) for name, paper in papers.items()]
    # Hours of the run, whatever else its cores did.
    times = {"hours": state.seconds / 3600, "best_step": state.best_step}
    write("paper_schedule", __doc__ or "", {**times, "val": scores, "dev": curve, "rows": rows})


def validations(run: Path) -> list[dict[str, Any]]:
    """Step and figures of each validation."""
    keys = [*MEASURES, "lengths_removed", "angles_removed"]
    with (run / "metrics.csv").open() as lines:
        found = [line for line in csv.DictReader(lines) if line.get("lengths_removed")]
    return [{"step": int(line["step"]), **{key: round(float(line[key]), 4) for key in keys}} for line in found]


def draw(curve: list[dict[str, Any]], scores: dict[str, Any], best_step: int) -> None:
    """Improvement over steps, beside the best of the paper's Table 2."""
    with styled():
        figure = Figure(figsize=(7.4, 2.9), layout="constrained")
        panels = figure.subplots(1, 2)
        steps = [each["step"] for each in curve]
        for panel, (measure, label), paper in zip(panels, MEASURES.items(), PAPER[NAME], strict=True):
            panel.plot(steps, [each[measure] for each in curve], color=DARK, linewidth=1.2, label="development set")
            look = {"color": MIDDLE, "markeredgecolor": INK, "zorder": 3}
            panel.plot([best_step], [scores[measure]], "D", label="val, best weights", **look)
            panel.axhline(paper, color=INK, linestyle="--", linewidth=1, label="paper, best of Table 2")
            panel.set(
                xlabel="steps of 256 crystals",
                ylabel=label,
                xlim=(0, 1.03 * steps[-1]),
                ylim=(0, 1.05 * max(scores[measure], *(each[measure] for each in curve))),
            )
            panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        panels[0].legend(loc="lower right")
        save(figure, PICTURE)


if __name__ == "__main__":
    main()
