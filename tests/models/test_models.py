"""Models on disk: what is saved is loaded, what is damaged is named, and nothing is unpickled."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.relaxing import tiny_model, tiny_network
from support.zoo import ALL

from empnn import models
from empnn.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    return tiny_model(tmp_path / "model", elements=[6, 8])


def test_round_trip(folder):
    network, card = models.load_network(folder)
    assert card == {"data": "nothing", "elements": [6, 8]}
    assert network.config == tiny_network().config
    assert not network.training
    assert torch.equal(network(ALL).action, tiny_network()(ALL).action)


def test_feed_forward_round_trip(tmp_path):
    network = tiny_network(name="ff")
    network.set_scale(torch.arange(6.0), torch.arange(6.0) + 1)
    models.save(tmp_path, network, {})
    loaded, _ = models.load_network(tmp_path)
    assert torch.equal(loaded.mean, torch.arange(6.0, dtype=torch.float64))


def test_best_weights_of_a_run(tmp_path):
    tiny_model(tmp_path / "run" / "best")
    assert models.find(tmp_path / "run") == tmp_path / "run" / "best"


def test_unknown_name_lists_what_is_packaged(monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match="no model nonsense; packaged are: "):
        models.load_network("nonsense")
    monkeypatch.setattr(models, "_PACKAGED", tmp_path)
    tiny_model(tmp_path / "one")
    tiny_model(tmp_path / "two")
    assert models.packaged() == ["one", "two"]
    with pytest.raises(ConfigError, match="packaged are: one, two;"):
        models.load_network("nonsense")
    assert models.load_network("two")[1] == {"data": "nothing"}


@pytest.mark.parametrize("name", ["mp_20", "MP-20", "mp20", "Mp 20"])
def test_packaged_models_are_found_in_any_spelling(name):
    assert models.find(name) == models.find("mp-20")
    assert models.card_of(name) == models.card_of("mp-20")


@pytest.mark.parametrize(("name", "meant"), [("mp-2", "mp-20"), ("pb", "pbe"), ("carbon", "carbon-24")])
def test_the_nearest_model_is_suggested(name, meant):
    with pytest.raises(ConfigError, match=f"else give a model folder or a run directory; did you mean {meant}"):
        models.find(name)


def damaged(folder):
    with pytest.raises(ConfigError) as caught:
        models.load_network(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)), pickle.dumps({"a": 1})])
def test_damaged_weights(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    assert "damaged model" in damaged(folder)


def test_truncated_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "damaged model" in damaged(folder)


def test_weights_of_another_network_or_not_finite(folder):
    weights = folder / "model.safetensors"
    state = load_file(weights)
    metadata = {"format_version": models.FORMAT_VERSION}
    name = next(iter(state))
    save_file({**state, name: state[name] * float("nan")}, weights, metadata)
    assert "not finite" in damaged(folder)
    del state[name]
    save_file(state, weights, metadata)
    assert "Missing key" in damaged(folder)


@pytest.mark.parametrize("metadata", [{"format_version": "99"}, None])
def test_other_format_version(folder, metadata):
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors", metadata)
    assert "format version" in damaged(folder)


@pytest.mark.parametrize(
    "text", ["hello", "[1, 2]", "a: [", "features: many", "nonsense: 1", "graph: {k: 0}", "features: -1", "\x00", None]
)
def test_damaged_configuration(folder, text):
    if text is None:
        (folder / "model.yaml").unlink()
    else:
        (folder / "model.yaml").write_text(text)
    assert "damaged model" in damaged(folder)


def test_configuration_that_names_what_does_not_exist(folder):
    (folder / "model.yaml").write_text("fields: nonsense")
    with pytest.raises(ConfigError, match=r"model\.fields=nonsense"):
        models.load_network(folder)


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_damaged_card(folder, text):
    (folder / "card.json").write_text(text)
    assert "damaged model" in damaged(folder)
    with pytest.raises(ConfigError):
        models.card_of(folder)


def test_nothing_is_pickled(folder, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "Unpickler", forbidden)
    monkeypatch.setattr(pickle, "loads", forbidden)
    monkeypatch.setattr(torch, "load", forbidden)
    models.load_network(folder)
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", ".safetensors", ".yaml"]
    assert json.loads((folder / "card.json").read_text()) == models.card_of(folder)
