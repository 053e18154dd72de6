"""Checkpoints of a run: weights, optimizer moments and the step; safetensors and JSON, nothing pickled."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes

from empnn import models
from empnn.errors import ConfigError
from empnn.files import replacing
from empnn.nn import Network

_OPTIMIZER, _STATE = "optimizer.safetensors", "state.json"


@dataclass
class RunState:
    """Where a run stands. Order and noise follow from the seed and the step, so nothing else is needed.

    Attributes:
        step: Steps done.
        seed: Seed of the run.
        data: Digest of the training crystals, which a resumed run must find again.
        best_score: Best selection score so far (mean fraction of the noise removed), higher is better.
        best_step: The step it was reached at.
        skipped_steps: Steps whose gradient was not finite and was not applied.
        seconds: Training time so far, over all sessions.
    """

    step: int = 0
    seed: int = 0
    data: str = ""
    best_score: float = float("-inf")
    best_step: int = 0
    skipped_steps: int = 0
    seconds: float = 0.0


def save_run(
    folder: Path, network: Network, optimizer: torch.optim.Optimizer, state: RunState, card: dict[str, Any]
) -> None:
    """Write everything needed to go on from here to a new folder, which then takes the place of the old one.

    It is a model folder, too. Killed at any moment, this leaves one whole checkpoint: `folder`, or what was there
    before, as `folder.old`.
    """
    target, old = folder, _old(folder)
    folder = folder.with_name(folder.name + ".new")
    for leftover in (folder, old if target.exists() else folder):
        shutil.rmtree(leftover, ignore_errors=True)
    models.save(folder, network, card)
    tensors = {
        f"{index}.{name}": value.contiguous()
        for index, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
    }
    with replacing(folder / _OPTIMIZER) as temporary:
        temporary.write_bytes(safetensors_bytes(tensors, {"step": str(state.step)}))
    with replacing(folder / _STATE) as temporary:
        temporary.write_text(json.dumps(asdict(state), indent=2) + "\n")
    if target.exists():
        target.rename(old)
    folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def run_state(run: Path) -> RunState | None:
    """Where a run stands, by its directory; None if there is no checkpoint to go on from."""
    last = run / "last"
    for folder in (last, _old(last)):
        if (folder / _STATE).is_file():
            return RunState(**json.loads((folder / _STATE).read_text()))
    return None


def load_run(folder: Path) -> tuple[Network, dict[int, dict[str, torch.Tensor]], RunState]:
    """Weights, optimizer moments per parameter, and the state of a run, from the folder `last` in its directory.

    Raises:
        ConfigError: If there is no checkpoint or it is damaged.
    """
    if not folder.exists():
        folder = _old(folder)
    if not (folder / _STATE).is_file():
        raise ConfigError(
            f"{folder.parent}: no checkpoint to resume, for the run had not reached its first validation; remove it "
            "and start again"
        )
    network, _ = models.load_network(folder)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    try:
        content: dict[str, Any] = json.loads((folder / _STATE).read_text())
        for key, tensor in load_file(folder / _OPTIMIZER).items():
            index, _, name = key.partition(".")
            moments.setdefault(int(index), {})[name] = tensor
        return network.train(), moments, RunState(**content)
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise ConfigError(f"{folder}: damaged checkpoint ({' '.join(str(error).split())[:160]})") from None


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")
