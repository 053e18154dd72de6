"""The training configuration: one typed source for options, defaults and documentation."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError
from yaml import YAMLError

from empnn import models
from empnn.data.sets import NAMES
from empnn.errors import ConfigError
from empnn.fields import field_set
from empnn.files import replacing
from empnn.losses import LOSSES
from empnn.names import respelled, suggestion
from empnn.nn import ModelConfig
from empnn.training.presets import PRESETS


@dataclass
class DataConfig:
    """Which crystals to train on."""

    path: Any = None
    """A file, pattern or folder of crystals, a folder that holds train.csv(.gz), or a list of these and of names of
    sets (`[a.cif,runs/*.extxyz]`); or the root that holds the folder `name`."""
    name: str | None = None
    """carbon_24, perov_5 or mp_20: under `path`, the variable EMPNN_DATA, or where `empnn data fetch` puts it; or
    sample, 600 crystals that come with the package."""
    pairs: Any = None
    """Unrelaxed crystals and what they relax to: a table with the columns `cif_unrelaxed` and `cif_relaxed`, a list of
    two files `[unrelaxed.extxyz,relaxed.extxyz]`, or a folder that holds either. Alone, they are all there is to train
    on; with `path` or `name` they come beside these crystals."""
    select_on: str = "dev"
    """What selects the best weights: `dev`, carved from train, or the split `val`."""
    dev_fraction: float = 0.05
    """Part of train that becomes the development set, drawn by composition."""
    calibration_fraction: float = 0.05
    """Part of train that calibrates the bounds on predicted errors, drawn likewise; nothing below 100 crystals."""


@dataclass
class MixConfig:
    """How often each kind of corruption is drawn: weights, of which only the proportions count."""

    strain: float = 1.0
    """`sigma` and `positions`: nine independent entries of A. 0 by default where `data.pairs` are all there is."""
    symmetric: float = 0.0
    """Strain and displacements that keep the space group."""
    decorated: float = 0.0
    """A crystal in the cell and at the places of an isostructural one of another composition."""
    pairs: float = 0.0
    """The pairs of `data.pairs`; 1 by default where there are any."""
    relaxed: float = 0.0
    """Crystals as they are, with nothing to do: what is relaxed then stays where it is."""
    cube: float = 0.0
    """A cube of 1 angstrom in place of the cell, for reconstruction from fractional coordinates."""


@dataclass
class SymmetricConfig:
    """Noise that keeps the space group, drawn as `distribution` and `exponent` say."""

    volume: float = 0.45
    """Deviation of the isotropic strain; the largest one if the distribution is `uniform`."""
    shape: float = 0.2
    """Deviation of the entries of A, before what the point group forbids is taken away; likewise."""
    positions: float = 0.8
    """Deviation of the displacements in angstrom, before what the space group forbids is taken away; likewise."""


@dataclass
class CubeConfig:
    """Cubes in place of cells."""

    rewritten: float = 0.0
    """Share of the crystals that are rewritten in another basis before; for what is not to know that of a data set."""
    matrices: int = 3
    """The most elementary matrices that lead to such a basis."""


@dataclass
class NoiseConfig:
    """Noise of the training crystals."""

    sigma: float = 0.25
    """Deviation of the entries of A; the largest one if the distribution is `uniform`."""
    distribution: str = "uniform"
    """`fixed`, or `uniform`: drawn per structure from [0, sigma], so that relaxed crystals stay relaxed."""
    exponent: float = 2.0
    """For `uniform`: sigma times u**exponent with u in [0, 1]; above 1 it favours small strains."""
    positions: float | None = None
    """Deviation of the displacements of the atoms in angstrom, drawn as the strain is; null: 0.1 if `model.deform`
    holds positions, else 0."""
    displaced: float = 1.0
    """Share of the strained crystals, symmetric or not, whose atoms are displaced too; those of the others stay."""
    mix: MixConfig = field(default_factory=MixConfig)
    symmetric: SymmetricConfig = field(default_factory=SymmetricConfig)
    cube: CubeConfig = field(default_factory=CubeConfig)


@dataclass
class LossConfig:
    """What is minimised."""

    name: str = "param_mae"
    """A key of `empnn.losses.LOSSES`, for the cell."""
    positions: float = 10.0
    """Weight of the mean distance of the atoms to their true positions, per angstrom, if they move."""
    layers: float = 0.0
    """Weight of the mean loss of the cells after the layers before the last one."""


@dataclass
class TrainConfig:
    """How it is minimised."""

    steps: int = 10_000
    """Optimizer steps."""
    batch_size: int = 64
    """Structures per step, of all processes together."""
    learning_rate: float = 1e-3
    """Peak rate of Adam; it rises linearly over `warmup_steps`, then falls to 0 along a cosine (`decay=true`)."""
    decay: bool = True
    """Whether the learning rate falls; if not, it stays at its peak."""
    warmup_steps: int = 200
    """Steps of linear rise."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    weight_decay: float = 0.0
    """Decoupled decay of the weights: times the learning rate, the part of each that is lost in a step."""
    seed: int = 0
    """Seed of the weights, the order of the crystals, the noise and the development set."""
    out: str | None = None
    """Run directory; `runs/<data>-<date>-<time>` by default."""
    validate_every: int = 500
    """Steps between validations, each of which writes a checkpoint."""
    validate_sigma: float = 0.1
    """Noise of the validation."""
    validate_positions: float = 0.1
    """Noise of the validation on positions, in angstrom, if they move."""
    validate_structures: int = 1000
    """Validate on at most this many structures, the first of the set."""
    workers: int = 1
    """Processes that prepare batches (noise and graphs); 0 prepares them in the training process."""
    threads: int = 0
    """Threads of torch, of each process; 0 lets torch decide, and processes on a CPU share them."""
    devices: int = 1
    """Processes that train together on each machine, each with a GPU of its own if there are any."""
    nodes: int = 1
    """Machines with so many processes; `torchrun` or `srun` starts them."""


@dataclass
class Config:
    """Everything that determines a training run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


_CHOICES: dict[str, tuple[str, ...]] = {
    "data.select_on": ("dev", "val"),
    "noise.distribution": ("uniform", "fixed"),
    "loss.name": tuple(LOSSES),
}
_SHORTHANDS = {"loss": "loss.name", "lr": "train.learning_rate", "steps": "train.steps", "seed": "train.seed"}
_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a name",
    list: "a list, as in [cell,positions]",
    dict: "a mapping, as in {O: 4.0}",
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
    _check(config)
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
        layer = OmegaConf.from_dotlist([f"{_SHORTHANDS.get(key, key)}={value}"])
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


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _check(config: Config) -> None:
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
