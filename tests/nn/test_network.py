"""What callers need of a network, whichever it is."""

import pytest
from support.relaxing import tiny_network
from support.zoo import zoo

from empnn.errors import ConfigError
from empnn.nn import NETWORKS, ModelConfig, Network, build

CRYSTALS = zoo("rocksalt", "triclinic")
KINDS = {"empnn": {}, "ff": {"name": "ff"}, "empnn that moves atoms": {"deform": ["positions", "cell"]}}


def test_every_network_is_among_them():
    assert {options.get("name", "empnn") for options in KINDS.values()} == set(NETWORKS)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_network_keeps_the_protocol(kind):
    options = KINDS[kind]
    network = build(ModelConfig(features=8, message_layers=1, action_layers=2, **options))
    assert isinstance(network, Network)
    deformation = network(CRYSTALS, network.rule(CRYSTALS))
    assert network.moves_atoms == network.config.moves_atoms == (deformation.displacement is not None)
    assert network.moves_atoms == ("deform" in options)
    assert network.eval().train().training
    assert deformation.steps.shape[1:] == (2, 3, 3)


def test_what_is_no_network_is_told_from_one():
    assert not isinstance(ModelConfig(), Network)
    assert not isinstance(tiny_network().encoder, Network)


@pytest.mark.parametrize("deform", [[], ["positions"], ["cell", "cell"], ["cell", "species"]])
def test_what_deforms_is_the_cell_with_the_positions_or_without(deform):
    for name in NETWORKS:
        with pytest.raises(ConfigError, match=r"model\.deform=.*must be \[cell\] or \[cell, positions\]"):
            build(ModelConfig(name=name, features=8, deform=deform))
