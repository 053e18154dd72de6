"""Ctrl-C and what queues send: every step done is kept, and nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.runs import assert_same_weights, config, step_of_stopped

from empnn.relax import load
from empnn.training import run
from empnn.training.config import save_config
from empnn.training.report import Reporter
from empnn.training.steps import DenoisingSteps


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM]])
def test_signals_keep_every_step_done(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    signals: list[signal.Signals],
) -> None:
    """Ctrl-C, and what queues send, which is heeded once however often it comes."""
    whole = run.train(config(data, tmp_path / "whole"), Reporter(quiet=True))
    original = DenoisingSteps.__getitem__

    def interrupted(self: DenoisingSteps, step: int) -> object:
        if step == 6:
            for number in signals:
                signal.raise_signal(number)
        return original(self, step)

    handlers = [signal.getsignal(number) for number in run.ENDINGS]
    monkeypatch.setattr(DenoisingSteps, "__getitem__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.train(config(data, tmp_path / "stopped"), Reporter())
    assert [signal.getsignal(number) for number in run.ENDINGS] == handlers
    step = json.loads((tmp_path / "stopped/last/state.json").read_text())["step"]
    assert step in (5, 6, 7)
    assert f"go on from step {step} with" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    stopped = run.resume(tmp_path / "stopped", Reporter(quiet=True))
    assert_same_weights(stopped, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_keeps_every_step_done(data: Path, tmp_path: Path, number: signal.Signals) -> None:
    """As Slurm and `timeout` send it: to the run and to the processes that prepare its batches, more than once."""
    settings = config(
        data,
        tmp_path / "run",
        *("train.steps=1000000", "train.validate_every=1000000", "train.decay=false", "train.workers=2"),
    )
    save_config(settings, tmp_path / "config.yaml")
    process = subprocess.Popen(
        [sys.executable, "-c", "from empnn.cli import main; main()", "train", str(tmp_path / "config.yaml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # The first figures are logged long before the first checkpoint.
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/metrics.csv")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    if number != signal.SIGINT:
        process.send_signal(number)
    os.killpg(process.pid, number)
    # This returns once nobody holds stderr any more: no process is left behind.
    out, err = process.communicate(timeout=60)
    step = step_of_stopped(tmp_path / "run", process.returncode, out, err)
    assert load(tmp_path / "run" / "last").elements
    settings.train.steps, settings.train.workers = step + 4, 0
    save_config(settings, tmp_path / "run" / "config.yaml")
    run.resume(tmp_path / "run", Reporter(quiet=True))
    settings.train.out = str(tmp_path / "whole")
    run.train(settings, Reporter(quiet=True))
    assert_same_weights(tmp_path / "run", tmp_path / "whole")
