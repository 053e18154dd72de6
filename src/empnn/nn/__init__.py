"""Networks that predict deformations of lattices."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.graph import Graph, GraphRule
from empnn.nn.empnn import EMPNN, Deformation, GraphConfig, ModelConfig, RadialConfig
from empnn.nn.feed_forward import FeedForward


@runtime_checkable
class Network(Protocol):
    """What predicts deformations: a `torch.nn.Module` that is made from a configuration and knows its graph.

    Attributes:
        config: What it was made from.
        rule: The graph that it takes, from crystals on the CPU.
        moves_atoms: Whether atoms move too: whether its deformations have displacements.
    """

    config: ModelConfig
    rule: GraphRule
    moves_atoms: bool

    def __call__(self, crystals: CrystalBatch, graph: Graph | None = None) -> Deformation:
        """Deformations of all structures; the graph is built from the crystals unless it is given.

        What the crystals fix stays; one that moves no atoms is never asked to keep cells.
        """

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """The weights."""

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and buffers by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Copy weights and buffers into it."""

    def train(self, mode: bool = True) -> "Network":
        """Itself, in training mode."""

    def eval(self) -> "Network":
        """Itself, in evaluation mode."""

    def to(self, device: torch.device, /) -> "Network":
        """Itself, on another device."""


NETWORKS: dict[str, Callable[[ModelConfig], Network]] = {"empnn": EMPNN, "ff": FeedForward}
"""Networks by the names used in `model.name`."""


def build(config: ModelConfig) -> Network:
    """A freshly initialised network.

    Raises:
        ConfigError: If the configuration names something that does not exist.
    """
    if config.name not in NETWORKS:
        raise ConfigError(f"model.name={config.name} does not exist; use one of {', '.join(NETWORKS)}")
    return NETWORKS[config.name](config)


__all__ = [
    "EMPNN",
    "NETWORKS",
    "Deformation",
    "FeedForward",
    "GraphConfig",
    "ModelConfig",
    "Network",
    "RadialConfig",
    "build",
]
