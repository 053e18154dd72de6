"""What is shown on stderr while work goes on: the console, and the bar of work whose size is known."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def stderr(quiet: bool = False) -> Console:
    """A console on stderr; without colour when it is not a terminal."""
    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, quiet=quiet)


def bar(what: str, console: Console, hidden: bool) -> Progress:
    """How much is done and how long the rest takes, gone when it ends; tasks are added by whoever does the work."""
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=hidden, transient=True)
