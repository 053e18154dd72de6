"""What is shown on stderr while work goes on: the console, and the bar of work whose size is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LONG = 1000
"""Things that are worth a bar without being asked for one."""


def stderr(quiet: bool = False) -> Console:
    """A console on stderr; without colour when it is not a terminal."""
    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, quiet=quiet)


def bar(what: str, console: Console, hidden: bool) -> Progress:
    """How much is done and how long the rest takes, gone when it ends; tasks are added by whoever does the work."""
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=hidden, transient=True)


@contextmanager
def counted(what: str, total: int, progress: bool | None) -> Iterator[Callable[[int], None]]:
    """How far something has come, for as long as it is done; advanced by what is yielded.

    Args:
        what: What is done, in a word.
        total: How many there are.
        progress: Whether to show it: as a bar on a terminal, elsewhere as a line for every tenth. None shows it where
            it is long and stderr is a terminal.
    """
    console = stderr()
    if progress is None:
        progress = total >= LONG and console.is_terminal
    if not progress:
        yield lambda count: None
    elif console.is_terminal:
        with bar(what, console, hidden=False) as shown:
            task = shown.add_task(what, total=total)
            yield lambda count: shown.advance(task, count)
    else:
        yield _lines(what, total, console)


def _lines(what: str, total: int, console: Console) -> Callable[[int], None]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if 10 * done // total > 10 * before // total:
            console.print(f"{what}: {done:,} of {total:,}", markup=False)

    return advance
