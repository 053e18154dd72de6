"""Small runs of training, and their weights."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ase.io
import pytest
import torch
from ase.build import bulk
from safetensors.torch import load_file

from empnn.training import run
from empnn.training.config import load_config
from empnn.training.options import Config
from empnn.training.steps import DenoisingSteps

SMALL = (
    *("model.features=16", "model.message_layers=1", "model.action_layers=2", "model.radial.count=8"),
    *("train.batch_size=8", "train.validate_every=4", "train.workers=0", "train.warmup_steps=2", "train.threads=1"),
)
"""Settings of a network and of steps that take milliseconds."""


def metals(folder: Path) -> Path:
    """A data folder of twenty fcc and bcc metals of different size."""
    folder.mkdir()
    metals = {
        "Cu": 3.61,
        "Al": 4.05,
        "Ag": 4.09,
        "Au": 4.08,
        "Ni": 3.52,
        "Pd": 3.89,
        "Pt": 3.92,
        "Pb": 4.95,
        "Ca": 5.58,
    }
    cubic = {"Fe": 2.87, "Na": 4.29, "K": 5.33, "Li": 3.51, "Cr": 2.91, "Mo": 3.15, "W": 3.16, "V": 3.03, "Nb": 3.30}
    frames = [bulk(s, "fcc", a=a) for s, a in metals.items()] + [bulk(s, "bcc", a=a) for s, a in cubic.items()]
    ase.io.write(folder / "train.extxyz", frames)
    return folder


def config(data: Path, out: Path, *overrides: str) -> Config:
    settings = ("train.steps=12", "data.dev_fraction=0.2", *overrides)
    return load_config(None, [f"data.path={data}", f"train.out={out}", *SMALL, *settings])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "last" / "model.safetensors")


def assert_same_weights(first: Path, second: Path) -> None:
    here, there = weights(first), weights(second)
    assert here.keys() == there.keys()
    assert [name for name in here if not torch.equal(here[name], there[name])] == []


def step_of_stopped(folder: Path, status: int, out: str, err: str) -> int:
    """The step that a run was stopped at, which has said and done what such a run does."""
    step: int = json.loads((folder / "last/state.json").read_text())["step"]
    assert step >= run.LOG_EVERY
    assert (status, out) == (130, "")
    assert err.splitlines()[-2:] == [
        f"stopped at step {step}; go on from step {step} with: empnn train --resume {folder}",
        "empnn: interrupted",
    ]
    return step


@contextmanager
def stopped_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run is interrupted when it prepares this step."""
    original = DenoisingSteps.__getitem__

    def stop(self: DenoisingSteps, index: int) -> object:
        if index == step:
            raise KeyboardInterrupt
        return original(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(DenoisingSteps, "__getitem__", stop)
        with pytest.raises(KeyboardInterrupt):
            yield
