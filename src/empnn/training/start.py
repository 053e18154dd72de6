"""Training that starts from the weights of another model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from empnn import models
from empnn.errors import ConfigError
from empnn.nn import Network

_OF_FIELDS = ".weight.weight"
"""How the keys of the weights of fields end."""
_OF_TRIPLETS = (".message.triplets.", ".action.triplets.")
"""What the keys of messages and of fields of triplets hold."""
_LAST = (".message.weight", _OF_FIELDS)
"""How the keys of their last maps end."""


def copy_weights(network: Network, name: str) -> None:
    """Copy the weights of a model into a network that does what it does, and perhaps more.

    A network may move atoms besides, pass messages over triplets, have fields of triplets, and more layers that deform.
    The weights of fields come first in a layer, those that move atoms last: these start at 0, and so do the last maps
    of messages and fields of triplets and all weights of the fields of further layers. The network begins as the model
    it starts from.

    Raises:
        ConfigError: If there is no such model, it moves atoms and the network none, or it is of another architecture.
    """
    start, _ = models.load_network(name)
    if start.moves_atoms and not network.moves_atoms:
        raise ConfigError(
            f"model.start_from={name}: it moves atoms, which cannot be taken away from it; leave model.deform out, and "
            "relax with `fix` positions where they are to stay"
        )
    given, own = start.state_dict(), network.state_dict()
    further = tuple(f"layers.{index}." for index in range(_layers(given), _layers(own)))
    for key, target in own.items():
        if key.startswith(further):
            own[key] = torch.zeros_like(target) if key.endswith(_OF_FIELDS) else target
            continue
        source = given.get(key)
        if source is None and any(part in key for part in _OF_TRIPLETS):
            own[key] = torch.zeros_like(target) if key.endswith(_LAST) else target
            continue
        if source is None or source.shape[1:] != target.shape[1:] or len(source) > len(target):
            raise _other_architecture(name, key)
        if len(source) < len(target) and not key.endswith(_OF_FIELDS):
            raise _other_architecture(name, key)
        own[key] = torch.cat([source, source.new_zeros(len(target) - len(source), *source.shape[1:])])
    if missing := given.keys() - own.keys():
        raise _other_architecture(name, min(missing))
    network.load_state_dict(own)


def _layers(weights: Mapping[str, Tensor]) -> int:
    """Number of the layers that deform."""
    return 1 + max((int(key.split(".")[1]) for key in weights if key.startswith("layers.")), default=-1)


def _other_architecture(name: str, key: str) -> ConfigError:
    return ConfigError(f"model.start_from={name}: other architecture ({key}); leave the keys of model out")
