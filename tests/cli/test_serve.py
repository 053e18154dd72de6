"""`empnn serve`: a server in a process of its own, from its first line to Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.relaxing import run, tiny_model
from support.web import SALT, Client

COMMAND = [sys.executable, "-c", "from empnn.cli import main; main()", "serve"]


@contextmanager
def began(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and its address, which it tells as soon as it answers."""
    with subprocess.Popen([*COMMAND, "--port", "0", *options], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.fullmatch(r"empnn serves at (http://\S+:\d+) \(Ctrl-C to stop\)\n", line)
            assert found is not None, line
            yield process, found[1]
        finally:
            process.terminate()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def relaxed(url: str, **asked: Any) -> Any:
    status, answer = Client(port_of(url)).post("relax", {"files": [{"name": "salt.extxyz", "text": SALT}], **asked})
    assert status == 200
    return answer


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_told_to_stop(tmp_path: Path, ending: signal.Signals) -> None:
    with began("--model", str(tiny_model(tmp_path / "mine")), "--model", "perov-5") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        client = Client(port_of(url))
        assert json.loads(client.ask("GET", "/api/about")[2])["model"] == "mine"
        assert relaxed(url)["relaxed"] == relaxed(url, model="perov-5")["relaxed"] == 1
        assert b"Drop files here" in client.ask("GET", "/")[2]
        process.send_signal(ending)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_nobody_else_reaches_it_unless_told() -> None:
    with began("--model", "perov-5") as (_, url):
        listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert f"0100007F:{port_of(url):04X}" in listening
        assert f"00000000:{port_of(url):04X}" not in listening


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_it_answers_by_the_name_it_is_told_and_those_of_this_machine(host: str) -> None:
    with began("--model", "perov-5", "--host", host, "--name", "Crystals.example.org") as (_, url):
        client = Client(port_of(url))
        for name in ("crystals.example.org", "CRYSTALS.example.org:443", "localhost", f"127.0.0.1:{port_of(url)}"):
            assert client.ask("GET", "/api/about", Host=name)[0] == 200
        for name in ("example.org", "evil.example", "crystals.example.org.evil.example", "192.0.2.1"):
            status, _, said = client.ask("GET", "/api/about", Host=name)
            assert status == 421
            assert "is called Crystals.example.org" in json.loads(said)["error"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "perov"), "did you mean perov-5?"),
        (("--model", "pbe", "--model", "PBE"), "--model: two are called pbe; rename a folder"),
        (("--host", "192.0.2.1"), "--host 192.0.2.1, --port 0: Cannot assign requested address; choose another"),
        (("--name", "https://crystals.example.org"), "--name https://crystals.example.org: no name of a host; give it"),
        (("--name", "crystals.example.org:443"), "without a port"),
        (("--device", "tpu"), "device tpu cannot be used"),
        (("--max-atoms", "0"), "--max-atoms"),
    ],
)
def test_what_cannot_be_is_one_line(options: tuple[str, ...], said: str) -> None:
    result = run("serve", "--port", "0", *options)
    assert result.exit_code != 0
    assert said in result.stderr


def test_a_port_that_is_taken_is_told() -> None:
    with began("--model", "perov-5") as (_, url):
        result = run("serve", "--port", str(port_of(url)))
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "Address already in use; choose another" in result.stderr


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError('No module named uvicorn', name='uvicorn')")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(COMMAND, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "empnn: serving needs uvicorn; pip install 'empnn[web]'\n")
