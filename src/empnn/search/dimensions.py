"""What a key of the configuration may be in a search: one of some values, or anything in a range."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from empnn.errors import ConfigError

_CALL = re.compile(r"\s*(choices|range|log)\((.*)\)\s*", re.DOTALL)
_WHOLE, _NUMBER, _LIST = "a whole number", "a number", "a list"
_HOW = "give [a,b], choices(a,b), range(low,high) or log(low,high)"


@dataclass(frozen=True)
class Choices:
    """One of some values.

    Attributes:
        texts: The values in JSON, which tells them apart.
    """

    texts: tuple[str, ...]

    @property
    def values(self) -> list[Any]:
        """The values."""
        return [json.loads(text) for text in self.texts]

    @property
    def ends(self) -> list[Any]:
        """Values that all have to be possible."""
        return self.values

    def __str__(self) -> str:
        return f"[{','.join(self.texts)}]"


@dataclass(frozen=True)
class Range:
    """A number between two others, both included.

    Attributes:
        low: The smallest.
        high: The largest.
        log: Whether its logarithm is spread evenly, not the number itself.
        whole: Whether it is a whole number.
    """

    low: float
    high: float
    log: bool
    whole: bool

    @property
    def ends(self) -> list[Any]:
        """Values that all have to be possible."""
        return [int(end) if self.whole else end for end in (self.low, self.high)]

    def __str__(self) -> str:
        return f"{'log' if self.log else 'range'}({','.join(map(str, self.ends))})"


Dimension = Choices | Range


def dimension(key: str, kind: str | None, given: Any) -> Dimension:
    """A dimension as a file gives it: a list of values, or `choices(...)`, `range(low,high)`, `log(low,high)`.

    Args:
        key: The key, for messages.
        kind: What its values are, in words.
        given: A list, or text.

    Raises:
        ConfigError: If it is none, or a range of what has no order.
    """
    if isinstance(given, list):
        return _choices(key, given)
    call = _CALL.fullmatch(given) if isinstance(given, str) else None
    if call is None:
        raise ConfigError(f"{key}={given}: nothing to choose from; {_HOW}")
    if call[1] == "choices":
        return _choices(key, _listed(key, f"[{call[2]}]"))
    return _range(key, kind, call[1] == "log", call[2])


def typed_dimension(key: str, kind: str | None, text: str) -> Dimension | None:
    """A dimension as it is typed, where a list means choices too, but for keys that take lists; None if it is a value.

    Raises:
        ConfigError: As `dimension`.
    """
    takes_lists = kind is None or kind.startswith(_LIST)
    if text.lstrip().startswith("[") and not takes_lists:
        return _choices(key, _listed(key, text))
    return dimension(key, kind, text) if is_call(text) else None


def is_call(text: str) -> bool:
    """Whether a text is `choices(...)`, `range(...)` or `log(...)`, which no value is."""
    return _CALL.fullmatch(text) is not None


def _choices(key: str, values: list[Any]) -> Choices:
    if not values:
        raise ConfigError(f"{key}=[]: nothing to choose from; give values")
    return Choices(tuple(dict.fromkeys(json.dumps(value) for value in values)))


def _listed(key: str, text: str) -> list[Any]:
    try:
        values = OmegaConf.to_container(OmegaConf.create(text))
    except (YAMLError, OmegaConfBaseException):
        values = None
    if not isinstance(values, list):
        raise ConfigError(f"{key}={text}: not a list of values, as in [1e-3,1e-4]")
    return values


def _range(key: str, kind: str | None, log: bool, inner: str) -> Range:
    name = "log" if log else "range"
    shown = f"{key}={name}({inner})"
    if kind not in (_WHOLE, _NUMBER):
        raise ConfigError(f"{shown}: only numbers have a range; give choices(...)")
    try:
        low, high = (float(end) for end in inner.split(","))
    except ValueError:
        raise ConfigError(f"{shown}: give two numbers, as in {name}(1,8)") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{shown}: the first number must be smaller than the second, and both finite")
    if log and low <= 0:
        raise ConfigError(f"{shown}: only positive numbers have a logarithm")
    if kind == _WHOLE and not (low.is_integer() and high.is_integer()):
        raise ConfigError(f"{shown}: must be whole numbers")
    return Range(low, high, log, kind == _WHOLE)
