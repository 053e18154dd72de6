"""The help of the commands: as wide as the terminal, whole sentences, examples that can be typed."""

import io
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from unittest.mock import patch

import pytest
import typer
from support.relaxing import run
from typer.testing import CliRunner

from empnn.cli import app
from empnn.cli.examples import EXAMPLES

TOP = typer.main.get_command(app)


def commands(group=TOP, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


def helped(width: int, *path: str) -> str:
    """What is printed in a terminal of this width; Typer's own runner takes 80 for any."""
    with patch.dict(os.environ, {"COLUMNS": str(width)}), redirect_stdout(io.StringIO()) as printed:
        app([*path, "--help"], prog_name="empnn", standalone_mode=False)
    return printed.getvalue()


@pytest.mark.parametrize("width", [80, 120, 160])
@pytest.mark.parametrize("path", [(), ("data",), *COMMANDS], ids=" ".join)
def test_help_fits_the_terminal_and_fills_it(path: tuple[str, ...], width: int) -> None:
    lines = helped(width, *path).splitlines()
    assert max(map(len, lines)) <= width
    if width == 80:
        # Something was too long for one line, and took the width that there is.
        assert max(map(len, lines)) > 60


def test_a_wide_terminal_is_used() -> None:
    assert len(helped(160, "relax").splitlines()) < len(helped(80, "relax").splitlines())
    assert max(map(len, helped(160, "evaluate").splitlines())) > 100


@pytest.mark.parametrize("group", [(), ("data",)])
def test_the_list_of_commands_has_whole_sentences(group: tuple[str, ...]) -> None:
    listed = helped(80, *group).partition("Commands:\n")[2].partition("Examples:\n")[0]
    assert "..." not in listed
    entries = re.findall(r"^  (\w+)  +(\w[^\n]*(?:\n {4,}[^\n]+)*)", listed, flags=re.MULTILINE)
    assert [name for name, _ in entries] == [path[-1] for path in (*COMMANDS, ("data",)) if path[:-1] == group]
    for _, sentence in entries:
        assert sentence[0].isupper()
        assert sentence.endswith(".")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_examples_that_it_understands(path: tuple[str, ...]) -> None:
    lines = [line for _, line in EXAMPLES[path[-1]]]
    shown = helped(80, *path).partition("Examples:\n")[2]
    assert [line.strip() for line in shown.splitlines() if line.startswith("    ")] == lines
    for line in lines:
        program, *words = shlex.split(line)
        assert (program, tuple(words[: len(path)])) == ("empnn", path)
        # Raises if an option or argument does not exist or is missing.
        COMMANDS[path].make_context(path[-1], words[len(path) :])


@pytest.mark.parametrize(("path", "name"), [((), "empnn"), (("data",), "data")])
def test_groups_of_commands_have_examples_too(path: tuple[str, ...], name: str) -> None:
    shown = helped(80, *path).partition("Examples:\n")[2]
    lines = [line for _, line in EXAMPLES[name]]
    assert [line.strip() for line in shown.splitlines() if line.startswith("    ")] == lines
    for words in map(shlex.split, lines):
        assert words[: 1 + len(path)] == ["empnn", *path]
        command, rest = next(
            (found, words[1 + len(key) :]) for key, found in COMMANDS.items() if words[1 : 1 + len(key)] == [*key]
        )
        command.make_context("", rest)


def test_values_have_names_that_mean_something() -> None:
    for path in COMMANDS:
        assert not re.search(r"<\w|\blist\[|int range", helped(80, *path)), path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown_for_a_shell(shell: str) -> None:
    environment = {"_EMPNN_COMPLETE": f"source_{shell}"}
    result = CliRunner().invoke(app, [], prog_name="empnn", env=environment)
    assert "_EMPNN_COMPLETE" in result.stdout


def test_completion_knows_commands_and_options() -> None:
    for words, expected in (("empnn ev", "evaluate"), ("empnn relax --pas", "--passes"), ("empnn data de", "dedupe")):
        environment = {
            "_EMPNN_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        result = CliRunner().invoke(app, [], prog_name="empnn", env=environment)
        assert result.stdout.split() == [expected]


def test_the_examples_of_training_are_configurations() -> None:
    from empnn.training.config import load_config

    for _, line in EXAMPLES["train"]:
        words = shlex.split(line)[2:]
        if "--resume" not in words:
            base = None if "=" in words[0] else words.pop(0)
            config = load_config(base, words)
            assert config.data.path or config.data.name or config.data.pairs


def test_unknown_commands_and_presets_name_the_nearest(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "did you mean paper?" in run("train", "papr", "data=sample").stderr
    assert "did you mean fine-tune?" in run("train", "finetunes", "data=sample").stderr
    assert "did you mean data=mp_20?" in run("train", "mp20").stderr
    assert run("train", "data=mp20").stderr == "empnn: data.path=mp20 does not exist; did you mean mp_20?\n"


def test_the_presets_are_named_where_they_are_asked_for() -> None:
    from empnn.training.presets import PRESETS

    shown = " ".join(helped(80, "train").split())
    assert f"A preset ({', '.join(PRESETS)})" in shown
