"""Where files are kept when the caller names no folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where parsed files are kept: `EMPNN_CACHE`, or `empnn` in the user's cache directory."""
    if "EMPNN_CACHE" in os.environ:
        return Path(os.environ["EMPNN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "empnn"


def data_folder() -> Path:
    """The folder that holds the benchmark sets: `EMPNN_DATA`, or `data` in the cache folder."""
    return Path(os.environ.get("EMPNN_DATA") or cache_folder() / "data")
