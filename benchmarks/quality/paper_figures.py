"""Figures 4 and 5 of the paper as docs/reproduced.md shows them: the pictures, the result files and the tables.

Usage: python -m benchmarks.quality.paper_figures     (EMPNN_DATA names the data folder; some minutes)
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.pages import fill
from empnn.reproduce import figure4, figures

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reproduced.md"
SETS = ("carbon_24", "mp_20", "perov_5")
TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "figure4": lambda found: figure4.markdown(found["sets"]),
    "figure5": lambda found: found["text"].strip().partition("\n\n")[2],
}


def put(name: str, folder: Path, table: str) -> None:
    """Put the picture and the result file of a name, which lie in a folder, and its table in their places."""
    shutil.copy(folder / f"{name}.png", ROOT / "docs" / "images")
    shutil.copy(folder / f"{name}.json", ROOT / "benchmarks" / "results")
    fill(PAGE, name, table)
    print(f"wrote {name}.png, {name}.json and a table of {PAGE}", flush=True)


def main() -> None:
    """Draw, and put everything in its place."""
    for name, table in TABLES.items():
        with TemporaryDirectory() as folder:
            found = figures.make(name, SETS, "val", Path(folder), lambda line: print(line, flush=True))
            put(name, Path(folder), table(found))


if __name__ == "__main__":
    main()
