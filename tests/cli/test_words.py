"""Words of the command line live in the command line: below it messages name arguments, which it turns into options."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import typer

import empnn
from empnn.cli import app
from empnn.cli.common import OPTIONS, in_options

BELOW = [
    path for path in Path(empnn.__file__).parent.rglob("*.py") if "cli" not in path.relative_to(empnn.__path__[0]).parts
]


def words(path):
    """Every text in a file but docstrings, which are statements of their own."""
    tree = ast.parse(path.read_text())
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def flags(command):
    """All options of a command and of those below it."""
    found = {flag for parameter in command.params for flag in parameter.opts}
    return found.union(*map(flags, getattr(command, "commands", {}).values()))


@pytest.mark.parametrize("path", BELOW, ids=lambda path: path.stem)
def test_no_message_names_an_option(path):
    assert [text for text in words(path) if re.search(r"--[a-z]|(?<= )-[a-z]\b", text)] == []


def test_every_argument_in_a_message_has_an_option():
    said = {name for path in BELOW for text in words(path) for name in re.findall("`([a-z_]+)`", text)}
    assert said == set(OPTIONS)
    assert set(OPTIONS.values()) <= flags(typer.main.get_command(app))


def test_arguments_become_options():
    assert in_options("`mode` cells, `cif` and `empnn data fetch x`") == "--relax cells, `cif` and `empnn data fetch x`"


def test_the_model_of_the_command_is_that_of_python() -> None:
    from empnn.cli.relax import relax
    from empnn.models import DEFAULT

    assert inspect.signature(relax).parameters["model"].default == DEFAULT
