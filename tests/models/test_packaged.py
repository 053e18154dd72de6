"""What the packaged weights promise: they help, they leave relaxed crystals alone, and the basis does not matter."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.spacegroup import crystal

import empnn
from empnn import symmetry
from empnn.crystals import CrystalBatch, from_atoms, to_atoms
from empnn.geometry import metric_tensor
from empnn.metrics import denoising_metrics
from empnn.relax import Relaxer
from empnn.testing import equivariance_errors, moves

SAMPLES = Path(empnn.__file__).parent / "data/samples"
MODELS = {"mp_20": "mp-20", "carbon_24": "carbon-24", "perov_5": "perov-5"}

PEROVSKITE = crystal(
    ("Sr", "Ti", "O"), basis=[(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], spacegroup=221, cellpar=[3.9] * 3 + [90] * 3
)
PERFECT = {
    "fcc": bulk("Cu", "fcc", a=3.7),
    "rocksalt": bulk("NaCl", "rocksalt", a=5.5),
    "perovskite": PEROVSKITE,
    "hcp": bulk("Mg", "hcp", a=3.3, c=5.1),
    "diamond": bulk("Si", "diamond", a=5.3),
}

RELAXED = {
    "mp_20": [[5.0553428, 0.0564222, 0.1687223], [2.4737412, 4.4016463, 0.2033955], [2.3749952, 1.3574621, 4.2493766]],
    "carbon_24": [
        [2.4808113, 0.029952, 0.0814245],
        [-1.2834258, 3.6082946, 0.0654307],
        [1.0966034, -2.9098077, 5.1225592],
    ],
    "perov_5": [
        [4.2830679, 0.0488004, 0.142243],
        [-0.0529102, 4.2837451, 0.124079],
        [-0.1406138, -0.1257972, 4.2817092],
    ],
}
"""What the first sample of each set became with the packaged weights when they were new, in float64."""


def samples(data: str, name: str) -> CrystalBatch:
    frames = [a for a in ase.io.read(SAMPLES / f"{name}.extxyz", index=":") if a.info["data"] == data]
    return CrystalBatch.cat([from_atoms(a) for a in frames])


@pytest.mark.parametrize("data", MODELS)
def test_most_of_the_strain_is_removed_from_unseen_crystals(data: str) -> None:
    strained, relaxed = samples(data, "strained"), samples(data, "relaxed")
    after = empnn.load(MODELS[data]).relax_batch(strained).crystals
    metrics = denoising_metrics(strained, after, relaxed)
    assert metrics.lengths_removed > 0.7
    assert metrics.angles_removed > 0.7


@pytest.mark.parametrize("data", MODELS)
def test_the_code_may_change_but_not_the_cells(data: str) -> None:
    relaxer = empnn.load(MODELS[data])
    first = samples(data, "strained").select([0])
    expected = torch.tensor([RELAXED[data]], dtype=torch.float64)
    # float32 leaves some 1e-6 angstrom open in such crystals, which is how much the order of sums matters.
    torch.testing.assert_close(relaxer.relax_batch(first).crystals.cell, expected, rtol=0, atol=1e-5)
    relaxer.network.double()
    torch.testing.assert_close(relaxer.relax_batch(first).crystals.cell, expected, rtol=0, atol=1e-6)


def test_what_the_default_model_keeps_of_its_answers_leaves_relaxed_crystals_and_relaxes_strained_ones() -> None:
    kept = empnn.load("pbe")
    whole = Relaxer(kept.network, kept.card)
    strained, relaxed = samples("mp_20", "strained"), samples("mp_20", "relaxed")
    errors = [
        [denoising_metrics(given, model.relax_batch(given).crystals, relaxed).lengths_mae for model in (kept, whole)]
        for given in (relaxed, relaxed.with_cell(1.05 * relaxed.cell), strained)
    ]
    assert errors[0][0] < 0.75 * errors[0][1]
    assert errors[1][0] < 0.95 * errors[1][1]
    assert errors[2][0] < 1.05 * errors[2][1]


@pytest.mark.parametrize("name", PERFECT)
@pytest.mark.parametrize("model", [*MODELS.values(), "pbe"])
def test_a_rewritten_perfect_crystal_relaxes_to_the_same_metric(name: str, model: str) -> None:
    relaxer = empnn.load(model)
    written = from_atoms(PERFECT[name])
    reference = metric_tensor(relaxer.relax_batch(written).crystals.cell)
    generator = torch.Generator().manual_seed(3)
    for moved in moves(written, generator):
        after = metric_tensor(relaxer.relax_batch(moved.crystals).crystals.cell)
        carry = torch.linalg.inv(moved.unimodular.to(torch.float64)).mT
        expected = carry @ reference @ carry.mT
        assert float((after - expected).abs().max() / expected.abs().max()) < 1e-4, moved.group


def test_all_groups_at_once_through_the_public_interface() -> None:
    relaxer = empnn.load("mp-20")
    generator = torch.Generator().manual_seed(5)
    written = from_atoms(PERFECT["perovskite"])
    g = symmetry.random_unimodular(1, generator, factors=10, largest=3)
    q = symmetry.random_orthogonal(1, generator)
    moved = symmetry.rotate(symmetry.change_basis(written, g), q)
    moved = symmetry.translate(moved, symmetry.random_translation(1, generator))
    moved = symmetry.permute(moved, symmetry.random_permutation(moved, generator))
    first, second = (relaxer.relax(to_atoms(c)[0]).structures.cell.array for c in (written, moved))
    expected = np.linalg.inv(g[0].numpy()).T @ first @ q[0].numpy().T
    assert np.abs(second - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("model", MODELS.values())
def test_trained_networks_are_equivariant(model: str) -> None:
    relaxer = empnn.load(model)
    strained = samples("mp_20", "strained")
    network = relaxer.network.double()
    errors = equivariance_errors(network, strained)
    assert max(e for groups in errors.values() for e in groups.values()) < 1e-9
