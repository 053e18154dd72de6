"""Tables 1 to 3 of the paper as docs/reproduced.md shows them, from the runs that `empnn reproduce` has done so far.

Nothing is trained here. Cells whose runs are not in the storage keep the figures of benchmarks/results, if these are of
the same preset, budget and split; the others are left out, and the table says how many are done.
The row of DFT in Table 2 is what relaxers.json holds of potentials and DFT that relax cells by their stress.
Usage: python -m benchmarks.quality.paper_tables [--only TABLE...] [--storage runs/reproduce] [--energies ORACLE...]
       (EMPNN_DATA names the data folder; scores are kept beside the runs)
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.bench import RESULTS
from benchmarks.quality.paper_figures import put
from empnn.errors import ConfigError
from empnn.nn.runtime.cpu import tuned
from empnn.reproduce.collect import DFT, collect
from empnn.reproduce.paper import TABLES
from empnn.reproduce.plan import BUDGETS, PRESETS, Budget, cells_of, rows_of, sets_of
from empnn.reproduce.scoring import Scoring
from empnn.reproduce.tables import COLUMNS, Table

STAND_INS = ("gpaw", "sevennet", "chgnet")
"""DFT for a few crystals, and potentials in its stead."""
TRAINED = "run"
"""What the figures of a cell have that was trained: the name of its run."""


def with_kept(table: Table, budget: Budget) -> Table:
    """The table, and the trained cells that it lacks as its result file has them."""
    path = RESULTS / f"{table.name}.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    if any(before.get(key) != table.about[key] for key in ("preset", "budget", "split")):
        return table
    cells: dict[str, dict[str, Any]] = {row: {} for row in rows_of(table.name)}
    for entry in before["rows"]:
        if TRAINED in entry:
            figures = {key: value for key, value in entry.items() if key not in ("row", "data", "paper")}
            cells[entry["row"]][entry["data"]] = figures
    for row, found in table.cells.items():
        cells[row] = {**cells.get(row, {}), **found}
    done = sum(TRAINED in figures for row in cells.values() for figures in row.values())
    about = {**table.about, "cells done": f"{done} of {len(cells_of(table.name, budget))}"}
    return replace(table, about=about, cells={row: found for row, found in cells.items() if found})


def with_relaxers(table: Table) -> Table:
    """Table 2 with rows for what stands in the place of the paper's DFT; any other as it is."""
    path = RESULTS / "relaxers.json"
    if table.name != "table2" or not path.is_file():
        return table
    cells = {row: found for row, found in table.cells.items() if row != DFT}
    for entry in json.loads(path.read_text())["rows"]:
        if entry["relaxer"] in STAND_INS:
            row = f"{DFT} ({entry['relaxer']}, {entry['n']} {entry['crystals']})"
            figures = {name: entry[name] for name in (*COLUMNS["table2"], "n", "converged")}
            cells[row] = {**cells.get(row, {}), entry["data"]: figures}
    return replace(table, cells=cells)


def main() -> None:
    """Score what is new, and put everything in its place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=TABLES, default=list(TABLES))
    parser.add_argument("--storage", type=Path, default=Path("runs/reproduce"))
    parser.add_argument("--budget", default="small", choices=BUDGETS)
    parser.add_argument("--energies", nargs="*", default=["sevennet", "chgnet"])
    options = parser.parse_args()
    how = Scoring(storage=options.storage, oracles=tuple(options.energies), say=lambda line: print(line, flush=True))
    budget = BUDGETS[options.budget]
    for name in options.only:
        with tuned(), TemporaryDirectory() as folder:
            try:
                table = collect(name, budget, PRESETS[0], sets_of(name), how, [], 0)
            except ConfigError as error:
                print(error, flush=True)
                continue
            table = with_relaxers(with_kept(table, budget))
            table.write(Path(folder))
            put(name, Path(folder), table.markdown().strip())


if __name__ == "__main__":
    main()
