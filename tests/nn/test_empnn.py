"""The whole network: equivariant where the action is far from the identity, and invariant to supercells."""

from dataclasses import replace

import pytest
import torch
from support.field_weights import field_weights
from support.zoo import ALL, ZOO, single, supercell, zoo

from empnn import symmetry
from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.geometry import metric_tensor, polar_factor
from empnn.graph import TRIPLETS, cutoff
from empnn.nn import EMPNN, GraphConfig, ModelConfig, RadialConfig, build
from empnn.testing import assert_equivariant

CRYSTALS = zoo("fcc", "hcp", "perovskite", "triclinic", "one-atom", "elongated", "left-handed")
IDENTITY = torch.eye(3, dtype=torch.float64)
SMALL = ModelConfig(
    features=12,
    message_layers=2,
    action_layers=2,
    graph=GraphConfig(k=8),
    radial=RadialConfig(count=8, stop=6.0, width=0.8),
)
CONFIGS = {
    "exp mean": SMALL,
    "exp mean without gate": replace(SMALL, strain_gate=False),
    "exp sum": replace(SMALL, reduction="sum", aggregate="sum"),
    "first order mean": replace(SMALL, action="first_order", aggregate="sum"),
    "first order sum, as the paper": replace(SMALL, action="first_order", reduction="sum", strain_gate=False),
    "weight limit mean": replace(SMALL, weight_limit=2.0),
    "weight limit sum": replace(SMALL, reduction="sum", weight_limit=0.5, action_scale=0.2),
    "cutoff": replace(SMALL, graph=GraphConfig(rule="cutoff", radius=4.3)),
    "messages of triplets": replace(SMALL, message_triplets=True),
    "messages of triplets, chain, summed": replace(
        SMALL, aggregate="sum", message_triplets=True, graph=GraphConfig(k=8, triplets="chain")
    ),
}


def size(model: EMPNN, crystals: CrystalBatch) -> torch.Tensor:
    """How far the deformation of each structure is from doing nothing."""
    with torch.no_grad():
        return torch.linalg.matrix_norm(model(crystals).action - IDENTITY)


def lively(config: ModelConfig) -> EMPNN:
    """A network in float64 whose weights are scaled up until the largest deformation is 10 to 50 %.

    With the initial weights the action is nearly the identity, and any error of equivariance is hidden. Of the scales
    that deform as much the one is taken that deforms most structures: larger ones saturate, and layers cancel.
    """
    torch.manual_seed(1)
    model = EMPNN(config).double()
    initial = [weight.detach().clone() for weight in field_weights(model)]
    medians = {}
    for scale in 1.5 ** torch.arange(-2, 18):
        set_weights(model, initial, float(scale))
        deformed = size(model, CRYSTALS)
        if 0.1 < float(deformed.max()) < 0.5:
            medians[float(scale)] = float(deformed.median())
    set_weights(model, initial, max(medians, key=lambda scale: medians[scale]))
    return model


def set_weights(model: EMPNN, initial: list[torch.Tensor], scale: float) -> None:
    """Multiply the weights of the fields."""
    for weight, before in zip(field_weights(model), initial, strict=True):
        weight.data = scale * before


@pytest.mark.parametrize("name", CONFIGS)
def test_the_network_is_equivariant(name: str) -> None:
    model = lively(CONFIGS[name])
    deformed = size(model, CRYSTALS)
    assert 0.1 < float(deformed.max()) < 0.5
    assert float(deformed.median()) > 0.03
    with torch.no_grad():
        action = model(CRYSTALS).action
    assert float((action[3] - action[3].trace() / 3 * IDENTITY).abs().max()) > 0.01
    assert_equivariant(model, CRYSTALS, tolerance=1e-9)
    assert_equivariant(model.float(), CRYSTALS, tolerance=1e-4)


def test_what_relax_returns_is_equivariant_too() -> None:
    model = lively(SMALL)
    assert_equivariant(
        lambda crystals: {"cell": crystals.cell @ polar_factor(model(crystals).action)}, CRYSTALS, tolerance=1e-8
    )


@pytest.mark.parametrize("triplets", [False, True])
@pytest.mark.parametrize("aggregate", ["mean", "sum"])
@pytest.mark.parametrize("action", ["exp", "first_order"])
def test_the_mean_does_not_see_the_choice_of_a_supercell(action: str, aggregate: str, triplets: bool) -> None:
    model = lively(replace(SMALL, action=action, aggregate=aggregate, message_triplets=triplets))
    with torch.no_grad():
        for name in ("hcp", "perovskite", "triclinic", "one-atom", "left-handed"):
            small, large = model(ZOO[name]).action, model(supercell(ZOO[name], (2, 1, 2))).action
            assert float((small - IDENTITY).abs().max()) > 1e-3
            torch.testing.assert_close(large, small, rtol=0, atol=1e-9)


@pytest.mark.parametrize("triplets", [False, True])
def test_a_structure_does_not_see_the_others_of_its_batch(triplets: bool) -> None:
    model = lively(replace(SMALL, message_triplets=triplets))
    with torch.no_grad():
        together = model(ALL).steps
        alone = torch.cat([model(single(i)).steps for i in range(len(ALL))], dim=1)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("triplets", TRIPLETS)
