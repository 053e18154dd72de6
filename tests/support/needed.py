"""Packages that only some environments have."""

import importlib
import os
from types import ModuleType

import pytest


def needed(name: str) -> ModuleType:
    """The package; without it the test is skipped, unless EMPNN_REQUIRE_INTEGRATIONS says that it has to be there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if os.environ.get("EMPNN_REQUIRE_INTEGRATIONS"):
            raise
        pytest.skip(f"{error}; make test-integrations installs it")
