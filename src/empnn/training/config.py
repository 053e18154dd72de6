"""A training configuration from presets, files and the command line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError
from yaml import YAMLError

from empnn import models
from empnn.data.sets import NAMES
from empnn.errors import ConfigError
from empnn.files import replacing
from empnn.names import respelled, suggestion
from empnn.training.config_checks import check
from empnn.training.options import Config
from empnn.training.presets import PRESETS

_SHORTHANDS = {"loss": "loss.name", "lr": "train.learning_rate", "steps": "train.steps", "seed": "train.seed"}
_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a name",
    list: "a list, as in [cell,positions]",
    dict: "a mapping, as in {O: 4.0}",
}

SEARCH = "sweep"
"""The section of a file that says how to search for the best values of keys; training passes over it."""
_EARLIER = {"data": {"calibration_fraction": 0.0}}
"""What whole configurations meant before there were these keys."""


def load_config(base: str | Path | None = None, overrides: Sequence[str] = (), whole: bool = False) -> Config:
    """Defaults, a preset, the architecture of `model.start_from`, a YAML file, `key=value` overrides; later ones win.

    Where there are pairs, they are trained on by default, and nothing else if there is nothing else, but for relaxed
    crystals that are to stay as they are. A file that is the `whole` configuration of a run needs the model that it
    started from no more.

    `data=X` stands for `data.name=X` if X is a benchmark set and `data.path=X` otherwise, `loss=X` for `loss.name=X`,
    on the command line and in files.

    Raises:
        ConfigError: If a key does not exist (the nearest is named), a value has the wrong type or is out of range.
    """
    preset, file = _base(base)
    defaults, given = OmegaConf.structured(Config), (file, _from_overrides(overrides))
    try:
        merged = OmegaConf.merge(defaults, _EARLIER if whole else {}, preset, *given)
        if not whole:
            merged = OmegaConf.merge(defaults, preset, _implied(merged), *given)
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise _misfit(error) from None
    if not isinstance(config, Config):
        raise ConfigError("the configuration is not a mapping of sections")
    check(config)
    return config


def _implied(merged: Any) -> dict[str, Any]:
    """What follows from the model to start from and from the kinds of data, unless something else is given."""
    implied: dict[str, Any] = {}
    if merged.model.start_from is not None:
        start = merged.model.start_from
        implied["model"] = OmegaConf.structured(replace(models.config_of(start), start_from=start))
    if merged.data.pairs is not None:
        alone = merged.data.path is None and merged.data.name is None
        implied["noise"] = {"mix": {"pairs": 1.0, **({"strain": 0.0, "symmetric": 0.0} if alone else {})}}
    return implied


def key_named(name: str) -> tuple[str, str | None]:
    """A key by its whole name, and what its values are, in words; None if they may be of several kinds.

    Args:
        name: The key (`train.learning_rate`), or its shorthand (`lr`).

    Raises:
        ConfigError: If there is no such key (the nearest is named).
    """
    key = _SHORTHANDS.get(name, name)
    if key not in _all_keys(Config):
        raise ConfigError(_unknown(key, _all_keys(Config)))
    section: Any = Config
    *places, last = key.split(".")
    for place in places:
        section = _section(section, place)
    return key, _kind(section, last)


def essence(config: Config) -> Config:
    """What determines the result of a run: where it lies and how many processes share its work do not."""
    return replace(config, train=replace(config.train, out=None, threads=0, workers=0, devices=1, nodes=1))


def save_config(config: Config, path: Path) -> None:
    """Write the whole configuration as YAML."""
    with replacing(path) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))


def _base(base: str | Path | None) -> tuple[DictConfig, DictConfig]:
    """A preset and a file, of which at least one is empty."""
    nothing = DictConfig({})
    if base is None:
        return nothing, nothing
    path = Path(base)
    preset = respelled(str(base), PRESETS)
    if preset is not None and (preset == str(base) or not path.is_file()):
        return DictConfig(PRESETS[preset]), nothing
    if not path.is_file():
        meant = suggestion(str(base), PRESETS) or suggestion(str(base), NAMES, "data={}")
        raise ConfigError(f"{base}: neither a file nor a preset ({', '.join(PRESETS)}){meant}")
    try:
        loaded = OmegaConf.load(path)
    except (OSError, ValueError, OmegaConfBaseException) as error:
        raise ConfigError(f"{base}: not a configuration ({str(error).splitlines()[0]})") from None
    except YAMLError as error:
        raise ConfigError(f"{base}: not valid YAML ({' '.join(str(error).split())[:160]})") from None
    if not isinstance(loaded, DictConfig):
        raise ConfigError(f"{base}: expected a mapping of sections ({', '.join(_keys(Config))})")
    loaded.pop(SEARCH, None)
    for name, section in (("data", _data_key), ("loss", lambda _: "loss.name")):
        if isinstance(loaded.get(name), str | ListConfig):
            key = section(loaded[name]).partition(".")[2]
            loaded[name] = {key: loaded[name]}
    _reject_unknown(OmegaConf.to_container(loaded), Config, "")
    return nothing, loaded


def _data_key(value: str | ListConfig) -> str:
    return "data.name" if value in NAMES else "data.path"


def _from_overrides(overrides: Sequence[str]) -> DictConfig:
    result = DictConfig({})
    for item in overrides:
        key, separator, value = item.partition("=")
        if not separator:
            raise ConfigError(f"{item}: expected key=value")
        if key == "data":
            key = _data_key(value)
        try:
            layer = OmegaConf.from_dotlist([f"{_SHORTHANDS.get(key, key)}={value}"])
        except YAMLError:
            raise ConfigError(f"{item}: the value cannot be read; write [a,b] or {{a: 1, b: 2}}") from None
        _reject_unknown(OmegaConf.to_container(layer), Config, "")
        result = DictConfig(OmegaConf.merge(result, layer))
    return result


def _keys(section: Any) -> list[str]:
    return [f.name for f in fields(section)]


def _section(section: Any, name: str) -> Any:
    default = next(f for f in fields(section) if f.name == name)
    value = default.default_factory() if callable(default.default_factory) else None
    return value if is_dataclass(value) else None


def _all_keys(section: Any, prefix: str = "") -> list[str]:
    found = []
    for name in _keys(section):
        inner = _section(section, name)
        found += _all_keys(inner, f"{prefix}{name}.") if inner else [prefix + name]
    return found


def _reject_unknown(content: Any, section: Any, prefix: str) -> None:
    for name, value in content.items():
        if name not in _keys(section):
            if value is None and ":" in str(name):
                # To YAML it is one word.
                spaced = str(name).replace(":", ": ", 1)
                raise ConfigError(f"{prefix}{name}: write {spaced}, with a blank after the colon")
            raise ConfigError(_unknown(f"{prefix}{name}", [prefix + k for k in _keys(section)] + _all_keys(Config)))
        inner = _section(section, name)
        if inner is not None:
            if not isinstance(value, dict):
                raise ConfigError(f"{prefix}{name}: expected a section with {', '.join(_keys(inner))}")
            _reject_unknown(value, inner, f"{prefix}{name}.")
        elif (kind := _kind(section, name)) and _is_of_other_kind(value, kind):
            raise ConfigError(f"{prefix}{name}={value}: must be {kind}")


def _kind(section: Any, name: str) -> str | None:
    """What the values of a key are, in words; None if they may be of several kinds."""
    hint = get_type_hints(section if isinstance(section, type) else type(section))[name]
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] if type(None) in get_args(hint) else [hint]
    return _KINDS.get(get_origin(kinds[0]) or kinds[0])


def _is_of_other_kind(value: Any, kind: str) -> bool:
    """Whether a value is a mapping where none is expected, or a list of mappings or lists: OmegaConf stumbles there."""
    if kind == _KINDS[list] and isinstance(value, list):
        return any(isinstance(item, list | dict) for item in value)
    return isinstance(value, dict) and kind != _KINDS[dict]


def _misfit(error: OmegaConfBaseException) -> ConfigError:
    """What is wrong with a value, in words that are not OmegaConf's."""
    key = str(error.full_key or "configuration")
    section: Any = Config
    *places, name = key.split(".")
    for place in places:
        section = (_section(section, place) if place in _keys(section) else None) or section
    kind = _kind(section, name) if name in _keys(section) else None
    if kind is None or not isinstance(error, ValidationError):
        return ConfigError(f"{key}: {str(error).splitlines()[0]}")
    value = "null" if str(error.value) == "None" else error.value
    return ConfigError(f"{key}={value}: must be {kind}")


def _unknown(key: str, known: list[str]) -> str:
    last = key.rpartition(".")[2]
    same_name = [k for k in known if difflib.get_close_matches(last, [k.rpartition(".")[2]], cutoff=0.75)]
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5) or same_name or known
    return f"unknown key {key}; did you mean {nearest[0]}?"
