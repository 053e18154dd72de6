"""Processes that train together do what one does, and end together."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ase.io
import pytest
import torch
from ase.build import bulk
from safetensors.torch import load_file
from support.runs import config, step_of_stopped, weights

from empnn.errors import ConfigError
from empnn.losses import ParameterScale
from empnn.nn import build
from empnn.training import parallel, run
from empnn.training.config import load_config, save_config
from empnn.training.data import prepare
from empnn.training.module import Denoising
from empnn.training.options import TrainConfig
from empnn.training.report import Reporter
from empnn.training.steps import DenoisingSteps
from empnn.training.task import Relaxing

DOUBLE = """
import json, sys
from empnn.training import run
from empnn.training.config import load_config
from empnn.training.module import Denoising
from empnn.training.report import Reporter

build, step = run.build, Denoising.training_step
poison = lambda module: float("nan") if module.state.step == 20 and module.group.rank == module.group.size - 1 else 1.0
run.build = lambda model: build(model).double()
Denoising.training_step = lambda module, batch, index: step(module, batch, index) * poison(module)
run.train(load_config(sys.argv[1], sys.argv[2:]), Reporter())
"""
"""Trains in float64; the gradient of step 20 is not finite, of several processes in the last one only."""


@pytest.fixture
def salts(data: Path) -> Path:
    """Crystals of one to eight atoms."""
    frames = [bulk(name, "rocksalt", a=a) for name, a in (("NaCl", 5.64), ("LiF", 4.03), ("KBr", 6.6), ("MgO", 4.21))]
    frames += [bulk(name, "rocksalt", a=a, cubic=True) for name, a in (("AgCl", 5.55), ("RbI", 7.34), ("NaF", 4.63))]
    ase.io.write(data / "train.extxyz", [*ase.io.read(data / "train.extxyz", ":"), *frames])
    return data


def ranks(size: int) -> list[dict[str, str]]:
    """What `srun` tells each process of a step that has one on each machine."""
    of_all = {"SLURM_STEP_NUM_TASKS": str(size), "SLURM_STEP_NODELIST": "localhost", "SLURM_LOCALID": "0"}
    port = {"SLURM_JOB_ID": str(os.getpid())}
    return [{**os.environ, **of_all, **port, "SLURM_PROCID": str(rank)} for rank in range(size)]


def test_parts_of_a_step_have_its_loss_and_its_gradient(salts: Path, tmp_path: Path) -> None:
    settings = config(
        salts, tmp_path / "run", "model.deform=[cell,positions]", "loss.layers=0.5", "train.batch_size=11"
    )
    prepared, network = prepare(settings), build(settings.model).double()
    task, source = Relaxing(settings, ParameterScale.of(prepared.train.cell), {}), prepared.corruptions.source()

    def gradient(part: int, parts: int) -> torch.Tensor:
        batch = DenoisingSteps(source, network.rule, part, parts)[3]
        loss = task.loss(network(batch.crystals, batch.graph), batch)
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        return torch.cat([loss.detach().reshape(1), *(g.flatten() for g in gradients)])

    for parts in (2, 3, 11):
        torch.testing.assert_close(sum(gradient(k, parts) for k in range(parts)) / parts, gradient(0, 1))


def test_parts_have_all_crystals_of_a_step_and_are_of_about_the_same_size(salts: Path, tmp_path: Path) -> None:
    settings = config(salts, tmp_path / "run", "train.batch_size=11")
    source, rule = prepare(settings).corruptions.source(), build(settings.model).rule
    parts = [DenoisingSteps(source, rule, part, 3)[1] for part in range(3)]
    whole = DenoisingSteps(source, rule)[1].crystals
    found = torch.cat([part.crystals.cell for part in parts])
    assert sorted(found.tolist()) == sorted(whole.cell.tolist())
    assert sum(part.crystals.n_atoms for part in parts) == whole.n_atoms
    assert [len(part.crystals) for part in parts] == [4, 4, 3]
    assert max(part.crystals.n_atoms for part in parts) - min(part.crystals.n_atoms for part in parts) <= 8


def test_two_processes_give_the_weights_of_one(salts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64, with steps whose gradient is clipped and one where it is not finite in one process."""
    changes = ("model.deform=[cell,positions]", "train.steps=50", "train.batch_size=7", "train.validate_every=25")
    save_config(config(salts, tmp_path / "one", *changes, "train.gradient_clip=0.3"), tmp_path / "config.yaml")
    command = ["-c", DOUBLE, str(tmp_path / "config.yaml"), f"train.out={tmp_path / 'two'}", "train.nodes=2"]
    both = [
        subprocess.Popen([sys.executable, *command], env=env, stderr=subprocess.PIPE, text=True) for env in ranks(2)
    ]
    try:
        # What is as it was is put back afterwards.
        for place, name in ((run, "build"), (Denoising, "training_step")):
            monkeypatch.setattr(place, name, getattr(place, name))
        monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path / "config.yaml")])
        exec(DOUBLE, {})  # noqa: S102
        said = [process.communicate(timeout=300)[1] for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], said
    assert "best weights" in said[0]
    assert said[1] == ""
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert tensor.dtype == torch.float64
        assert (tensor - two[name]).abs().max() <= 1e-6 * tensor.abs().max(), name
    states = [json.loads((tmp_path / name / "last/state.json").read_text()) for name in ("one", "two")]
    assert [state["skipped_steps"] for state in states] == [1, 1]
    assert states[0]["best_score"] == pytest.approx(states[1]["best_score"], rel=1e-6)
    for row, other in zip(*(rows(tmp_path / name) for name in ("one", "two")), strict=True):
        for name in ("gradient_norm", "lengths_mae", "score"):
            assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-6)
    assert rows(tmp_path / "one")[1]["loss"] == pytest.approx(rows(tmp_path / "two")[1]["loss"])


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(newline="") as handle:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(handle)]


