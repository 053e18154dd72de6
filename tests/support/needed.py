"""Packages that only some environments have."""

import importlib
import os
from types import ModuleType

import pytest


def needed(name: str, require: str = "EMPNN_REQUIRE_INTEGRATIONS", how: str = "make test-integrations") -> ModuleType:
    """The package; without it the test is skipped, unless a variable says that it has to be there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if os.environ.get(require):
            raise
        pytest.skip(f"{error}; {how} installs it", allow_module_level=True)
