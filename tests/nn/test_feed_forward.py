"""The baseline is invariant under O(3), translations and permutations, and has a defect: it is so under SL3(Z) too."""

from dataclasses import replace

import pytest
import torch
from support.zoo import zoo
from torch import Tensor

from empnn import symmetry
from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.geometry import lattice_parameters, polar_factor
from empnn.nn import FeedForward, GraphConfig, ModelConfig, RadialConfig, build
from empnn.testing import assert_equivariant, equivariance_errors

CRYSTALS = zoo("hcp", "perovskite", "triclinic", "one-atom", "left-handed")
CONFIG = ModelConfig(name="ff", features=12, message_layers=2, graph=GraphConfig(k=8), radial=RadialConfig(8, 6.0, 0.8))


@pytest.fixture
def model() -> FeedForward:
    torch.manual_seed(0)
    model = build(CONFIG)
    assert isinstance(model, FeedForward)
    mean, deviation = torch.tensor([5.0, 6, 7, 80, 95, 105]), torch.tensor([1.0, 2, 3, 20, 30, 40])
    model.set_scale(mean.double(), deviation.double())
    return model.double().requires_grad_(False)


def predicted(model: FeedForward, crystals: CrystalBatch) -> Tensor:
    return crystals.cell @ model(crystals).action.mT


def test_the_lattice_it_predicts_is_invariant_under_every_group(model: FeedForward) -> None:
    parameters = lattice_parameters(predicted(model, CRYSTALS))
    assert float((parameters[0] - parameters[2]).abs().max()) > 1e-3
    assert_equivariant(
        lambda crystals: {"parameters": lattice_parameters(predicted(model, crystals))},
        CRYSTALS,
        kinds={"parameters": "structure"},
    )


def test_hence_it_is_not_equivariant_under_changes_of_basis(model: FeedForward) -> None:
    def stretch(crystals: CrystalBatch) -> Tensor:
        return polar_factor(model(crystals).action)

    errors = equivariance_errors(stretch, CRYSTALS)["action"]
    for group in ("O(3)", "translation", "S_n"):
        assert errors.pop(group) < 1e-9
    assert set(errors) == {"SL3(Z) mild", "SL3(Z) skewed"}
    assert min(errors.values()) > 0.1
    with pytest.raises(AssertionError, match=r"action +SL3\(Z\) mild"):
        assert_equivariant(stretch, CRYSTALS)


def test_a_crystal_in_another_basis_becomes_another_crystal(model: FeedForward, generator: torch.Generator) -> None:
    g = symmetry.random_unimodular(len(CRYSTALS), generator)
    moved = symmetry.change_basis(CRYSTALS, g)
    should_be = torch.linalg.inv(g.double()).mT @ predicted(model, CRYSTALS)
    assert not torch.allclose(lattice_parameters(predicted(model, moved)), lattice_parameters(should_be), rtol=0.05)


def test_the_prediction_is_the_readout_in_units_of_the_training_set(model: FeedForward) -> None:
    seen: list[Tensor] = []
    model.readout.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    parameters = lattice_parameters(predicted(model, CRYSTALS))
    torch.testing.assert_close(parameters, seen[0] * model.deviation + model.mean)


def test_the_handedness_stays(model: FeedForward) -> None:
    assert bool((torch.linalg.det(model(CRYSTALS).action) > 0).all())
    deformation = model(CRYSTALS, model.rule(CRYSTALS))
    assert torch.equal(deformation.steps[0], deformation.action)


def test_the_scale_is_saved_with_the_weights(model: FeedForward) -> None:
    other = FeedForward(CONFIG).double()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(predicted(other, CRYSTALS).detach(), predicted(model, CRYSTALS))


def test_it_has_no_messages_of_triplets() -> None:
    with pytest.raises(ConfigError, match="edges only; leave out"):
        build(replace(CONFIG, message_triplets=True))
