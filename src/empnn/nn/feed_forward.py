"""The feed-forward baseline FF: invariant features in, six lattice parameters out (section 6)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.geometry import cell_from_parameters
from empnn.graph import Graph
from empnn.nn.action import mean_per_structure
from empnn.nn.empnn import Deformation, Encoder, ModelConfig, graph_rule
from empnn.nn.kernels.linear import Linear
from empnn.nn.runtime.split_batch import Found, side_by_side

HIDDEN_LAYERS = 4
ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU}


class FeedForward(nn.Module):
    """Predicts normalised (a, b, c, alpha, beta, gamma) from the mean of invariant atom features.

    Invariant under Euc(3), S_n **and SL3(Z)**. Lattice parameters change with the basis, so what it predicts is wrong
    in every basis but one: it is not equivariant under SL3(Z). That is the defect the paper's network removes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.moves_atoms:
            raise ConfigError("model.name=ff predicts cells only; leave out model.deform=[cell, positions]")
        if config.message_triplets:
            raise ConfigError("model.name=ff passes messages over edges only; leave out model.message_triplets")
        self.config = config
        self.moves_atoms = False
        self.rule = graph_rule(config.graph)
        self.encoder = Encoder(config)
        if config.readout not in ACTIVATIONS:
            raise ConfigError(f"model.readout={config.readout} does not exist; use {' or '.join(ACTIVATIONS)}")
        activation, features = ACTIVATIONS[config.readout], config.features
        hidden = [m for _ in range(HIDDEN_LAYERS) for m in (Linear(features, features), activation())]
        self.readout = nn.Sequential(*hidden, Linear(config.features, 6))
        self.register_buffer("mean", torch.tensor([5.0, 5.0, 5.0, 90.0, 90.0, 90.0], dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(6, dtype=torch.float64))

    def set_scale(self, mean: Float[Tensor, "6"], deviation: Float[Tensor, "6"]) -> None:
        """Mean and deviation of the training set's lattice parameters, in angstrom and degrees."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def forward(self, crystals: CrystalBatch, graph: Graph | None = None) -> Deformation:
        """The deformation from the given cell to the predicted one, handedness kept."""
        if graph is None:
            graph = self.rule(crystals.to("cpu")).to(crystals.cell.device)
        steps, features, _ = side_by_side(self._deform, crystals, graph, self.parameters())
        return Deformation(action=steps[-1], steps=steps, features=features)

    def _deform(self, crystals: CrystalBatch, graph: Graph) -> Found:
        """The one step of a `Deformation`, and the features."""
        atoms = self.encoder(crystals.numbers, self.encoder.geometry(graph, graph.vectors))
        features = mean_per_structure(atoms, graph)
        normalised = self.readout(features).to(torch.float64)
        predicted = cell_from_parameters(normalised * self.deviation + self.mean)
        handedness = torch.linalg.det(crystals.cell).sign()[:, None, None]
        action, _ = torch.linalg.solve_ex(crystals.cell, predicted * handedness)
        return action.mT.unsqueeze(0), features.detach(), None
