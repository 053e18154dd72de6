"""What the adapters share: the model that is meant, and what they say of an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from empnn.relax import Relaxation, Relaxer, load

Model = str | Path | Relaxer
"""A packaged model by name, a model folder or a run directory, or one that is loaded already."""


def relaxer_of(model: Model, device: str | torch.device | None) -> Relaxer:
    """The model that is meant; `device` says where it is loaded, if it is not loaded yet.

    Raises:
        ConfigError: If there is no such model or device.
    """
    return model if isinstance(model, Relaxer) else load(model, device)


def marks(result: Relaxation[Any]) -> dict[str, Any]:
    """What the crystal itself carries of what is said of an answer: `empnn_status`, warnings and predicted errors."""
    said: dict[str, Any] = {"empnn_status": result.status}
    if result.warnings:
        said["empnn_warnings"] = "; ".join(result.warnings)
    errors = {} if result.errors is None else result.errors.as_dict()
    return said | {f"empnn_error_{name}": value for name, value in errors.items()}


def mark(said: dict[Any, Any], result: Relaxation[Any]) -> None:
    """Say that in the info or the properties of a crystal, in place of what was said there before."""
    for name in [name for name in said if str(name).startswith(("empnn_warnings", "empnn_error_"))]:
        del said[name]
    said.update(marks(result))
