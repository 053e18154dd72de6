"""The network against the paper's equations written literally: values and gradients of all fifteen rows."""

from dataclasses import replace

import pytest
import torch
from support.field_weights import field_weights
from support.naive import NaiveEMPNN, concatenated
from support.zoo import zoo

from empnn.fields import TABLE2
from empnn.nn import EMPNN, GraphConfig, ModelConfig, RadialConfig

CRYSTALS = zoo("hcp", "perovskite", "triclinic", "one-atom", "left-handed")
PAPER = ModelConfig(
    features=8,
    action="first_order",
    reduction="sum",
    aggregate="sum",
    strain_gate=False,
    graph=GraphConfig(k=4),
    radial=RadialConfig(count=6, stop=6.0, width=1.0),
)


CASES = [(fields, "fan") for fields in TABLE2] + [("ketbra-e-tall", "chain"), ("grad-r-e-t-theta", "chain")]


@pytest.mark.parametrize(("fields", "triplets"), CASES)
def test_values_and_gradients_agree(fields: str, triplets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("empnn.graph.grouping.CHUNK", 50)
    torch.manual_seed(3)
    model = EMPNN(replace(PAPER, fields=fields, graph=GraphConfig(k=4, triplets=triplets))).double()
    with torch.no_grad():
        for weight in field_weights(model):
            weight.normal_().mul_(0.3)
    naive = NaiveEMPNN(model)
    graph = model.rule(CRYSTALS)
    target = torch.randn(len(CRYSTALS), 3, 3, dtype=torch.float64)
    ours, theirs = model(CRYSTALS, graph).action, naive(CRYSTALS, graph)
    assert float((ours.detach() - torch.eye(3, dtype=torch.float64)).abs().max()) > 0.05
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    for action in (ours, theirs):
        (action - target).square().sum().backward()
    found = concatenated(model, lambda parameter: parameter.grad)
    for name, parameter in naive.named_parameters():
        scale = float(parameter.grad.abs().max())
        assert scale > 0, name
        assert float((found[name] - parameter.grad).abs().max()) < 1e-10 * scale, name


def test_only_the_preset_of_the_paper_is_written_literally() -> None:
    with pytest.raises(ValueError, match="only the preset"):
        NaiveEMPNN(EMPNN(replace(PAPER, action="exp")))
