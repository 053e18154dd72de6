"""What the commands share: options, errors as one line in the words of the command line, output."""

from __future__ import annotations

import json
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from empnn.errors import ConfigError, CrystalError, printable
from empnn.terminal import bar, stderr

Command = TypeVar("Command", bound=Callable[..., Any])

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]
Model = Annotated[
    str,
    typer.Option(metavar="NAME|PATH", help="A packaged model (see `empnn models`), a model folder or a run directory."),
]
Passes = Annotated[
    int | None,
    typer.Option(min=1, help="Applications of the network; by default one, and another where the cell changes much."),
]
Fixes = Annotated[
    list[str] | None,
    typer.Option(
        "--fix", metavar="cell|positions", help="What to keep: cell, or positions (all fractional coordinates)."
    ),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto (a GPU if there is one), cpu, cuda or cuda:N.")]

Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="IN",
        help="Files of crystals, folders, patterns; - for extxyz on stdin.",
        show_default=False,
        readable=False,
    ),
]
DataInputs = Annotated[
    list[str],
    typer.Argument(
        metavar="IN",
        help="Files of crystals, folders, patterns, data folders (all splits), or sample and other names of sets.",
        show_default=False,
    ),
]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Take every N-th structure only, from the I-th (0 is first); see `empnn merge`.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="local|ADDRESS",
        help="Work on a Ray cluster, HOST:PORT, or one on this machine, local[:CORES]; OUT is a folder of shards.",
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes that compare structures; as many as there are cores by default.")
]

INTERRUPTED = 130
IN_PLACE = ", in place of what was there"
"""Said of an output that replaced a file."""
_BAR = 24
"""Columns of a bar that has figures beside it."""

OPTIONS = {
    "by": "--by",
    "cluster": "--cluster",
    "ending": "--format",
    "fix": "--fix",
    "fmax": "--fmax",
    "folder": "--out",
    "fractions": "--fractions",
    "mode": "--relax",
    "model": "--model",
    "options": "--option",
    "passes": "--passes",
    "host": "--host",
    "port": "--port",
    "positions": "--noise-positions",
    "resume": "--resume",
    "shard": "--shard",
    "sigma": "--noise",
    "steps": "--steps",
    "storage": "--storage",
    "store": "--store",
    "symmetrize": "--symmetrize",
    "then": "--then",
    "workers": "--workers",
}
"""How arguments that messages of the library name in backticks are typed on the command line."""


def reports_errors(command: Command) -> Command:
    """Turn what a user can cause into one line on stderr and an exit status."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            with warnings.catch_warnings():
                # What libraries warn their programmers of is no concern of whoever types a command.
                warnings.simplefilter("ignore")
                return command(*args, **kwargs)
        except ConfigError as error:
            fail(f"empnn: {error}")
        except CrystalError as error:
            fail(str(error))
        except BrokenPipeError:
            raise
        except OSError as error:
            fail(f"empnn: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
        except MemoryError:
            fail("empnn: out of memory; use a smaller --batch-atoms or train.batch_size")
        except KeyboardInterrupt as error:
            fail(f"empnn: interrupted{f'; {error}' if error.args else ''}", INTERRUPTED)

    return wrapper  # type: ignore[return-value]


def in_options(message: str) -> str:
    """A message of the library, which names arguments (`sigma`), with the options of the commands (--noise)."""
    return re.sub("`([a-z_]+)`", lambda found: OPTIONS.get(found[1], found[0]), message)


def parsed_fix(given: list[str] | None) -> str | None:
    """What is to be kept, if anything.

    Raises:
        ConfigError: If it cannot be kept, or several are given: nothing would move.
    """
    from empnn.crystals import check_fixable

    kept = list(dict.fromkeys(given or []))
    for one in kept:
        check_fixable(one)
    if len(kept) > 1:
        raise ConfigError(f"{' and '.join(f'--fix {one}' for one in kept)}: nothing would move; choose one")
    return kept[0] if kept else None


def parsed_shard(given: str) -> tuple[int, int]:
    """I and N of I/N.

    Raises:
        ConfigError: If it is not of that form.
    """
    index, slash, count = given.partition("/")
    numbers = all(part.isascii() and part.isdecimal() for part in (index, count))
    if not (slash and numbers and int(index) < int(count)):
        raise ConfigError(f"--shard {given}: give I/N with 0 <= I < N, as in 0/4")
    return int(index), int(count)


def worded(note: dict[str, Any]) -> dict[str, Any]:
    """What the library says of a structure, for JSON: its warnings and its message with the options of the commands."""
    message = note["message"]
    warned = [in_options(warning) for warning in note["warnings"]]
    return {**note, "warnings": warned, "message": None if message is None else in_options(message)}


def fail(message: str, status: int = 1) -> NoReturn:
    """Print one line on stderr and leave."""
    stderr().print(printable(" ".join(in_options(message).split())), markup=False)
    raise typer.Exit(status)


@contextmanager
def counted(what: str, total: int | None, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if that is a terminal, for as long as something is done; advanced by what is yielded."""
    console = stderr()
    with bar(what, console, quiet or total is None or not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def followed(what: str, total: int | None, quiet: bool) -> Iterator[tuple[Console, Callable[[], None]]]:
    """A console on stderr and what counts one more done; under its lines, on a terminal, stands how many there are."""
    console = stderr()
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _progress(console, quiet, *columns) as progress:
        task = progress.add_task(what, total=total)
        yield console, lambda: progress.advance(task)


@contextmanager
def gone_through(what: str, quiet: bool) -> Iterator[tuple[Console, Callable[[int], None], Callable[[float], None]]]:
    """A console on stderr, what counts so many more done, and what is told the part of the input that is done.

    Under its lines, on a terminal, stand how many are done, how fast, and how long the rest takes.
    """
    console = stderr()
    columns = (
        TextColumn(f"{{task.fields[count]:,}} {what}"),
        BarColumn(_BAR),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:,.0f} crystals/s"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with _progress(console, quiet, *columns) as progress:
        task = progress.add_task(what, total=None, count=0, rate=0.0)
        began, count = time.perf_counter(), 0

        def advance(more: int) -> None:
            nonlocal count
            count += more
            progress.update(task, count=count, rate=count / (time.perf_counter() - began))

        yield console, advance, lambda share: progress.update(task, total=1.0, completed=share)


def _progress(console: Console, quiet: bool, *columns: ProgressColumn) -> Progress:
    """What is shown of work that writes to stdout meanwhile: above the bar on the same terminal, else untouched."""
    hidden = quiet or not console.is_terminal
    return Progress(*columns, console=console, disable=hidden, transient=True, redirect_stdout=sys.stdout.isatty())


def print_json(content: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json_document(content))


def print_long_json(content: dict[str, Any], name: str, items: Iterable[object]) -> None:
    """One JSON document on stdout, in it under this name, last, a list of which each item is printed as it comes."""
    *head, ending = json_document({**content, name: []}).rpartition("]")
    sys.stdout.write("".join(head).removesuffix("]"))
    indented = (json_document(item).rstrip("\n").replace("\n", "\n    ") for item in items)
    following = False
    for text in indented:
        sys.stdout.write((",\n    " if following else "\n    ") + text)
        following = True
    sys.stdout.write(("\n  ]" if following else "]") + ending)


def json_document(content: object) -> str:
    """A JSON document. NaN and infinity, which JSON has no words for, become null."""
    from empnn.files import with_nulls

    return json.dumps(with_nulls(content), indent=2, allow_nan=False) + "\n"
