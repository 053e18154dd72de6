"""What a run that was stopped or killed leaves behind, and how the next one goes on from there."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import pytest
from support.relaxing import SLOWLY, run, salt, tiny_model, told

NAMES = [f"mp-{index}" for index in range(30)]


def identifiers():
    return [atoms.info["material_id"] for atoms in ase.io.read("out.extxyz", ":")]


def started(model, *options):
    command = ["relax", "in.extxyz", "-o", "out.extxyz", "--model", model, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # As in the background of a script, where Ctrl-C is ignored.
    in_background = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    return subprocess.Popen(
        [sys.executable, "-c", in_background + SLOWLY, *command],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def wait_for_journals(count, process):
    for _ in range(1200):
        if len(list(Path(".out.extxyz.parts").glob("*.jsonl"))) >= count:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise TimeoutError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("model"), elements=[11, 17], strain_limit=9))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("empnn.bulk.resumable.RECORDS", 10)


@pytest.fixture
def relax(model):
    return lambda *arguments: run("relax", "--model", model, *arguments)


@pytest.fixture
def with_an_overlap():
    frames = [salt(name) for name in NAMES]
    frames[25].positions[0] = frames[25].positions[1]
    ase.io.write("in.extxyz", frames)


def test_a_disk_that_fills_up(relax, monkeypatch):
    """What was written stays for --resume; the old output stays as it was."""
    ase.io.write("in.extxyz", [salt(name) for name in NAMES])
    Path("out.extxyz").write_text("old")
    write, calls = Path.write_text, []

    def full(path, text, **options):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, text, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        result = relax("in.extxyz", "-o", "out.extxyz")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.endswith(
        "cannot be written (No space left on device); "
        "once that is mended, the same command with --resume goes on from here"
    )
    assert Path("out.extxyz").read_text() == "old"
    result = relax("in.extxyz", "-o", "out.extxyz", "--resume")
    (line,) = told(result.stderr)
    assert line == (
        "30 relaxed, 0 skipped; 10 had been done before; wrote 30 to out.extxyz, in place of what was there"
    )
    assert identifiers() == NAMES


@pytest.mark.usefixtures("with_an_overlap")
def test_parts_that_are_done_outlive_what_stops_a_run(relax):
    stopped = relax("in.extxyz", "-o", "out.extxyz", "--strict")
    (line,) = stopped.stderr.splitlines()
    assert line.startswith("in.extxyz[25] (mp-25): atoms 0 and 1 overlap")
    assert line.endswith("; the same command with --resume goes on from here")
    resumed = relax("in.extxyz", "-o", "out.extxyz", "--resume")
    assert resumed.stderr.splitlines()[-1].startswith("29 relaxed, 1 skipped; 20 had been done before; wrote 29")
    relax("in.extxyz", "-o", "out.extxyz", "--strict")
    again = relax("in.extxyz", "-o", "out.extxyz")
    expected = "29 relaxed, 1 skipped; what an unfinished run had done (20) was discarded without --resume; wrote 29"
    assert again.stderr.splitlines()[-1].startswith(expected)


@pytest.mark.usefixtures("with_an_overlap")
@pytest.mark.parametrize("left", ["", '{"note": {"file": "in.ext'])
def test_what_a_kill_left_of_a_journal_is_no_journal(relax, left):
    relax("in.extxyz", "-o", "out.extxyz", "--strict")
    journal = Path(".out.extxyz.parts/000001.jsonl").read_text()
    Path(".out.extxyz.parts/.000002.ab12.000002.jsonl").write_text(left or journal)
    resumed = relax("in.extxyz", "-o", "out.extxyz", "--resume")
    assert resumed.stderr.splitlines()[-1].startswith("29 relaxed, 1 skipped; 20 had been done before; wrote 29")
    assert identifiers() == [name for name in NAMES if name != "mp-25"]


def test_a_real_end_and_a_real_kill_lose_and_repeat_nothing(model, relax):
    names = [f"mp-{index}" for index in range(512)]
    ase.io.write("in.extxyz", [salt(name) for name in names])
    Path("out.extxyz").write_text("old")
    process = started(model)
    wait_for_journals(2, process)
    # As `timeout` sends it, to the process and to its group.
    process.terminate()
    os.killpg(process.pid, signal.SIGTERM)
    (line,) = process.communicate(timeout=60)[1].splitlines()
    assert line == "empnn: interrupted; the same command with --resume goes on from here"
    assert process.returncode == 130
    done = len(list(Path(".out.extxyz.parts").glob("*.jsonl")))
    process = started(model, "--resume")
    wait_for_journals(done + 1, process)
    process.kill()
    process.communicate(timeout=60)
    assert Path("out.extxyz").read_text() == "old"
    result = relax("in.extxyz", "-o", "out.extxyz", "--resume")
    assert "512 relaxed, 0 skipped; " in result.stderr
    assert identifiers() == names
    assert sorted(path.name for path in Path().iterdir()) == ["in.extxyz", "out.extxyz"]
