"""How far something has come: a bar on a terminal, lines elsewhere if asked for, nothing in a pipe by itself."""

import os
import pty
import subprocess
import sys

import pytest

from empnn.terminal import LONG, counted


def advanced(total, progress):
    with counted("relaxing", total, progress) as advance:
        for _ in range(total):
            advance(1)


@pytest.mark.parametrize("progress", [None, False])
def test_nothing_in_a_pipe(capsys, progress):
    advanced(LONG, progress)
    assert capsys.readouterr() == ("", "")


def test_lines_in_a_pipe_if_asked_for(capsys):
    advanced(20, True)
    advanced(0, True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"relaxing: {done} of 20" for done in range(2, 21, 2)]
    with counted("relaxing", 5000, True) as advance:
        advance(4999)
    assert capsys.readouterr().err == "relaxing: 4,999 of 5,000\n"


CODE = """
import sys
from empnn.terminal import counted
with counted("relaxing", int(sys.argv[1]), eval(sys.argv[2])) as advance:
    advance(1)
print("done")
"""


@pytest.mark.parametrize(
    ("total", "progress", "shown"),
    [(LONG, "None", True), (3, "None", False), (3, "True", True), (LONG, "False", False)],
)
def test_a_bar_on_a_terminal(total, progress, shown):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", CODE, str(total), progress]
    environment = {**os.environ, "TERM": "xterm"}
    out = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    os.close(theirs)
    seen = ""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:
            break
        if not block:
            break
        seen += block.decode()
    os.close(ours)
    assert out == "done\n"
    assert ("relaxing" in seen) == shown
