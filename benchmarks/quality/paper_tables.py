"""Tables 1 to 3 of the paper as docs/reproduced.md shows them, from the runs that `empnn reproduce` has done so far.

Nothing is trained here. Cells whose runs are not in the storage keep the figures of benchmarks/results, if these are of
the same preset, budget and split; the others are left out, and the table says how many are done.
Usage: python -m benchmarks.quality.paper_tables [--only TABLE...] [--storage runs/reproduce] [--energies sevennet]
       [--relaxer sevennet --relaxer chgnet]     (EMPNN_DATA names the data folder; scores are kept beside the runs)
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bench import RESULTS
from benchmarks.quality.paper_figures import put
from empnn.errors import ConfigError
from empnn.nn.runtime.cpu import tuned
from empnn.reproduce.collect import collect
from empnn.reproduce.paper import SETS, TABLES
from empnn.reproduce.plan import BUDGETS, PRESETS, rows_of
from empnn.reproduce.scoring import Scoring
from empnn.reproduce.tables import Table

TRAINED = "run"
"""What the figures of a cell have that was trained: the name of its run."""


def with_kept(table: Table, path: Path) -> Table:
    """The table, and the trained cells that it lacks as a result file has them."""
    before = json.loads(path.read_text()) if path.is_file() else {}
    if any(before.get(key) != table.about[key] for key in ("preset", "budget", "split")):
        return table
    cells = {row: dict(sets) for row, sets in table.cells.items()}
    for entry in before["rows"]:
        row, data = entry["row"], entry["data"]
        if TRAINED in entry and data not in cells.get(row, {}):
            figures = {key: value for key, value in entry.items() if key not in ("row", "data", "paper")}
            cells.setdefault(row, {})[data] = figures
    done = sum(TRAINED in figures for sets in cells.values() for figures in sets.values())
    of = table.about["cells done"].split()[-1]
    ordered = {row: cells.pop(row) for row in rows_of(table.name) if row in cells}
    return replace(table, about={**table.about, "cells done": f"{done} of {of}"}, cells={**ordered, **cells})


def main() -> None:
    """Score what is new, and put everything in its place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=TABLES, default=list(TABLES))
    parser.add_argument("--storage", type=Path, default=Path("runs/reproduce"))
    parser.add_argument("--budget", default="small", choices=BUDGETS)
    parser.add_argument("--energies", default="sevennet")
    parser.add_argument("--relaxer", action="append", default=[])
    parser.add_argument("--relaxer-limit", type=int, default=32)
    options = parser.parse_args()
    how = Scoring(storage=options.storage, oracle=options.energies, say=lambda line: print(line, flush=True))
    for name in options.only:
        with tuned(), TemporaryDirectory() as folder:
            try:
                table = collect(
                    name, BUDGETS[options.budget], PRESETS[0], SETS, how, options.relaxer, options.relaxer_limit
                )
            except ConfigError as error:
                print(error, flush=True)
                continue
            table = with_kept(table, RESULTS / f"{name}.json")
            table.write(Path(folder))
            put(name, Path(folder), table.markdown().strip())


if __name__ == "__main__":
    main()
