"""A small set to train on."""

from pathlib import Path

import pytest
from support.runs import metals


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty fcc and bcc metals of different size."""
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    return metals(tmp_path / "data")
