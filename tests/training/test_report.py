"""What is said of long work before training, and the bar that goes with it, in terminals of any width."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from support.runs import config

from empnn.training import report, run
from empnn.training.config import load_config
from empnn.training.report import Reporter


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_PATIENCE", 0.0)


@pytest.mark.usefixtures("impatient")
def test_long_preparations_are_told_once_and_not_at_all_when_they_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["data=sample", "noise.mix.symmetric=1", "noise.mix.decorated=1", "train.workers=0"]
    reporter = Reporter()
    for expected in (2, 0):
        data = run.prepare(load_config(None, overrides), reporter.watch)
        data.validation()
        data.corruptions.source()
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == expected
        for line, what in zip(lines, ("looking for the symmetry of 481 crystals", "laying 481 crystals"), strict=False):
            assert line.startswith(what)
            assert line.endswith(" left")


@pytest.mark.usefixtures("impatient")
def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=True).watch("looking", 3) as count:
        count(1)
    assert capsys.readouterr() == ("", "")


def test_short_work_is_not_worth_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter().watch("looking", 3) as count:
        for _ in range(3):
            count(1)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, force_interactive=True, width=100)
    monkeypatch.setattr(report, "stderr", lambda quiet: console)
    reporter = Reporter()
    with reporter.watch("looking at crystals", 4):
        pass
    assert screen.getvalue() == ""
    with reporter.watch("looking at crystals", 4) as count:
        count(1)
        count(1)
    assert "looking at crystals" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K")


@pytest.mark.parametrize("width", [80, 120])
def test_the_bar_of_a_run_fits_the_terminal(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    screen = io.StringIO()
    console = Console(
        file=screen, force_terminal=True, force_interactive=True, width=width, color_system=None, soft_wrap=True
    )
    monkeypatch.setattr(report, "stderr", lambda quiet: console)
    monkeypatch.setattr(run, "LOG_EVERY", 1)
    reporter = Reporter()
    step, shown = reporter.step, []

    def stepped() -> None:
        step()
        reporter._progress.refresh()
        shown.append(reporter._progress.tasks[0].completed)

    monkeypatch.setattr(reporter, "step", stepped)
    monkeypatch.chdir(tmp_path)
    run.train(config(data, Path("run"), "train.validate_every=6"), reporter)
    assert shown == list(range(1, 13))
    frames = [re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", frame) for frame in re.split("[\r\n]", screen.getvalue())]
    assert max(map(len, frames)) <= width
    bars = [frame for frame in frames if "crystals/s" in frame and "/12" in frame]
    assert re.search(r"12/12 loss \d\.\d{4} [\d,]+ crystals/s \d+:\d\d:\d\d left", bars[-1])
