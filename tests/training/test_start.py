"""Training that starts from the weights of another model."""

from pathlib import Path

import pytest
import torch
from support.zoo import PEROVSKITE

from empnn import models
from empnn.errors import ConfigError
from empnn.nn import ModelConfig, build
from empnn.nn.empnn import EMPNN
from empnn.training.config import load_config
from empnn.training.start import copy_weights

SMALL = ModelConfig(features=8, message_layers=1, action_layers=2)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    models.save(tmp_path / "given", build(SMALL), {})
    return tmp_path / "given"


def test_the_architecture_is_that_of_the_model_and_what_is_given_changes_it(given: Path) -> None:
    config = load_config(None, [f"model.start_from={given}", "model.deform=[cell,positions]"])
    assert (config.model.features, config.model.action_layers) == (8, 2)
    assert config.model.deform == ["cell", "positions"]


def test_a_network_that_gets_moving_atoms_begins_as_the_model_it_starts_from(given: Path) -> None:
    config = load_config(None, [f"model.start_from={given}", "model.deform=[cell,positions]"])
    network = build(config.model)
    copy_weights(network, str(given))
    old, _ = models.load_network(given)
    crystals = PEROVSKITE
    found, expected = network.eval()(crystals), old(crystals)
    assert torch.equal(found.action, expected.action)
    assert found.displacement is not None
    assert not found.displacement.detach().any()
    assert isinstance(network, EMPNN)
    # It can learn to move them.
    network.train()
    moved = network(crystals.shifted(0.05 * torch.rand(5, 3, dtype=torch.float64))).displacement
    moved.square().sum().add(moved.sum()).backward()
    assert all(layer.action.edges.weight.weight.grad is not None for layer in network.layers)


def test_a_network_with_more_layers_begins_as_the_model_it_starts_from(given: Path) -> None:
    config = load_config(None, [f"model.start_from={given}", "model.action_layers=4"])
    network = build(config.model)
    copy_weights(network, str(given))
    old, _ = models.load_network(given)
    steps = network(PEROVSKITE).steps
    assert torch.equal(steps[1], old(PEROVSKITE).action)
    assert torch.equal(steps[3], steps[1])
    steps[3].sum().backward()
    assert network.layers[3].action.edges.weight.weight.grad.any()
    with pytest.raises(ConfigError, match="other architecture"):
        copy_weights(build(load_config(None, [f"model.start_from={given}", "model.action_layers=1"]).model), str(given))


@pytest.mark.parametrize("more", [[], ["model.action_layers=4"]])
def test_a_network_that_gets_messages_of_triplets_begins_as_the_model_it_starts_from(
    given: Path, more: list[str]
) -> None:
    config = load_config(None, [f"model.start_from={given}", "model.message_triplets=true", *more])
    network = build(config.model)
    copy_weights(network, str(given))
    old, _ = models.load_network(given)
    steps = network(PEROVSKITE).steps
    torch.testing.assert_close(steps[-1], old(PEROVSKITE).action, rtol=0, atol=1e-7)
    steps[-1].square().sum().backward()
    last = network.layers[0].message.triplets.message.weight
    assert not last.detach().any()
    assert last.grad.any()
    # What has learned them can be gone on from, but not without them.
    models.save(given.parent / "learned", network, {})
    learned = f"model.start_from={given.parent / 'learned'}"
    again = build(load_config(None, [learned]).model)
    copy_weights(again, str(given.parent / "learned"))
    assert torch.equal(again(PEROVSKITE).action, steps[-1])
    with pytest.raises(ConfigError, match=r"other architecture \(.*triplets"):
        copy_weights(
            build(load_config(None, [learned, "model.message_triplets=false"]).model), str(given.parent / "learned")
        )


@pytest.mark.parametrize("more", [[], ["model.deform=[cell,positions]"]])
def test_a_network_that_gets_fields_of_triplets_begins_as_the_model_it_starts_from(
    given: Path, more: list[str]
) -> None:
    network = build(load_config(None, [f"model.start_from={given}", "model.fields=ketbra-e-t", *more]).model)
    copy_weights(network, str(given))
    old, _ = models.load_network(given)
    found = network(PEROVSKITE)
    assert torch.equal(found.action, old(PEROVSKITE).action)
    found.action.square().sum().backward()
    last = network.layers[0].action.triplets.weight.weight
    assert not last.detach().any()
    assert last.grad.any()


def test_moving_atoms_cannot_be_taken_away(given: Path) -> None:
    start = f"model.start_from={given}"
    network = build(load_config(None, [start, "model.deform=[cell,positions]"]).model)
    models.save(given.parent / "moving", network, {})
    moving = str(given.parent / "moving")
    copy_weights(network, moving)
    still = load_config(None, [f"model.start_from={moving}", "model.deform=[cell]"])
    with pytest.raises(ConfigError, match=r"it moves atoms, .* leave model.deform out, and relax with `fix` positions"):
        copy_weights(build(still.model), moving)


def test_another_architecture_is_refused(given: Path) -> None:
    config = load_config(None, [f"model.start_from={given}", "model.features=16"])
    with pytest.raises(ConfigError, match="other architecture"):
        copy_weights(build(config.model), str(given))
    with pytest.raises(ConfigError, match="no model nowhere"):
        load_config(None, ["model.start_from=nowhere"])
