"""What the packaged networks for reconstruction find."""

import pytest
import torch
from ase.build import bulk

from empnn.crystals import CrystalBatch, from_atoms
from empnn.geometry import lattice_parameters
from empnn.relax.reconstruct import load


def test_primitive_metals_are_no_cubes() -> None:
    metals = CrystalBatch.cat([from_atoms(bulk("Cu", "fcc", a=3.6)), from_atoms(bulk("Fe", "bcc", a=2.87))])
    model = load("mp-20-reconstruct")
    found = lattice_parameters(model.reconstruct(metals).cell)
    assert found[0].tolist() == pytest.approx([2.55] * 3 + [60.0] * 3, rel=0.02)
    assert found[1].tolist() == pytest.approx([2.46] * 3 + [109.47] * 3, rel=0.02)
    # One atom keeps all symmetries of the cube that it starts from.
    cubes = lattice_parameters(model.reconstruct(metals, rank="none").cell)
    torch.testing.assert_close(cubes[:, 3:], torch.full((2, 3), 90.0, dtype=torch.float64), rtol=0, atol=0.01)