def test_without_their_last_map_messages_of_triplets_leave_the_network_as_it_is(triplets: str) -> None:
    """Only layers that deform have them, and every crystal with triplets sees them."""
    config = replace(SMALL, graph=GraphConfig(k=8, triplets=triplets))
    with_messages, without = lively(replace(config, message_triplets=True)), EMPNN(config).double()
    shared = {key: value for key, value in with_messages.state_dict().items() if ".message.triplets." not in key}
    without.load_state_dict(shared)
    added = {key.partition(".message.triplets.")[0] for key in with_messages.state_dict().keys() - shared.keys()}
    assert added == {"layers.0", "layers.1"}
    with torch.no_grad():
        seen, unseen = with_messages(CRYSTALS).action, without(CRYSTALS).action
        assert float((seen - unseen).abs().amax((1, 2)).min()) > 1e-4
        for layer in with_messages.layers:
            layer.message.triplets.message.weight.zero_()
        torch.testing.assert_close(with_messages(CRYSTALS).action, unseen, rtol=0, atol=1e-12)


def test_steps_accumulate_to_the_action() -> None:
    model = lively(SMALL)
    with torch.no_grad():
        deformation = model(CRYSTALS, model.rule(CRYSTALS))
        again = model(CRYSTALS)
    assert deformation.steps.shape == (2, len(CRYSTALS), 3, 3)
    assert deformation.action.dtype == torch.float64
    assert torch.equal(deformation.steps[-1], deformation.action)
    assert torch.equal(deformation.action, again.action)
    assert float((deformation.steps[1] - deformation.steps[0]).abs().max()) > 1e-3


def test_later_layers_see_the_deformed_lattice() -> None:
    torch.manual_seed(0)
    model = EMPNN(replace(SMALL, strain_gate=False)).double().requires_grad_(False)
    first, second = model.layers
    for weight in field_weights(model):
        weight.mul_(20.0)
    graph = model.rule(CRYSTALS)
    geometry = model.encoder.geometry(graph, graph.vectors)
    atoms = model.encoder(CRYSTALS.numbers, geometry)
    none = graph.vectors.new_zeros(len(CRYSTALS), 3, 3)
    atoms, action = first(atoms, geometry, none)
    h = action.lattice
    moved = CRYSTALS.with_cell(CRYSTALS.cell @ h.mT)
    apart = CRYSTALS.frac[graph.target] - CRYSTALS.frac[graph.source] + graph.image
    vectors = torch.einsum("ei,eij->ej", apart, moved.cell[graph.batch])
    _, after = second(atoms, model.encoder.geometry(graph, vectors), action.strain)
    steps = model(CRYSTALS).steps
    torch.testing.assert_close(steps[0], h)
    torch.testing.assert_close(steps[1], after.lattice @ h)
    assert float((vectors - graph.vectors).abs().max()) > 0.1


def test_the_exponential_keeps_the_handedness_whatever_the_weights() -> None:
    torch.manual_seed(0)
    model = EMPNN(SMALL).double().requires_grad_(False)
    for weight in field_weights(model):
        weight.mul_(1e5)
    action = model(ALL).action
    assert bool((torch.linalg.det(action) > 0).all())
    after = ALL.cell @ action.mT
    assert torch.equal(torch.linalg.det(after).sign(), torch.linalg.det(ALL.cell).sign())


def test_a_cubic_crystal_stays_cubic() -> None:
    with torch.no_grad():
        action = lively(SMALL)(zoo("fcc", "rocksalt", "diamond", "perovskite")).action
    metric = metric_tensor(action)
    isotropic = metric.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None] * IDENTITY
    torch.testing.assert_close(metric, isotropic, rtol=0, atol=1e-9)
    assert float((isotropic - IDENTITY).abs().max()) > 1e-3


@pytest.mark.parametrize("triplets", [False, True])
def test_gradients_reach_every_weight(triplets: bool) -> None:
    model = lively(replace(SMALL, message_triplets=triplets))
    target = torch.linalg.matrix_exp(0.1 * torch.randn(len(CRYSTALS), 3, 3, dtype=torch.float64))
    (model(CRYSTALS).action - target).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("name", ["empnn", "ff"])
def test_a_given_graph_is_used_even_without_edges(name: str) -> None:
    model = build(replace(SMALL, name=name)).double()
    crystals, seen = zoo("one-atom"), []
    nothing = cutoff(0.5)(crystals)
    model.encoder.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1].graph))
    with torch.no_grad():
        model(crystals, nothing)
    assert seen == [nothing]


@pytest.mark.parametrize("triplets", [False, True])
def test_no_crystals(triplets: bool) -> None:
    torch.manual_seed(0)
    model = EMPNN(replace(SMALL, message_triplets=triplets))
    assert model(CrystalBatch.cat([])).action.shape == (0, 3, 3)


def test_rotations_that_are_none_are_noticed() -> None:
    """The network is equivariant under O(3) only: a shear of space changes what it sees."""
    model = lively(SMALL)
    shear = IDENTITY + 0.1 * torch.tensor([[0, 1, 0], [0, 0, 0], [0, 0, 0]], dtype=torch.float64)
    with torch.no_grad():
        here, there = model(CRYSTALS).action, model(symmetry.rotate(CRYSTALS, shear.expand(7, 3, 3))).action
    assert float((shear @ here @ torch.linalg.inv(shear) - there).abs().max()) > 1e-3


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "gnn"},
        {"fields": "ketbra"},
        {"action": "log"},
        {"reduction": "max"},
        {"aggregate": "max"},
        {"graph": GraphConfig(rule="voronoi")},
        {"graph": GraphConfig(triplets="star")},
    ],
)
def test_what_does_not_exist_is_refused(wrong: dict[str, object]) -> None:
    (value,) = wrong.values()
    if isinstance(value, GraphConfig):
        value = value.rule if value.rule != "knn" else value.triplets
    with pytest.raises(ConfigError, match=str(value)):
        build(replace(SMALL, **wrong))
