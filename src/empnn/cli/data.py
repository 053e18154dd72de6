"""`empnn data`: the commands about data sets."""

from __future__ import annotations

import typer

from empnn.cli.data_fetch import fetch

app = typer.Typer(help="Data sets.", no_args_is_help=True, rich_markup_mode=None)

for command in (fetch,):
    app.command()(command)
