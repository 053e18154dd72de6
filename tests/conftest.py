"""Set-up of the whole suite: shapes at public boundaries are checked, one thread, reproducible examples."""

import pkgutil

from jaxtyping import install_import_hook

import empnn

# pymatgen and jobflow write down what they find in signatures, which the checks would hide.
CHECKED = [f"empnn.{module.name}" for module in pkgutil.iter_modules(empnn.__path__) if module.name != "integrations"]
install_import_hook(CHECKED, "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("suite", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("suite")
torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    """A fresh source of randomness, the same in every test."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, which holds the default store of energies."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EMPNN_CACHE", str(folder))
    return folder
