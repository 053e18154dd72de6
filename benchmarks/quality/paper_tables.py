"""Tables 1 to 3 of the paper as docs/reproduced.md shows them, from the runs that `empnn reproduce` has done so far.

Nothing is trained here. Cells whose runs are not done are left out, and the table says how many are.
Usage: python -m benchmarks.quality.paper_tables [--only TABLE...] [--storage runs/reproduce] [--energies sevennet]
       [--relaxer sevennet --relaxer chgnet]     (EMPNN_DATA names the data folder; scores are kept beside the runs)
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.quality.paper_figures import put
from empnn.errors import ConfigError
from empnn.nn.runtime.cpu import tuned
from empnn.reproduce.collect import collect
from empnn.reproduce.paper import SETS, TABLES
from empnn.reproduce.plan import BUDGETS, PRESETS
from empnn.reproduce.scoring import Scoring


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
            table.write(Path(folder))
            put(name, Path(folder), table.markdown().strip())


if __name__ == "__main__":
    main()
