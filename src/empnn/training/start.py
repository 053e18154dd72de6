"""Training that starts from the weights of another model."""

from __future__ import annotations

import torch

from empnn import models
from empnn.errors import ConfigError
from empnn.nn import Network


def copy_weights(network: Network, name: str) -> None:
    """Copy the weights of a model into a network that does what it does, and perhaps moves atoms besides.

    The weights of fields come first in a layer, those that move atoms last: these start at 0, so that the network
    begins as the model it starts from.

    Raises:
        ConfigError: If there is no such model, or it is of another architecture.
    """
    given = models.load_network(name)[0].state_dict()
    own = network.state_dict()
    for key, target in own.items():
        source = given.get(key)
        if source is None or source.shape[1:] != target.shape[1:] or len(source) > len(target):
            raise ConfigError(f"model.start_from={name}: other architecture ({key}); leave the keys of model out")
        grows = len(source) < len(target)
        if grows and not key.endswith(".weight.weight"):
            raise ConfigError(f"model.start_from={name}: other architecture ({key}); leave the keys of model out")
        own[key] = torch.cat([source, source.new_zeros(len(target) - len(source), *source.shape[1:])])
    network.load_state_dict(own)
