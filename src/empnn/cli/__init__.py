"""The command line, one file per command."""

from __future__ import annotations

import os
import signal
from typing import Annotated

import typer

from empnn.cli import data
from empnn.cli.energy import energy
from empnn.cli.evaluate import evaluate
from empnn.cli.help import WIDEST, Group, add
from empnn.cli.lists import fields, models
from empnn.cli.merge import merge
from empnn.cli.reconstruct import reconstruct
from empnn.cli.relax import convert, relax
from empnn.cli.reproduce import reproduce
from empnn.cli.serve import serve
from empnn.cli.sweep import sweep
from empnn.cli.train import train
from empnn.version import __version__

_ENDINGS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))

app = typer.Typer(
    name="empnn",
    cls=Group,
    help="Relax the unit cells of crystals with an equivariant network: milliseconds each, no forces needed.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options of the program itself."""
    if show:
        typer.echo(f"empnn {__version__}")
        raise typer.Exit


for command in (relax, reconstruct, convert, merge, train, sweep, reproduce, evaluate, energy, serve, models, fields):
    add(app, command)
app.add_typer(data.app, name="data", short_help=data.app.info.help)


def main() -> None:
    """Entry point of the `empnn` command; what a queue or a service sends to end it counts as Ctrl-C."""
    # What spglib prints of tolerances that it tries in vain means nothing to whoever types a command.
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    # Nor do Ray's notes on its own tasks; and nobody is told that it is used.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for number in _ENDINGS:
        signal.signal(number, _end)
    app()


def _end(number: int, frame: object) -> None:
    # `timeout` and queues send it twice, to a process and to its group: the second must not break what the first began.
    for ending in _ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    # A command in the background of a script ignores Ctrl-C, and must end all the same.
    if callable(signal.getsignal(signal.SIGINT)):
        signal.raise_signal(signal.SIGINT)
    else:
        raise KeyboardInterrupt
