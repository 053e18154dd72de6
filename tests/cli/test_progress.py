"""What a terminal shows while files are gone through: how far, by the bytes read; and stdout is left alone."""

import io
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import ase.io
import numpy as np
import pytest
from rich.console import Console
from support.relaxing import salt, tiny_model

from empnn.bulk.pipeline import CHUNK, Conversion, process
from empnn.cli import common
from empnn.cli.common import followed, gone_through
from empnn.data.reading import read
from empnn.data.writing import writer

COMMAND = [sys.executable, "-c", "from empnn.cli import main; main()"]


def crystals(count: int) -> list:
    return [salt(f"mp-{number}") for number in range(count)]


@pytest.mark.parametrize("name", ["a.extxyz", "a.csv", "a.parquet", "a.feather", "a.cif", "a.json", "a.extxyz.gz"])
def test_each_record_knows_how_much_of_its_file_was_read(tmp_path: Path, name: str) -> None:
    writer(tmp_path / name)(crystals(200))
    shares = [record.share for record in read(tmp_path / name)]
    assert len(shares) == 200
    assert (np.diff(shares) >= 0).all()
    assert 0 < shares[0] <= shares[-1] == 1


@pytest.mark.parametrize("name", ["a.extxyz", "a.csv"])
def test_half_of_a_long_file_is_half(tmp_path: Path, name: str) -> None:
    writer(tmp_path / name)(crystals(1500))
    shares = [record.share for record in read(tmp_path / name)]
    assert shares[749] == pytest.approx(0.5, abs=0.15)


def test_files_count_by_their_sizes(tmp_path: Path) -> None:
    """A damaged file, one that is given twice and one that is not there among them."""
    sizes = {"a.extxyz": CHUNK, "b.extxyz": 3 * CHUNK}
    for name, count in sizes.items():
        writer(tmp_path / name)(crystals(count))
    (tmp_path / "c.cif").write_text("no CIF")
    names = ("a.extxyz", "b.extxyz", "c.cif", "missing.cif", "a.extxyz")
    told: list[float] = []
    process(
        [tmp_path / name for name in names],
        tmp_path / "out.extxyz",
        Conversion(),
        lambda outcome: None,
        on_share=told.append,
    )
    assert told == sorted(told)
    assert told[0] == pytest.approx(1 / 5, abs=0.02)
    assert told[1] == pytest.approx(2 / 5, abs=0.05)
    assert told[-1] == pytest.approx(1.0)


def test_a_resumed_run_begins_where_the_first_had_come_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("empnn.bulk.resumable.RECORDS", CHUNK)
    writer(tmp_path / "a.extxyz")(crystals(4 * CHUNK))
    told: list[float] = []

    def stop(share: float) -> None:
        told.append(share)
        if len(told) == 2:
            raise KeyboardInterrupt

    arguments = ([tmp_path / "a.extxyz"], tmp_path / "out.extxyz", Conversion(), lambda outcome: None)
    with pytest.raises(KeyboardInterrupt):
        process(*arguments, on_share=stop)
    process(*arguments, resume=True, on_share=told.append)
    assert told[2] == pytest.approx(0.75, abs=0.05)
    assert told[-1] == pytest.approx(1.0)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, force_interactive=True, width=80, color_system=None)
    monkeypatch.setattr(common, "stderr", lambda: console)
    return shown


def test_the_bar_says_how_many_how_far_how_fast_and_how_long(screen: io.StringIO) -> None:
    with gone_through("relaxed", quiet=False) as (_, advance, reach):
        for _ in range(1234):
            advance(1)
        reach(0.25)
    frames = [re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", frame).strip() for frame in re.split("[\r\n]", screen.getvalue())]
    last = [frame for frame in frames if frame][-1]
    for words in ("1,234 relaxed ", " 25% ", " crystals/s ", " left"):
        assert words in f"{last} "
    assert max(map(len, frames)) < 80


def test_quiet_shows_nothing(screen: io.StringIO) -> None:
    with gone_through("relaxed", quiet=True) as (_, advance, reach):
        advance(1)
        reach(1.0)
    with followed("computed", 3, quiet=True) as (_, advance):
        advance()
    assert screen.getvalue() == ""


def test_what_goes_to_a_pipe_goes_there_though_a_bar_is_shown(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "in.extxyz", crystals(3))
    tiny_model(tmp_path / "model")
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def watch() -> None:
        try:
            while part := os.read(ours, 65536):
                shown.append(part)
        except OSError:
            pass

    command = [*COMMAND, "relax", "in.extxyz", "-o", "-", "--model", "model"]
    environment = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, cwd=tmp_path, env=environment)
    os.close(theirs)
    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate(timeout=120)
    watcher.join()
    os.close(ours)
    assert process.returncode == 0
    assert out.count(b"Lattice=") == 3
    assert b"Lattice=" not in b"".join(shown)
    assert b"3 relaxed" in b"".join(shown)
