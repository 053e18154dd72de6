"""The Dockerfile: linted, and its steps run without an engine, down to a server that answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.dockerfile import Step, last, steps
from support.web import CSCL_CIF, Client

ROOT = Path(__file__).parents[3]
STEPS = steps(ROOT / "Dockerfile")
FINAL = [step for step in STEPS if step.stage == STEPS[-1].stage]
CONTEXT = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
USER = 10001
REQUIRED = bool(os.environ.get("EMPNN_REQUIRE_WEB"))
LOCKED = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


def test_a_linter_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists() and not REQUIRED:
        pytest.skip("there is no hadolint; make test-web installs it")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_images_are_those_of_the_python_that_the_versions_are_locked_for() -> None:
    head = (ROOT / "requirements.lock").read_text().splitlines()[0]
    images = {step.rest.split()[0] for step in STEPS if step.verb == "FROM"}
    assert images == {"python:3.11-slim-bookworm"}
    assert "for Python 3.11" in head


def test_what_is_copied_is_there_and_nothing_else_is_sent_to_the_engine() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert [line for line in lines[1:] if not line.startswith("!")] == ["**/__pycache__"]
    copied = {
        source
        for step in STEPS
        if step.verb == "COPY" and not step.rest.startswith("--from")
        for source in step.rest.split()[:-1]
    }
    assert copied == set(CONTEXT)
    assert all((ROOT / source).exists() for source in copied)


def test_it_runs_as_nobody_in_particular_and_says_whether_it_is_well() -> None:
    assert last(FINAL, "USER") == str(USER)
    assert f"--uid {USER}" in last(FINAL, "RUN")
    assert [step.verb for step in FINAL].index("USER") > [step.verb for step in FINAL].index("RUN")
    assert "/api/about" in last(FINAL, "HEALTHCHECK")
    assert not any(step.verb == "ADD" or "latest" in step.rest for step in STEPS)


class Machine:
    """A folder in the place of an image, in which steps are run by the shell of this machine.

    Args:
        root: The folder.
        settings: What arguments of the build are set to.
    """

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        self._settings = settings
        self.environment: dict[str, str] = {}
        self._folder = root

    def here(self, text: str) -> str:
        """A text with paths of the image as those of this machine."""
        return re.sub(r"(?<![\w.])/(opt|source|work)\b", rf"{self.root}/\1", text)

    def run(self, step: Step) -> None:
        """Do what a step says."""
        if step.verb == "FROM":
            self.environment, self._folder = {}, self.root
        elif step.verb == "ARG":
            name, _, value = step.rest.partition("=")
            self.environment[name] = self._settings.get(name, value)
        elif step.verb == "ENV":
            self.environment |= dict(pair.split("=", 1) for pair in self.here(step.rest).split())
        elif step.verb == "WORKDIR":
            self._folder = Path(self.here(step.rest))
            self._folder.mkdir(exist_ok=True)
        elif step.verb == "COPY":
            self._copy(step.rest.split())
        elif step.verb == "RUN" and not step.rest.startswith("useradd"):
            self._shell(self.here(step.rest))

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from"):
            # Both images are this folder; what was not copied is gone in the second.
            assert words[1] == words[2]
            kept = Path(self.here(words[1]))
            for path in [*self.root.iterdir(), *kept.parent.iterdir()]:
                if path not in (kept, kept.parent):
                    shutil.rmtree(path)
            return
        for name in words[:-1]:
            source, target = ROOT / name, self._folder / words[-1]
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)

    def _shell(self, command: str) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, **self.environment, "PATH": path}
        for name in ("PYTHONPATH", "VIRTUAL_ENV"):
            environment.pop(name, None)
        done = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """The image, as far as there is one without an engine."""
    if not REQUIRED:
        pytest.skip("installs all of it anew; make test-web runs this")
    asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        hatchling = subprocess.run(
            [*asked, name, f"hatchling=={LOCKED['hatchling']}"], capture_output=True, check=False
        )
        if hatchling.returncode:
            pytest.skip("there is no index of packages to install from")
        made = Machine(root, **({} if reached(last(STEPS, "ARG").partition("=")[2]) else {"TORCH_INDEX": ""}))
        for path in root.iterdir():
            path.unlink()
        for step in STEPS:
            made.run(step)
        yield made


def reached(index: str) -> bool:
    """Whether there is such an index of packages."""
    with suppress(OSError), urllib.request.urlopen(f"{index}/torch/", timeout=15):  # noqa: S310
        return True
    return False


def test_its_steps_install_the_locked_versions_and_nothing_for_tests(machine: Machine) -> None:
    python = machine.root / "opt/empnn/bin/python"
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, check=True).stdout
    found = {
        re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"].partition("+")[0] for one in json.loads(listed)
    }
    versions = {name: found[name] for name in found.keys() & LOCKED.keys()}
    assert versions == {name: LOCKED[name] for name in versions}
    assert found.keys() - LOCKED.keys() <= {"empnn", "pip", "setuptools"}
    assert not found.keys() & {"pytest", "mypy", "hatchling", "ruff"}
    subprocess.run([python, "-m", "pip", "check"], check=True, capture_output=True)
    assert not (machine.root / "source").exists()


def test_what_comes_of_its_steps_serves(machine: Machine) -> None:
    """By a user who may write nothing of it, and as the orders of the image say."""
    words = [*json.loads(last(FINAL, "ENTRYPOINT")), *json.loads(last(FINAL, "CMD")), "--port", "0"]
    base = Path(sys.base_prefix)
    for_all = all(path.stat().st_mode & 0o5 == 0o5 for path in (base, *base.parents))
    user = {"user": USER, "group": USER, "extra_groups": []} if for_all and os.geteuid() == 0 else {}
    folder = machine.root / "work"
    with subprocess.Popen(
        [str(machine.root / "opt/empnn/bin" / words[0]), *words[1:]],
        env=machine.environment,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        **user,
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.match(r"empnn serves at http://0\.0\.0\.0:(\d+) ", line)
            assert found is not None, line
            client = Client(int(found[1]))
            assert client.relax(CSCL_CIF)["relaxed"] == 1
            assert client.ask("GET", "/3Dmol-min.js")[0] == 200
            assert client.ask("GET", "/api/about", Host="localhost:8000")[0] == 200
            assert client.ask("GET", "/api/about", Host="evil.example")[0] == 421
            assert well(machine, client.port)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=120) == 0
            assert not well(machine, client.port)
        finally:
            process.kill()
    assert list(folder.iterdir()) == []


def well(machine: Machine, port: int) -> bool:
    """What the image's check of its health says."""
    command = json.loads(last(FINAL, "HEALTHCHECK").partition("CMD ")[2].replace(":8000", f":{port}"))
    begun = time.monotonic()
    done = subprocess.run(command, env=machine.environment, capture_output=True, check=False)
    assert time.monotonic() - begun < 10
    return done.returncode == 0
