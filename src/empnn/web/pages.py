"""The files of the page, held in memory: what is asked for is a name among them, never a path."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


class Page(NamedTuple):
    """A file of the page.

    Attributes:
        content: What is in it.
        kind: Its media type.
        tag: What tells this content from another.
    """

    content: bytes
    kind: str
    tag: str


def pages() -> dict[str, Page]:
    """All files by their names."""
    found: dict[str, Page] = {}
    waiting: list[Traversable] = [files("empnn").joinpath("web/page")]
    while waiting:
        place = waiting.pop()
        if place.is_dir():
            waiting += place.iterdir()
        elif (kind := _TYPES.get(place.name.rpartition(".")[2])) is not None:
            content = place.read_bytes()
            found[place.name] = Page(content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
    return found
