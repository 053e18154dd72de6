"""The unit for systemd: its command is one of ours, and systemd finds nothing wrong with it."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from empnn.cli import app

UNIT = Path(__file__).parents[3] / "examples/hosting/empnn.service"


def test_it_starts_a_command_that_there_is() -> None:
    unit = configparser.ConfigParser(strict=True)
    unit.optionxform = str
    unit.read_string(UNIT.read_text())
    program, name, *words = unit["Service"]["ExecStart"].split()
    assert program.endswith("/bin/empnn")
    given = typer.main.get_command(app).commands[name].make_context(name, words).params
    assert (given["host"], given["port"], given["name"]) == ("127.0.0.1", 8000, ["crystals.example.org"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_understands_it(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/empnn/bin/empnn", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
