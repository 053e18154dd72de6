"""What a search is: a configuration, the keys that vary, and how many trials they are worth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from empnn.errors import ConfigError
from empnn.names import respelled, suggestion
from empnn.search.dimensions import Choices, Dimension, dimension, is_call, typed_dimension
from empnn.search.halving import Halving
from empnn.training.config import SEARCH, key_named, load_config
from empnn.training.options import Config
from empnn.training.presets import PRESETS as RUNS

PRESETS: dict[str, dict[str, Any]] = {
    "paper-grid": {
        "base": "paper",
        "dimensions": {"train.learning_rate": [1e-4, 3e-5, 1e-5], "model.weight_limit": [None, 0.01]},
    },
}
"""Searches that have a name; `paper-grid` is that of the paper's appendix C."""
TRIALS = 20
"""So many where there is no end of combinations."""
MANY = 10_000
"""More combinations than this are no grid: they are drawn from as ranges are."""
FACTOR = 3
"""Of so many trials one goes on, unless something else is said."""
_SECTION = ("dimensions", "trials", "seed", "halving", "factor")
_OWN = "train.out"
_FREE = ("out", "threads", "workers")
"""Keys of `train` that change nothing of what is found: where it lies, and how a machine is used."""
_MEASURES = ("data.", "noise.mix.", "noise.symmetric.", "train.seed", "train.validate_", "model.deform")
"""What keys begin with that change what a score is measured on."""

Parameters = dict[str, Any]
"""A value for every dimension, by key."""


@dataclass(frozen=True)
class Plan:
    """A search.

    Attributes:
        name: What it is called.
        base: Preset or file that the configurations begin with.
        settings: What is different in all trials, as `key=value`.
        dimensions: What differs between trials, by key, in the order of the keys.
        trials: How many were asked for; None for all combinations, or `TRIALS` where they have no end.
        seed: Of the order of combinations and of what is proposed.
        halving: When trials are given up, if they are.
    """

    name: str
    base: str | None
    settings: tuple[str, ...]
    dimensions: dict[str, Dimension]
    trials: int | None
    seed: int
    halving: Halving | None

    @cached_property
    def size(self) -> int | None:
        """Number of combinations; None if they have no end, or next to none."""
        choices = [each for each in self.dimensions.values() if isinstance(each, Choices)]
        size = math.prod(len(each.texts) for each in choices)
        return size if len(choices) == len(self.dimensions) and size <= MANY else None

    @property
    def count(self) -> int:
        """How many trials there are to be: no more than there are combinations."""
        if self.size is None:
            return TRIALS if self.trials is None else self.trials
        return self.size if self.trials is None else min(self.size, self.trials)

    @cached_property
    def combinations(self) -> list[dict[str, str]] | None:
        """All of them in the order of their trials, values as texts; None if they are not counted."""
        if self.size is None:
            return None
        texts = [each.texts for each in self.dimensions.values() if isinstance(each, Choices)]
        every = list(product(*texts))
        order = np.random.default_rng(self.seed).permutation(len(every))
        return [dict(zip(self.dimensions, every[number], strict=True)) for number in order]

    def config(self, parameters: Parameters) -> Config:
        """The configuration of a trial.

        Raises:
            ConfigError: If there can be none with these values.
        """
        values = [f"{key}={json.dumps(value)}" for key, value in parameters.items()]
        return load_config(self.base, [*self.settings, *values])

    @cached_property
    def first(self) -> Config:
        """The configuration with the first value of each dimension."""
        return self.config({key: each.ends[0] for key, each in self.dimensions.items()})

    @property
    def identity(self) -> dict[str, Any]:
        """What two processes have to agree on to work on the same search; keys with dots, values for JSON."""
        config = asdict(self.first)
        config["train"] = {key: value for key, value in config["train"].items() if key not in _FREE}
        found = {key: value for key, value in _flat(config).items() if key not in self.dimensions}
        return {
            **json.loads(json.dumps(found)),
            **{key: str(each) for key, each in self.dimensions.items()},
            "sweep.seed": self.seed,
            "sweep.halving": None if self.halving is None else [self.halving.first, self.halving.factor],
        }

    @property
    def unlike(self) -> list[str]:
        """Dimensions whose scores are measured on different crystals, or as different means."""
        fixed = () if self.first.train.validate_on is None else ("noise.mix.",)
        measures = tuple(start for start in _MEASURES if start not in fixed)
        return [key for key in self.dimensions if key.startswith(measures)]


