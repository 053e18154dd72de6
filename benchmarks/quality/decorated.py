"""Candidates decorated in the cells and at the places of isostructural crystals.

A: crystals of MP-20's val split in file order that have a partner. B: drawn by `default_rng([seed, index])` among all
partners of another composition in MP-20's partial train split. Doing nothing and pymatgen's DLSVolumePredictor (B's
cell scaled to the volume it predicts) stand beside, and the answers of one pass, without the second that some have.
Compositions that occur in none of the training sets are reported apart. With `--fix` also where something is to stay:
positions, or cells, which then are those of A.
Usage: python -m benchmarks.quality.decorated [MODEL...] [--fix cell positions] [--limit 1200] [--training FOLDER...]
(EMPNN_DATA names the data)
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import empnn
from benchmarks.bench import RESULTS
from benchmarks.quality.candidates import SEED, decorated, figures, scaled_by_dls, shown, unseen, write
from empnn.crystals import CELL, FIXABLE
from empnn.data.sets import locate
from empnn.files import data_folder
from empnn.models import card_of, find, packaged, write_card


def for_card(row: dict[str, Any], nothing: dict[str, Any]) -> dict[str, Any]:
    """What the card of a model says of its row."""
    measured = {name: row[name] for name in ("n", "strain_removed", "strain_mean", "strain_median", "volume_median")}
    removed = 1 - row["positions_mean"] / nothing["positions_mean"]
    return {**measured, "positions_mean": row["positions_mean"], "positions_removed": removed}


def main() -> None:
    """Measure, write the result file and the cards of packaged models, and print a line per relaxer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["mp-20", "pbe"])
    parser.add_argument("--fix", nargs="*", default=[], choices=FIXABLE)
    parser.add_argument("--limit", type=int, default=1200)
    parser.add_argument(
        "--training", nargs="*", type=Path, default=[locate(None, "mp_20"), data_folder() / "pbe_extra"]
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "decorated.json")
    options = parser.parse_args()
    before, truth = decorated(options.limit)
    apart = unseen(truth, options.training)
    answers = {"nothing": lambda: before, "dls": lambda: scaled_by_dls(before)}
    for name, fix in itertools.product(options.models, (None, *options.fix)):
        given = before.with_cell(truth.cell) if fix == CELL else before
        row = f"{name} fix={fix}" if fix else name
        answers[row] = lambda *, name=name, given=given, fix=fix: empnn.load(name).relax_batch(given, fix=fix).crystals
    for name in options.models:
        answers[f"{name} passes=1"] = lambda *, name=name: empnn.load(name).relax_batch(before, passes=1).crystals
    rows: dict[str, Any] = {}
    for name, answer in answers.items():
        after = answer()
        rows[name] = figures(before, after, truth)
        rows[name]["unseen"] = figures(*(crystals.select(apart) for crystals in (before, after, truth)))
        print(shown(name, rows[name]), flush=True)
    write(options.out, __doc__, seed=SEED, rows=rows)
    if options.out == RESULTS / "decorated.json":
        for name in set(options.models) & set(packaged()):
            write_card(find(name), {**card_of(name), "decorated": for_card(rows[name], rows["nothing"])})


if __name__ == "__main__":
    main()
