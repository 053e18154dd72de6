"""The environment of `make venv`: the CPU build of torch, from wherever it is to be had."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
echo "$@" >>"{log}"
case "$*" in *{unreachable}*) exit 1;; esac
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    "environment",
    [("VENV", "requirements.lock"), ("INTEGRATIONS", "requirements-integrations.lock")],
    ids=["own", "integrations"],
)
@pytest.mark.parametrize(
    ("settings", "unreachable", "asked", "said"),
    [
        ([], "nothing", "https://download.pytorch.org/whl/cpu", ""),
        (["TORCH_INDEX=https://mirror/cu"], "nothing", "https://mirror/cu", ""),
        ([], "--index-url", "https://download.pytorch.org/whl/cpu", "cannot be reached: torch comes from the ordinary"),
        (["TORCH_INDEX="], "nothing", None, ""),
    ],
)
def test_torch_comes_from_the_index_that_is_named_or_else_from_the_ordinary_one(
    tmp_path: Path, environment: tuple[str, str], settings: list[str], unreachable: str, asked: str | None, said: str
) -> None:
    variable, lock = environment
    log, python, name = tmp_path / "log", tmp_path / "python", "environment"
    python.write_text(PYTHON.format(log=log, unreachable=unreachable))
    python.chmod(0o755)
    command = ["make", f"{tmp_path / name}/.ready", f"PYTHON={python}", f"{variable}={tmp_path / name}", *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    installed = [line for line in log.read_text().splitlines() if line.startswith("-m pip install")]
    pinned = next(line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("torch=="))
    from_index = [line.partition(" --index-url ")[2] for line in installed if "--index-url" in line]
    assert from_index == ([] if asked is None else [f"{asked} {pinned}"])
    assert installed[-2].endswith(f"--requirement {lock}")
    assert said in done.stdout
    assert ("cannot be reached" in done.stdout) == bool(said)
    assert (tmp_path / name / ".ready").is_file()
