"""Packages that only some environments have."""

import importlib
import os
from types import ModuleType

import pytest


def needed(name: str, of: str = "integrations") -> ModuleType:
    """The package; without it the test is skipped, unless EMPNN_REQUIRE_INTEGRATIONS says that it has to be there.

    Args:
        name: The package.
        of: The tests that it is for: of `web`, EMPNN_REQUIRE_WEB and `make test-web`.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if os.environ.get(f"EMPNN_REQUIRE_{of.upper()}"):
            raise
        pytest.skip(f"{error}; make test-{of} installs it", allow_module_level=True)
