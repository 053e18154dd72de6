"""Figures 4 and 5 of the paper, of packaged networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def make(what: str, sets: tuple[str, ...], split: str, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Draw `figure4` or `figure5` into a folder; returns what is to be said, under `text`, and the `files`."""
    raise NotImplementedError
