"""Small runs of training, and their weights."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from empnn.training.config import Config, load_config

SMALL = (
    *("model.features=16", "model.message_layers=1", "model.action_layers=2", "model.radial.count=8"),
    *("train.batch_size=8", "train.validate_every=4", "train.workers=0", "train.warmup_steps=2", "train.threads=1"),
)
"""Settings of a network and of steps that take milliseconds."""


def config(data: Path, out: Path, *overrides: str) -> Config:
    settings = ("train.steps=12", "data.dev_fraction=0.2", *overrides)
    return load_config(None, [f"data.path={data}", f"train.out={out}", *SMALL, *settings])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "last" / "model.safetensors")


def assert_same_weights(first: Path, second: Path) -> None:
    here, there = weights(first), weights(second)
    assert here.keys() == there.keys()
    assert [name for name in here if not torch.equal(here[name], there[name])] == []
