"""The help of the commands: as wide as the terminal, a whole sentence for each command, and examples that run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from empnn.cli.examples import EXAMPLES

WIDEST = 200
"""Columns of a terminal that help makes use of."""
_KINDS = {"int": "N", "float": "X", "str": "TEXT", "path": "PATH"}
"""What stands for a value in the list of options, by what Typer calls its kind."""


class _WithExamples:
    name: str | None

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Examples, each with what it does."""
        with formatter.section("Examples"):
            for what, line in EXAMPLES[str(self.name)]:
                formatter.write_text(what)
                with formatter.indentation():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Group(_WithExamples, TyperGroup):
    """Commands under one name, whose help ends with examples."""


class Command(_WithExamples, TyperCommand):
    """A command whose help names values by what they are, not by types of Python, and ends with examples."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands behind the name in the first line; what is required is not bracketed."""
        return [re.sub(r"^\{(.*)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, then options."""
        lists: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                lists[parameter.param_type_name].append((_named(parameter.param_type_name, record[0]), record[1]))
        for kind, records in lists.items():
            if records:
                with formatter.section(f"{kind.capitalize()}s"):
                    formatter.write_dl(records)


def add(app: typer.Typer, command: Callable[..., Any]) -> None:
    """Add a command; the first sentence of its docstring says in lists what it does."""
    first, _, _ = (command.__doc__ or "").partition("\n")
    app.command(cls=Command, short_help=first)(command)


def _named(kind: str, name: str) -> str:
    """The first column of a list: an argument by its name alone, an option with what stands for its value."""
    if kind == "argument":
        return name.partition(" <")[0]
    return re.sub("<([a-z]+)[^>]*>", lambda found: _KINDS.get(found[1], found[0]), name)