def test_a_run_goes_on_with_another_number_of_processes(
    salts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of its own, then one: as one from beginning to end, but for rounding to float32."""
    changes = ("train.steps=8", "train.decay=false", "train.learning_rate=1e-4")
    whole = run.train(config(salts, tmp_path / "whole", *changes), Reporter(quiet=True))
    run.resume(whole, Reporter(quiet=True), ["steps=16"])
    folder = run.train(config(salts, tmp_path / "run", *changes, "train.devices=2"), Reporter())
    said = capsys.readouterr().err
    assert said.count("best weights") == said.count("parameters") == 1
    assert not torch.distributed.is_initialized()
    run.resume(folder, Reporter(quiet=True), ["train.devices=1", "steps=16"])
    assert load_config(folder / "config.yaml").train.devices == 1
    here, there = weights(folder), weights(whole)
    for name, tensor in there.items():
        torch.testing.assert_close(here[name], tensor, rtol=1e-4, atol=1e-5)
    first, second = (load_file(place / "last/optimizer.safetensors") for place in (folder, whole))
    assert first.keys() == second.keys()


@contextmanager
def endless(data: Path, folder: Path, *starter: str, **options: str) -> Iterator[subprocess.Popen[str]]:
    """A command that trains in two processes, past its first figures."""
    lasting = ("train.steps=1000000", "train.validate_every=1000000", "train.workers=1", "train.devices=2")
    save_config(config(data, folder, *lasting), folder.with_suffix(".yaml"))
    command = [sys.executable, "-c", "from empnn.cli import main; main()", "train", str(folder.with_suffix(".yaml"))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([*starter, *command], **pipes, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()


def test_a_signal_to_the_whole_group_ends_all_with_one_checkpoint(salts: Path, tmp_path: Path) -> None:
    with endless(salts, tmp_path / "run") as process:
        os.killpg(process.pid, signal.SIGINT)
        # This returns once nobody holds stderr any more: no process is left behind.
        out, err = process.communicate(timeout=120)
    step_of_stopped(tmp_path / "run", process.returncode, out, err)


def test_a_process_that_is_killed_ends_all(salts: Path, tmp_path: Path) -> None:
    with endless(salts, tmp_path / "run") as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            pytest.skip("the system does not tell the children of a process")
        (other,) = [
            int(child)
            for child in children.read_text().split()
            if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()
        ]
        os.kill(other, signal.SIGKILL)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    said = err.splitlines()[-1:]
    assert len(said) == 1
    assert said[0].startswith("empnn: process 1 of the 2 that train ended with status -9 (out of memory?); go on with ")


def test_torchrun_starts_the_processes_and_ends_them(salts: Path, tmp_path: Path) -> None:
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
    with endless(salts, tmp_path / "run", *starter) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    step = json.loads((tmp_path / "run/last/state.json").read_text())["step"]
    for said in (
        "parameters; steps 0 to",
        f"stopped at step {step}; go on from step {step} with",
        "empnn: interrupted",
    ):
        assert err.count(said) == 1


TORCHRUN = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
SRUN = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NODELIST": "n1"}


@pytest.mark.parametrize(
    ("told", "settings", "message"),
    [
        (TORCHRUN, TrainConfig(), "torchrun started 4 processes, which are not train.devices=1 train.nodes=1"),
        (TORCHRUN, TrainConfig(devices=2), "torchrun started 4 processes"),
        (SRUN, TrainConfig(devices=3), "srun started 4 processes, which are not train.devices=3 train.nodes=1"),
        (SRUN | {"SLURM_LOCALID": "1"}, TrainConfig(devices=2, nodes=2), "2 on each, one after the other"),
        ({}, TrainConfig(devices=2, nodes=2), "only this process was started; start train.devices processes"),
    ],
)
def test_processes_that_are_not_those_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], settings: TrainConfig, message: str
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        parallel.together(lambda group, reporter: None, settings, Reporter())
    assert message in str(caught.value)


def test_tasks_of_a_step_may_train_each_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SRUN | {"SLURM_PROCID": "2"}).items():
        monkeypatch.setenv(name, value)
    assert parallel.together(lambda group, reporter: group.size, TrainConfig(), Reporter()) == 1
    with pytest.raises(ConfigError):
        parallel.together(lambda group, reporter: load_config("missing"), TrainConfig(), Reporter())
    assert parallel.is_first(TrainConfig())
    assert not parallel.is_first(TrainConfig(devices=4))


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("n7", "n7"), ("gpu[03-05,09],login", "gpu03"), ("a12,b[1-2]", "a12"), ("r[1,3]n", "r1n"), ("c[8]", "c8")],
)
def test_tasks_of_a_step_meet_on_its_first_machine(monkeypatch: pytest.MonkeyPatch, nodes: str, host: str) -> None:
    for name, value in (SRUN | {"SLURM_STEP_NODELIST": nodes, "SLURM_JOB_ID": "123456"}).items():
        monkeypatch.setenv(name, value)
    place = parallel._place(TrainConfig(devices=4))
    assert place.address == (host, 15_000 + 3456 + 120_000 % 10_000)
    monkeypatch.setenv("MASTER_ADDR", "here")
    monkeypatch.setenv("MASTER_PORT", "99")
    place = parallel._place(TrainConfig(devices=4))
    assert place.address == ("here", 99)


def test_a_step_has_a_structure_for_each_process(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size=8: 9 processes share it"):
        config(data, tmp_path / "run", "train.devices=3", "train.nodes=3")


def test_what_is_wrong_in_all_processes_is_said_once(data: Path, tmp_path: Path) -> None:
    settings = config(data / "missing.cif", tmp_path / "run", "train.devices=2")
    with pytest.raises(ConfigError, match="does not exist"):
        run.train(settings, Reporter())
    assert not (tmp_path / "run").exists()
