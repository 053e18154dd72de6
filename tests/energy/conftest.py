import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, which holds the default store."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EMPNN_CACHE", str(folder))
    return folder
