"""Networks that predict deformations of lattices."""

from empnn.errors import ConfigError
from empnn.nn.empnn import EMPNN, Deformation, GraphConfig, ModelConfig, RadialConfig, moves_atoms
from empnn.nn.feed_forward import FeedForward

Network = EMPNN | FeedForward

NETWORKS: dict[str, type[EMPNN] | type[FeedForward]] = {"empnn": EMPNN, "ff": FeedForward}
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
    "moves_atoms",
]
