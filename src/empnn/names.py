"""Names as people spell them: found in any spelling, and the nearest one where none is meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def respelled(name: str, names: Iterable[str]) -> str | None:
    """The name that differs from the given one in capitals, hyphens, underscores, dots and spaces only."""
    return next((known for known in names if _plain(known) == _plain(name)), None)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant: the same in another spelling, or one that looks alike."""
    known = list(names)
    alike = difflib.get_close_matches(_plain(name), map(_plain, known), n=1, cutoff=0.7)
    return respelled(name, known) or (respelled(alike[0], known) if alike else None)


def suggestion(name: str, names: Iterable[str], written: str = "{}") -> str:
    """`; did you mean NAME?`, or nothing if no name is near; `written` is how it is to be typed."""
    found = nearest(name, names)
    return "" if found is None else f"; did you mean {written.format(found)}?"


def _plain(name: str) -> str:
    return re.sub(r"[\s._-]+", "", name).lower()
