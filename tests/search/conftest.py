"""A small set to search with."""

from pathlib import Path

import pytest
from support.runs import metals


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twenty fcc and bcc metals of different size."""
    return metals(tmp_path / "data")