def load_plan(
    base: str | None,
    given: Sequence[str] = (),
    trials: int | None = None,
    seed: int | None = None,
    halving: int | None = None,
) -> Plan:
    """A search from a preset or file and what is typed; what comes later wins.

    Args:
        base: A search or a configuration that has a name, or a YAML file: a configuration, with a section `sweep` that
            may hold `dimensions`, `trials`, `seed`, `halving` and `factor`.
        given: `key=value` to fix a value, `key=[a,b]`, `key=range(a,b)` or `key=log(a,b)` to search over it.
        trials: How many.
        seed: Of the search.
        halving: The first rung, in steps.

    Raises:
        ConfigError: If a key does not exist (the nearest is named), or a value cannot be.
    """
    preset = None if base is None else respelled(base, PRESETS)
    if preset is not None and (preset == base or not Path(str(base)).is_file()):
        name, base, section = preset, PRESETS[preset]["base"], {"dimensions": PRESETS[preset]["dimensions"]}
    else:
        name, section = "sweep" if base is None else Path(base).stem, _section(base)
    dimensions: dict[str, Dimension] = {}
    for item, value in section.get("dimensions", {}).items():
        key, kind = key_named(item)
        dimensions[key] = dimension(key, kind, value)
    settings = []
    for item in given:
        key, found = _typed(item)
        dimensions.pop(key, None)
        if found is None:
            settings.append(item)
        else:
            dimensions[key] = found
    first = section.get("halving") if halving is None else halving
    plan = Plan(
        name,
        base,
        tuple(settings),
        dict(sorted(dimensions.items())),
        section.get("trials") if trials is None else trials,
        section.get("seed", 0) if seed is None else seed,
        None if first is None else Halving(first, section.get("factor", FACTOR)),
    )
    _check(plan)
    return plan


def _typed(item: str) -> tuple[str, Dimension | None]:
    """The key of what was typed, and what it may be if it is to vary."""
    name, _, text = item.partition("=")
    try:
        key, kind = key_named(name)
    except ConfigError:
        if is_call(text):
            raise
        # A section, an entry of a mapping, `data=X`, or nothing that a configuration knows, which will say so.
        return name, None
    return key, typed_dimension(key, kind, text)


def _section(base: str | None) -> dict[str, Any]:
    """What a file says of the search."""
    if base is None or (not Path(base).is_file() and respelled(base, RUNS) is not None):
        return {}
    if not Path(base).is_file():
        known = [*PRESETS, *RUNS]
        raise ConfigError(f"{base}: neither a file nor a preset ({', '.join(known)}){suggestion(base, known)}")
    # Says what is wrong with the file, if it is no configuration.
    load_config(base)
    content: Any = OmegaConf.to_container(OmegaConf.load(base))
    section = content.get(SEARCH) or {}
    if not (isinstance(section, dict) and isinstance(section.get("dimensions", {}), dict)):
        raise ConfigError(f"{base}: expected a section {SEARCH} with {', '.join(_SECTION)}; dimensions is one in it")
    for key, value in section.items():
        if key not in _SECTION:
            raise ConfigError(f"unknown key {SEARCH}.{key}{suggestion(str(key), _SECTION, SEARCH + '.{}')}")
        if key != "dimensions" and type(value) is not int:
            raise ConfigError(f"{SEARCH}.{key}={value}: must be a whole number")
    return section


def _check(plan: Plan) -> None:
    """Make sure of every value alone, beside the first of the others.

    Raises:
        ConfigError: If there is nothing to search, or a value cannot be.
    """
    if plan.first.train.out is not None or _OWN in plan.dimensions:
        raise ConfigError(f"{_OWN}: the runs of a search lie in its folder; leave it out, and give `folder`")
    if not plan.dimensions:
        raise ConfigError("nothing to search: give a key values, as in lr=[1e-3,1e-4], or a range, lr=log(1e-5,1e-2)")
    if plan.trials is not None and plan.trials < 1:
        raise ConfigError(f"{SEARCH}.trials={plan.trials}: must be positive")
    if plan.seed < 0:
        raise ConfigError(f"{SEARCH}.seed={plan.seed}: must not be negative")
    if plan.halving is not None and (plan.halving.first < 1 or plan.halving.factor < 2):
        raise ConfigError(f"{SEARCH}.halving={plan.halving.first}: must be positive, and its factor 2 or more")
    first = {key: each.ends[0] for key, each in plan.dimensions.items()}
    for key, each in plan.dimensions.items():
        for value in each.ends:
            config = plan.config({**first, key: value})
            if config.data.select_on != "dev":
                raise ConfigError("data.select_on: a search is decided on the development set; leave it out")
    if plan.halving is not None and plan.halving.first >= plan.first.train.steps:
        raise ConfigError(f"{SEARCH}.halving={plan.halving.first}: runs of {plan.first.train.steps} steps end before")


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Keys with dots; a mapping that is a value, such as the radii of elements, becomes several."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
