"""`empnn serve`: a server in a process of its own, from its first line to Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from support.relaxing import run, tiny_model
from support.web import SALT

COMMAND = [sys.executable, "-c", "from empnn.cli import main; main()", "serve"]


def began(*options: str) -> tuple[subprocess.Popen[str], str]:
    """A server and its address, which it tells as soon as it answers."""
    process = subprocess.Popen([*COMMAND, "--port", "0", *options], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.fullmatch(r"empnn serves at (http://\S+:\d+) \(Ctrl-C to stop\)\n", line)
    assert found is not None, line + process.stderr.read()
    return process, found[1]


def relaxed(url: str, **asked: Any) -> Any:
    body = json.dumps({"files": [{"name": "salt.extxyz", "text": SALT}], **asked}).encode()
    with urlopen(Request(f"{url}/api/relax", body, {"Content-Type": "application/json"})) as answer:
        return json.load(answer)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_told_to_stop(tmp_path: Path, ending: signal.Signals) -> None:
    process, url = began("--model", str(tiny_model(tmp_path / "mine")), "--model", "perov-5")
    with process:
        assert url.startswith("http://127.0.0.1:")
        with urlopen(f"{url}/api/about") as answer:
            assert json.load(answer)["model"] == "mine"
        assert relaxed(url)["relaxed"] == relaxed(url, model="perov-5")["relaxed"] == 1
        with urlopen(url) as answer:
            assert b"Drop files here" in answer.read()
        process.send_signal(ending)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_nobody_else_reaches_it_unless_told() -> None:
    process, url = began("--model", "perov-5", "--host", "127.0.0.1")
    with process:
        port = int(url.rpartition(":")[2])
        listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert [place for place in listening if place.endswith(f":{port:04X}")][0].startswith("0100007F:")
        process.send_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "perov"), "did you mean perov-5?"),
        (("--model", "pbe", "--model", "PBE"), "--model: two are called pbe; rename a folder"),
        (("--host", "192.0.2.1"), "--host 192.0.2.1, --port 0: OSError"),
        (("--device", "tpu"), "device tpu cannot be used"),
        (("--max-atoms", "0"), "--max-atoms"),
    ],
)
def test_what_cannot_be_is_one_line(options: tuple[str, ...], said: str) -> None:
    result = run("serve", "--port", "0", *options)
    assert result.exit_code != 0
    assert said in result.stderr


def test_a_port_that_is_taken_is_told() -> None:
    process, url = began("--model", "perov-5")
    with process:
        result = run("serve", "--port", url.rpartition(":")[2])
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "Address already in use; choose another" in result.stderr
        process.send_signal(signal.SIGINT)


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError('No module named uvicorn', name='uvicorn')")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(COMMAND, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "empnn: serving needs uvicorn; pip install 'empnn[web]'\n")
