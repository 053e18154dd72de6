import os

import pytest

from empnn.energy import load_oracle
from empnn.errors import ConfigError


@pytest.fixture(autouse=True)
def gpaw(tmp_path, monkeypatch):
    """GPAW, or a word on how to install it."""
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    try:
        return load_oracle("gpaw")
    except ConfigError as error:
        if os.environ.get("EMPNN_REQUIRE_DFT"):
            raise
        pytest.skip(f"{error}; make test-dft does it")
