"""Shapes that reconstruction starts from."""

import numpy as np
import torch

from empnn.geometry import lattice_parameters
from empnn.relax.reconstruct.shapes import shapes


def test_shapes_have_one_cubic_angstrom_and_none_is_there_twice() -> None:
    found = shapes()
    assert len(found) == 4 + 4 + 6 + 3 + 3
    # Right-handed ones, as the cube is.
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(20, dtype=torch.float64))
    metrics = {tuple((cell @ cell.T).ravel().round(decimals=6).tolist()) for cell in found}
    assert len(metrics) == 20


def test_they_are_those_of_fcc_bcc_and_hexagonal_cells_and_of_longer_and_shorter_ones() -> None:
    parameters = lattice_parameters(shapes()).numpy()
    for wanted in (
        (1, 60, 60, 60),
        (1, 109.471, 109.471, 109.471),
        (1, 90, 90, 120),
        (1.6, 90, 90, 90),
        (0.6, 90, 90, 90),
    ):
        found = np.column_stack([parameters[:, 2] / parameters[:, 0], parameters[:, 3:]])
        assert (np.abs(found - wanted) < 1e-2).all(1).any(), wanted
