"""The paper's equations written literally: concatenate, one perceptron per edge and triplet, scatter.

An oracle for the values and gradients of `empnn.nn.EMPNN`, and the yardstick of the speed benchmarks. It follows the
preset `paper` (equations 14 to 21): messages summed, fields summed times k, first-order action, no strain gate.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, silu

from empnn.crystals import CrystalBatch
from empnn.fields import TABLE2
from empnn.fields.gradient import COLLINEAR
from empnn.graph import Graph
from empnn.nn import EMPNN
from empnn.nn.split_linear import TripletLinear

SINE_FLOOR = 1e-4


def ketbra(u: Tensor, w: Tensor) -> Tensor:
    """|u><w|."""
    return torch.einsum("ni,nj->nij", u, w)


def edge_fields(row: str, v: Tensor) -> list[Tensor]:
    """The edge fields of a row of Table 2."""
    u = normalize(v, dim=-1)
    if "-e" not in row:
        return []
    return [ketbra(u, u)] if row.startswith("ketbra") else [ketbra(u, v)]


def triplet_fields(row: str, v: Tensor, w: Tensor) -> list[Tensor]:
    """The triplet fields of a row of Table 2."""
    if "-t" not in row:
        return []
    u, x = normalize(v, dim=-1), normalize(w, dim=-1)
    if row.startswith("ketbra"):
        fields = [ketbra(u, u), ketbra(x, x)]
        if row.endswith("tsym"):
            fields += [(ketbra(u, x) + ketbra(x, u)) / 2]
        if row.endswith("tall"):
            fields += [ketbra(u, x), ketbra(x, u)]
        return fields
    fields = [ketbra(u, v), ketbra(x, w)]
    normal = torch.linalg.cross(v, w)
    if row.endswith("theta"):
        c = torch.einsum("ni,ni->n", u, x)[:, None, None]
        s = torch.sqrt(torch.linalg.cross(u, x).square().sum(-1) + COLLINEAR**2)[:, None, None]
        fields += [-(ketbra(u, x) + ketbra(x, u) - c * (ketbra(u, u) + ketbra(x, x))) / s]
    if row.endswith("area"):
        square = normal.square().sum(-1)
        area = torch.sqrt(square + COLLINEAR**2 * v.square().sum(-1) * w.square().sum(-1)) / 2
        squares = square[:, None, None] * torch.eye(3, dtype=v.dtype) - ketbra(normal, normal)
        fields += [squares / (4 * area[:, None, None])]
    return fields


class Perceptron(nn.Module):
    """W' silu(W x + b)."""

    def __init__(self, inputs: int, features: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, features)
        self.second = nn.Linear(features, outputs, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of each row."""
        return self.second(silu(self.first(inputs)))


class NaiveLayer(nn.Module):
    """Equations 14, 15 and 19, and those of the weights if there are fields."""

    def __init__(
        self, features: int, radial: int, n_edge_fields: int, n_triplet_fields: int, message_triplets: bool
    ) -> None:
        super().__init__()
        of_edge, of_triplet = 2 * features + radial, 3 * features + 2 * radial + 2
        self.message = Perceptron(of_edge, features, features)
        self.triplet_message = Perceptron(of_triplet, features, features) if message_triplets else None
        self.update = nn.GRUCell(features, features)
        self.edge = Perceptron(of_edge, features, n_edge_fields) if n_edge_fields else None
        self.triplet = Perceptron(of_triplet, features, n_triplet_fields) if n_triplet_fields else None

    def pass_messages(self, h: Tensor, v: Tensor, graph: Graph, radial: Tensor) -> Tensor:
        """Equations 14 and 15, or 8 and 9."""
        i, j = graph.source, graph.target
        messages = self.message(torch.cat([h[i], h[j], radial], dim=1))
        total = torch.zeros_like(h).index_add(0, i, messages)
        if self.triplet_message is not None:
            messages = self.triplet_message(triplet_inputs(h, v, radial, graph))
            total = total.index_add(0, i[graph.triplets.first], messages)
        return self.update(total, h)


class NaiveEMPNN(nn.Module):
    """The network of appendix B.2, with the weights of one of ours."""

    def __init__(self, model: EMPNN) -> None:
        super().__init__()
        config = model.config
        settings = (config.action, config.reduction, config.aggregate, config.strain_gate, config.weight_limit)
        if settings != ("first_order", "sum", "sum", False, None):
            raise ValueError("only the preset `paper` is written here")
        self.row, self.scale = str(config.fields), config.action_scale
        self.radial = config.radial
        self.embedding = nn.Embedding(model.encoder.embedding.num_embeddings, config.features)
        fields = TABLE2[self.row]
        deforming = (len(fields.edges), len(fields.triplets), config.message_triplets)
        counts = [(0, 0, False)] * config.message_layers + [deforming] * config.action_layers
        self.layers = nn.ModuleList(NaiveLayer(config.features, config.radial.count, *n) for n in counts)
        self.to(model.encoder.embedding.weight.dtype)
        self.load_state_dict(concatenated(model, lambda parameter: parameter.detach().clone()))

    def basis(self, v: Tensor) -> Tensor:
        """Gaussians of the length of each edge."""
        centres = torch.linspace(0.0, self.radial.stop, self.radial.count).to(v.dtype)
        return torch.exp(-((v.norm(dim=-1, keepdim=True) - centres) ** 2) / (2 * self.radial.width**2))

    def forward(self, crystals: CrystalBatch, graph: Graph) -> Tensor:
        """The action h on the cell of each structure."""
        h = self.embedding(crystals.numbers)
        v = graph.vectors.to(h.dtype)
        total = torch.eye(3, dtype=h.dtype).repeat(len(crystals), 1, 1)
        for layer in self.layers:
            radial = self.basis(v)
            h = layer.pass_messages(h, v, graph, radial)
            if layer.edge is None and layer.triplet is None:
                continue
            action = torch.eye(3, dtype=h.dtype) + self.scale * self.strain(layer, h, v, radial, graph)
            v = torch.einsum("eij,ej->ei", action[graph.batch], v)
            total = action @ total
        return total

    def strain(self, layer: NaiveLayer, h: Tensor, v: Tensor, radial: Tensor, graph: Graph) -> Tensor:
        """Sum over edges and triplets of weight times field: equations 16 to 18, 20 and 21."""
        total = h.new_zeros(graph.n_structures, 3, 3)
        i, j = graph.source, graph.target
        if layer.edge is not None:
            weights = layer.edge(torch.cat([h[i], h[j], radial], dim=1))
            for n, field in enumerate(edge_fields(self.row, v)):
                total = total.index_add(0, graph.batch, weights[:, n, None, None] * field)
        if layer.triplet is not None:
            weights = layer.triplet(triplet_inputs(h, v, radial, graph))
            for n, field in enumerate(triplet_fields(self.row, *legs(v, graph))):
                total = total.index_add(0, graph.batch[graph.triplets.first], weights[:, n, None, None] * field)
        return total


def legs(v: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
    """Both vectors of each triplet, away from the common point."""
    first, second = v[graph.triplets.first], v[graph.triplets.second]
    return (-first if graph.triplets.flip_first else first), second


def triplet_inputs(h: Tensor, v: Tensor, radial: Tensor, graph: Graph) -> Tensor:
    """[h_i || h_j || h_k || rbf(r) || rbf(r') || cos || sin] of equation 21."""
    a, b = graph.triplets.first, graph.triplets.second
    u, w = (normalize(leg, dim=-1) for leg in legs(v, graph))
    cosine = torch.einsum("ti,ti->t", u, w)
    sine = torch.sqrt(torch.linalg.cross(u, w).square().sum(-1) + SINE_FLOOR**2)
    i, j, k = graph.source[a], graph.target[a], graph.target[b]
    return torch.cat([h[i], h[j], h[k], radial[a], radial[b], cosine[:, None], sine[:, None]], dim=1)


def concatenated(model: EMPNN, of: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Something of our parameters (themselves, their gradients) in the shape and by the names of the naive network."""
    found = {"embedding.weight": of(model.encoder.embedding.weight)}
    layers = [(layer, None) for layer in model.encoder.layers] + [
        (layer.message, layer.action) for layer in model.layers
    ]
    for index, (message, action) in enumerate(layers):
        edge = message.edge
        own = {
            "message.first.weight": (edge.source.weight, edge.target.weight, edge.radial.weight),
            "message.first.bias": (edge.source.bias,),
            "message.second.weight": (message.message.weight,),
            **{f"update.{name}": (parameter,) for name, parameter in message.update.named_parameters()},
        }
        if action is not None and action.edges is not None:
            edge = action.edges.edge
            own["edge.first.weight"] = (edge.source.weight, edge.target.weight, edge.radial.weight)
            own["edge.first.bias"] = (edge.source.bias,)
            own["edge.second.weight"] = (action.edges.weight.weight,)
        if message.triplets is not None:
            own |= of_triplets("triplet_message", message.triplets, message.triplets.message)
        if action is not None and action.triplets is not None:
            own |= of_triplets("triplet", action.triplets, action.triplets.weight)
        for name, parts in own.items():
            found[f"layers.{index}.{name}"] = torch.cat([of(part) for part in parts], dim=-1)
    return found


def of_triplets(name: str, first: TripletLinear, second: nn.Linear) -> dict[str, tuple[Tensor, ...]]:
    """The parts that a perceptron of triplets is made of."""
    atoms = (first.first.source.weight, first.first.target.weight, first.second.weight)
    rest = (first.first.radial.weight, first.second_radial.weight, first.angle.weight)
    return {
        f"{name}.first.weight": (*atoms, *rest),
        f"{name}.first.bias": (first.first.source.bias,),
        f"{name}.second.weight": (second.weight,),
    }
