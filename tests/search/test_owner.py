"""Whether a process is still there."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from empnn.search.owner import Owner, _born, myself

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


def owner_of(process: subprocess.Popen[bytes]) -> Owner:
    return replace(myself(), process=process.pid, born=_born(process.pid) or "")


def test_this_process_lives() -> None:
    assert myself().process == os.getpid()
    assert myself().is_dead is False


def test_a_killed_process_is_dead_before_its_parent_looks() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = owner_of(process)
    assert owner.is_dead is False
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner.is_dead is True
    process.communicate()
    assert owner.is_dead is True


def test_a_number_that_was_given_to_another_process_is_dead() -> None:
    assert replace(myself(), born="1").is_dead is True


def test_of_processes_elsewhere_nothing_is_known() -> None:
    assert replace(myself(), place="another boot").is_dead is None
    assert replace(myself(), place="").is_dead is None
