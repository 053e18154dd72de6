"""The whole network of Figure 3, six and four layers, on every row of Table 2."""

from dataclasses import replace

import pytest
import torch
from support.field_weights import field_weights
from support.zoo import supercell, zoo

from empnn.crystals import CrystalBatch
from empnn.fields import TABLE2
from empnn.graph import TRIPLETS
from empnn.nn import EMPNN, GraphConfig, ModelConfig, RadialConfig
from empnn.testing import assert_equivariant

CRYSTALS = zoo("fcc", "perovskite", "diamond", "triclinic", "one-atom", "left-handed")
IDENTITY = torch.eye(3, dtype=torch.float64)
TEN_LAYERS = ModelConfig(features=8, graph=GraphConfig(k=4), radial=RadialConfig(count=6, stop=6.0, width=1.0))


def lively(config: ModelConfig) -> EMPNN:
    """Random weights, in float64; those of the fields so large that most structures deform by percents or more."""
    torch.manual_seed(3)
    model = EMPNN(config).double()
    with torch.no_grad():
        for weight in field_weights(model):
            weight.normal_().mul_(0.5)
    return model


def size(model: EMPNN, crystals: CrystalBatch) -> torch.Tensor:
    """How far the deformation of each structure is from doing nothing."""
    with torch.no_grad():
        return torch.linalg.matrix_norm(model(crystals).action - IDENTITY)


@pytest.mark.parametrize("fields", TABLE2)
def test_every_row_is_equivariant(fields: str) -> None:
    model = lively(replace(TEN_LAYERS, fields=fields))
    assert (len(model.encoder.layers), len(model.layers)) == (6, 4)
    deformed = size(model, CRYSTALS)
    assert float(deformed.median()) > 0.03
    assert 0.1 < float(deformed.max()) < 3.0
    assert_equivariant(model, CRYSTALS, tolerance=1e-9)


@pytest.mark.parametrize("fields", ["ketbra-e-tall", "grad-r-e-t-area"])
@pytest.mark.parametrize("triplets", TRIPLETS)
def test_both_kinds_of_triplets_are_equivariant_and_do_not_see_supercells(fields: str, triplets: str) -> None:
    model = lively(replace(TEN_LAYERS, fields=fields, graph=GraphConfig(rule="covalent", triplets=triplets)))
    crystals = zoo("diamond", "triclinic", "one-atom")
    assert float(size(model, crystals).min()) > 0.005
    assert_equivariant(model, crystals, tolerance=1e-9)
    with torch.no_grad():
        once, more = (model(c).action for c in (zoo("triclinic"), supercell(zoo("triclinic"), (1, 2, 1))))
    torch.testing.assert_close(more, once, rtol=0, atol=1e-9)


def test_fan_and_chain_are_different_models() -> None:
    crystals = zoo("triclinic")
    actions = [lively(replace(TEN_LAYERS, fields="ketbra-t", graph=GraphConfig(k=4, triplets=t))) for t in TRIPLETS]
    with torch.no_grad():
        fan, chain = (model(crystals).action for model in actions)
    assert float((fan - chain).abs().max()) > 1e-3


@pytest.mark.parametrize("triplets", TRIPLETS)
@pytest.mark.parametrize("messages", [False, True])
@pytest.mark.parametrize("gate", [False, True])
def test_without_neighbours_nothing_happens_and_gradients_are_finite(gate: bool, messages: bool, triplets: str) -> None:
    config = replace(TEN_LAYERS, fields="ketbra-e-tsym", strain_gate=gate, message_triplets=messages)
    model = lively(replace(config, graph=GraphConfig(rule="cutoff", radius=0.5, triplets=triplets)))
    action = model(CRYSTALS).action
    assert torch.equal(action, IDENTITY.expand(len(CRYSTALS), 3, 3))
    action.square().sum().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(gradients) > 10
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


@pytest.mark.parametrize("fields", ["ketbra-e-tall", "grad-r-e-t-theta", "grad-r-e-t-area"])
def test_gradients_are_finite_and_reach_every_weight_of_the_triplets(fields: str) -> None:
    """Fcc, perovskite and diamond hold collinear and equal triplets."""
    model = lively(replace(TEN_LAYERS, fields=fields))
    target = IDENTITY + 0.1 * torch.randn(len(CRYSTALS), 3, 3, dtype=torch.float64)
    (model(CRYSTALS).action - target).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert float(parameter.grad.abs().max()) > 0, name


def test_single_precision_is_equivariant_too() -> None:
    model = lively(replace(TEN_LAYERS, fields="grad-r-e-t-theta")).float()
    assert_equivariant(model, CRYSTALS, tolerance=1e-3)
