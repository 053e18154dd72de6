"""The network against the paper's equations written literally: values and gradients.

All fifteen rows of Table 2, both kinds of triplets, messages of edges alone and of triplets too.
"""

from dataclasses import replace

import pytest
import torch
from support.field_weights import field_weights
from support.naive import NaiveEMPNN, concatenated
from support.zoo import zoo

from empnn.fields import TABLE2
from empnn.graph import TRIPLETS
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


CASES = [
    *((fields, "fan", False) for fields in TABLE2),
    *((fields, "chain", False) for fields in ("ketbra-e-tall", "grad-r-e-t-theta")),
    *(("ketbra-e", triplets, True) for triplets in TRIPLETS),
    *(("ketbra-e-tall", triplets, True) for triplets in TRIPLETS),
]


@pytest.mark.parametrize(("fields", "triplets", "messages"), CASES)
def test_values_and_gradients_agree(
    fields: str, triplets: str, messages: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("empnn.graph.grouping.CHUNK", 50)
    torch.manual_seed(3)
    graph = GraphConfig(k=4, triplets=triplets)
    model = EMPNN(replace(PAPER, fields=fields, graph=graph, message_triplets=messages)).double()
    with torch.no_grad():
        for layer in model.layers if messages else ():
            layer.message.triplets.message.weight.normal_().mul_(0.1)
        for weight in field_weights(model):
            weight.normal_().mul_(1.0 if messages else 0.3)
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
