"""The weights that decide how far a network deforms a lattice."""

from torch import Tensor, nn

from empnn.nn.weights import EdgeWeights, TripletWeights


def field_weights(network: nn.Module) -> list[Tensor]:
    """The last linear maps before the vector fields, of edges and triplets, in every layer that deforms."""
    return [m.weight.weight for m in network.modules() if isinstance(m, EdgeWeights | TripletWeights)]
