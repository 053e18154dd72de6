"""Networks that reconstruct and that relax, and crystals to reconstruct."""

import pytest
import torch
from ase.build import bulk
from support.cubes import trained_on_cubes

from empnn.crystals import CrystalBatch, from_atoms
from empnn.nn import ModelConfig, build
from empnn.nn.empnn import RadialConfig
from empnn.relax.reconstruct import Reconstructor
from empnn.relax.relaxer import Relaxer, load


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Reconstructor:
    """One trained on cubes for a second, and one that is not trained at all."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = ModelConfig(features=16, message_layers=1, action_layers=2, radial=RadialConfig(count=8))
        second = Relaxer(build(config), {}, name="strains")
    return Reconstructor(load(trained_on_cubes(tmp_path_factory.mktemp("cubes")), "cpu"), second)


@pytest.fixture(scope="session")
def crystals() -> CrystalBatch:
    """Four of them, of low and of high symmetry."""
    generator = torch.Generator().manual_seed(0)
    wurtzite = from_atoms(bulk("ZnO", "wurtzite", a=3.25, c=5.2))
    uneven = CrystalBatch.cat([wurtzite, from_atoms(bulk("NaCl", "rocksalt", a=5.64, cubic=True))])
    uneven = uneven.shifted(0.03 * torch.randn(uneven.n_atoms, 3, dtype=torch.float64, generator=generator))
    return CrystalBatch.cat([wurtzite, uneven, from_atoms(bulk("Fe"))])
