"""`empnn data`: the commands about data sets."""

from __future__ import annotations

import typer

from empnn.cli.data_dedupe import dedupe
from empnn.cli.data_fetch import fetch
from empnn.cli.data_split import split
from empnn.cli.data_stats import stats
from empnn.cli.help import Group, add

app = typer.Typer(
    cls=Group,
    help="Look at data sets, divide them, remove duplicates from them, download them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

for command in (stats, split, dedupe, fetch):
    add(app, command)
