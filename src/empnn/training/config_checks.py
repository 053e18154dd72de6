"""What the values of a configuration must be, beyond their types."""

from __future__ import annotations

import math
from typing import Any

from empnn.errors import ConfigError
from empnn.fields import field_set
from empnn.losses import LOSSES
from empnn.training.options import Config

VALIDATED = ("strain", "symmetric", "decorated", "cube")
"""Kinds of corruption that are made of a development set."""
_CHOICES: dict[str, tuple[str, ...]] = {
    "data.select_on": ("dev", "val"),
    "noise.distribution": ("uniform", "fixed"),
    "loss.name": tuple(LOSSES),
}
_NOT_NEGATIVE = (
    "noise.sigma",
    "noise.positions",
    "noise.mix.strain",
    "noise.mix.symmetric",
    "noise.mix.decorated",
    "noise.mix.pairs",
    "noise.mix.relaxed",
    "noise.mix.cube",
    "noise.symmetric.volume",
    "noise.symmetric.shape",
    "noise.symmetric.positions",
    "loss.positions",
    "loss.layers",
    "train.warmup_steps",
    "train.weight_decay",
    "train.workers",
    "train.threads",
    "train.seed",
    "model.message_layers",
)
_POSITIVE = (
    "train.validate_sigma",
    "train.validate_positions",
    "model.graph.radius",
    "model.graph.scale",
    "model.action_scale",
    "model.exponent_limit",
    "model.radial.stop",
    "train.steps",
    "train.batch_size",
    "train.devices",
    "train.nodes",
    "train.learning_rate",
    "train.gradient_clip",
    "train.validate_every",
    "train.validate_structures",
    "model.features",
    "model.radial.count",
    "model.radial.width",
    "noise.exponent",
    "noise.cube.matrices",
    "model.action_layers",
    "model.graph.k",
)


def check(config: Config) -> None:
    """Refuse values that are out of range, and values that contradict each other.

    Raises:
        ConfigError: Says which key, its value, and what it must be.
    """
    for key, choices in _CHOICES.items():
        if _value(config, key) not in choices:
            raise ConfigError(f"{key}={_value(config, key)}: must be one of {', '.join(choices)}")
    for key in _POSITIVE:
        if not 0 < _value(config, key) < math.inf:
            raise ConfigError(f"{key}={_value(config, key)}: must be positive and finite")
    for key in _NOT_NEGATIVE:
        value = _value(config, key)
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(f"{key}={_value(config, key)}: must not be negative, and finite")
    kinds = config.train.validate_on
    if kinds is not None and (not kinds or not set(kinds) <= set(VALIDATED)):
        raise ConfigError(f"train.validate_on={kinds}: must be some of {', '.join(VALIDATED)}")
    size = config.train.devices * config.train.nodes
    if config.train.batch_size < size:
        raise ConfigError(
            f"train.batch_size={config.train.batch_size}: {size} processes share it, a structure each; give more"
        )
    if config.model.weight_limit is not None and not 0 < config.model.weight_limit < math.inf:
        raise ConfigError(f"model.weight_limit={config.model.weight_limit}: must be positive and finite, or null")
    for name in ("path", "pairs"):
        value = getattr(config.data, name)
        listed = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not (value is None or isinstance(value, str) or listed):
            raise ConfigError(f"data.{name}={value}: must be a file, a folder, or a list of them")
    if config.data.pairs is None and config.noise.mix.pairs > 0:
        raise ConfigError("noise.mix.pairs has a weight, but there are no pairs; give data.pairs")
    if config.data.pairs is not None and config.noise.mix.pairs == 0:
        raise ConfigError("data.pairs are given, but noise.mix.pairs is 0; give it a weight, or leave the pairs out")
    for key in ("noise.displaced", "noise.cube.rewritten"):
        if not 0 <= _value(config, key) <= 1:
            raise ConfigError(f"{key}={_value(config, key)}: must lie between 0 and 1")
    _ = config.model.moves_atoms
    field_set(config.model.fields)
    if not 0 < config.data.dev_fraction < 1:
        raise ConfigError(f"data.dev_fraction={config.data.dev_fraction}: must lie between 0 and 1")
    if not 0 <= config.data.calibration_fraction < 1:
        raise ConfigError(f"data.calibration_fraction={config.data.calibration_fraction}: must be 0, or below 1")


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value
