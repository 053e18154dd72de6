"""Weights on disk: a folder with the configuration, the weights as safetensors and a card.

Packaged models are the folders beside this file; training writes the same layout.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn
from yaml import YAMLError

from empnn.errors import ConfigError, printable
from empnn.files import replacing
from empnn.names import respelled, suggestion
from empnn.nn import ModelConfig, Network, build
from empnn.nn.error_head import ErrorHead
from empnn.nn.shrinkage import Shrinkage

M = TypeVar("M", bound=nn.Module)

FORMAT_VERSION = "1"
DEFAULT = "pbe"

_WEIGHTS, _CONFIG, _CARD = "model.safetensors", "model.yaml", "card.json"
_ERRORS, _SHRINKAGE = "errors.safetensors", "shrinkage.safetensors"
_PACKAGED = Path(__file__).parent


def packaged() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(folder.parent.name for folder in _PACKAGED.glob(f"*/{_WEIGHTS}"))


def moving_atoms() -> list[str]:
    """Names of the packaged models that move atoms within the cell too."""
    return [name for name in packaged() if config_of(name).moves_atoms]


def find(name: str | Path) -> Path:
    """The folder of a packaged model, a model folder or a run directory (its best weights).

    Packaged models are found in any spelling (`mp_20`, `MP-20`), unless there is a folder of that name.

    Raises:
        ConfigError: If there is none.
    """
    given, names = str(name), packaged()
    for folder in (
        _PACKAGED / given,
        Path(given),
        Path(given) / "best",
        _PACKAGED / (respelled(given, names) or given),
    ):
        # Names that are too long for a file, or hold what no name can, are looked for in vain without an exception.
        if os.path.isfile(folder / _WEIGHTS):  # noqa: PTH113
            return folder
    known = f"packaged are: {', '.join(names) or 'none'}; else give a model folder or a run directory"
    raise ConfigError(f"no model {printable(given[:200])}; {known}{suggestion(given, names)}")


def name_of(name: str | Path) -> str:
    """The name of a packaged model as it is packaged, of another one as it is given.

    Raises:
        ConfigError: If there is no such model.
    """
    folder = find(name)
    return folder.name if folder.parent == _PACKAGED else str(name)


def save(folder: Path, network: Network, card: dict[str, Any]) -> None:
    """Write configuration, weights and card, each of them whole or not at all; what belonged to other weights goes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (_ERRORS, _SHRINKAGE):
        (folder / name).unlink(missing_ok=True)
    with replacing(folder / _CONFIG) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.structured(network.config)))
    write_card(folder, card)
    with replacing(folder / _WEIGHTS) as temporary:
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        temporary.write_bytes(safetensors_bytes(tensors, {"format_version": FORMAT_VERSION}))


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write the card of a model folder."""
    with replacing(folder / _CARD) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n")


def load_network(name: str | Path) -> tuple[Network, dict[str, Any]]:
    """The network in evaluation mode, and its card.

    Raises:
        ConfigError: If the model does not exist, is damaged or was written by an incompatible version.
    """
    folder = find(name)
    try:
        with safe_open(folder / _WEIGHTS, framework="pt") as file:
            version = (file.metadata() or {}).get("format_version")
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if version != FORMAT_VERSION:
            raise ConfigError(f"{folder}: format version {version}, this version of empnn reads {FORMAT_VERSION}")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
            raise ValueError("weights that are not finite")
        network = build(_config(folder / _CONFIG))
        network.load_state_dict(state)
    except ConfigError:
        raise
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise _damaged(folder, error) from None
    return network.eval(), card_of(folder)


def save_error_head(folder: Path, head: ErrorHead) -> None:
    """Write what predicts the errors of the model of a folder."""
    _save_state(folder / _ERRORS, head)


def load_error_head(name: str | Path) -> ErrorHead | None:
    """What predicts the errors of a model's answers; None if it has nothing that does.

    Raises:
        ConfigError: If the model does not exist, or this is damaged.
    """
    return _loaded(find(name), _ERRORS, ErrorHead.of)


def save_shrinkage(folder: Path, shrinkage: Shrinkage | None) -> None:
    """Write what says how much of the answers of the model of a folder to keep; None takes it away."""
    if shrinkage is None:
        (folder / _SHRINKAGE).unlink(missing_ok=True)
    else:
        _save_state(folder / _SHRINKAGE, shrinkage)


def load_shrinkage(name: str | Path) -> Shrinkage | None:
    """What says how much of a model's answers to keep; None to keep all.

    Raises:
        ConfigError: If the model does not exist, or this is damaged.
    """
    return _loaded(find(name), _SHRINKAGE, Shrinkage.of)


def _save_state(path: Path, module: nn.Module) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors_bytes(module.state_dict(), {"format_version": FORMAT_VERSION}))


def _loaded(folder: Path, file_name: str, made_of: Callable[[dict[str, Tensor]], M]) -> M | None:
    if not (folder / file_name).is_file():
        return None
    try:
        with safe_open(folder / file_name, framework="pt") as file:
            return made_of({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise _damaged(folder, error) from None


def card_of(name: str | Path) -> dict[str, Any]:
    """The card of a model: data, licence, command, commit and metrics.

    Raises:
        ConfigError: If there is no such model, or its card is damaged.
    """
    folder = find(name)
    try:
        card = json.loads((folder / _CARD).read_text())
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from None
    if not isinstance(card, dict):
        raise ConfigError(f"{folder}: damaged model ({_CARD} is no mapping); train or copy it again")
    return card


def size_of(folder: Path) -> int:
    """Bytes of the weights of a model folder."""
    return (folder / _WEIGHTS).stat().st_size


def config_of(name: str | Path) -> ModelConfig:
    """The architecture of a model.

    Raises:
        ConfigError: If there is no such model, or its configuration is damaged.
    """
    folder = find(name)
    try:
        return _config(folder / _CONFIG)
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from None


def _config(path: Path) -> ModelConfig:
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ModelConfig), OmegaConf.load(path)))
    except (OmegaConfBaseException, YAMLError, TypeError) as error:
        raise ValueError(f"{_CONFIG}: {str(error).splitlines()[0]}") from None
    if not isinstance(config, ModelConfig):
        raise ValueError(f"{_CONFIG} is no model configuration")
    return config


def _damaged(folder: Path, error: Exception) -> ConfigError:
    detail = " ".join(str(error).split())[:160]
    return ConfigError(f"{folder}: damaged model ({detail}); train or copy it again")
