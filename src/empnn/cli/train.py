"""`empnn train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from empnn.cli.common import Json, Quiet, in_options, print_json, reports_errors


@reports_errors
def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG|KEY=VALUE",
            help="A preset (default, fine-tune, paper, pegnn, paper-table1) or YAML file, if any; then changes to it.",
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this directory; with train.steps=N, to so many steps.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train on relaxed crystals: no energies, forces or stresses needed.

    The keys are listed in docs/training.md. A wrong one is refused with the name of the nearest.
    """
    from empnn.training.config import load_config
    from empnn.training.parallel import is_first
    from empnn.training.report import Reporter
    from empnn.training.run import resume as resume_run
    from empnn.training.run import train as train_run

    given = list(arguments or [])
    if resume is not None:
        folder = resume_run(resume, Reporter(quiet, in_options), given)
    else:
        base = given.pop(0) if given and "=" not in given[0] else None
        folder = train_run(load_config(base, given), Reporter(quiet, in_options))
    if as_json and is_first(load_config(folder / "config.yaml", whole=True).train):
        print_json({"run": str(folder), **json.loads((folder / "last" / "state.json").read_text())})
