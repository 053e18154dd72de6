"""The Equivariant Message Passing Neural Network of Figure 3 and appendix B.2."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from empnn.crystals import MAX_NUMBER, CrystalBatch
from empnn.errors import ConfigError
from empnn.fields import field_set
from empnn.graph import TRIPLETS, Graph, GraphRule, TripletRule, WithTriplets, covalent, cutoff, element_cutoff, knn
from empnn.nn.action import ACTIONS, EXPONENT_LIMIT, ActionSettings, CrystalAction, LayerAction, mean_per_structure
from empnn.nn.fixed import keep_fixed
from empnn.nn.message_passing import Aggregate, LocalGeometry, MessagePassing, local_geometry
from empnn.nn.rbf import GaussianBasis
from empnn.nn.runtime.split_batch import Found, side_by_side


@dataclass
class GraphConfig:
    """Which edges a model sees."""

    rule: str = "knn"
    """`knn`, `cutoff` or `covalent`."""
    k: int = 16
    """Neighbours of each atom for `knn`; the last shell is never split."""
    radius: float = 5.0
    """Longest edge for `cutoff`, in angstrom."""
    radii: dict[str, float] = field(default_factory=dict)
    """For `cutoff`: radii of the atoms of some elements, `{O: 4.0}`, in place of `radius`."""
    scale: float = 1.5
    """For `covalent`: longest edge as a multiple of the sum of the covalent radii."""
    triplets: str = "fan"
    """Which pairs of edges are triplets: `fan` or `chain`; made only if fields or messages need them."""


@dataclass
class RadialConfig:
    """Gaussian basis of the edge lengths."""

    count: int = 32
    """Number of functions."""
    stop: float = 8.0
    """Centre of the last function, in angstrom."""
    width: float = 0.25
    """Standard deviation of each, in angstrom."""


@dataclass
class ModelConfig:
    """Architecture of a network (design, section 5)."""

    name: str = "empnn"
    """`empnn`, or the feed-forward baseline `ff`."""
    start_from: str | None = None
    """A packaged model, a model folder or a run: training starts from its weights, and what is not given here is as
    there. One that moves the cell only can be given atoms that move (`model.deform=[cell,positions]`), any one fields
    and messages of triplets, and more layers that deform."""
    features: int = 128
    """Width of atom and message features."""
    message_layers: int = 6
    """Layers that only pass messages."""
    action_layers: int = 4
    """Layers that pass messages and deform the lattice."""
    fields: Any = "ketbra-e"
    """Vector fields: a key of `empnn.fields.TABLE2`, or a list of single fields."""
    action: str = "exp"
    """`exp` or `first_order`."""
    reduction: str = "mean"
    """`mean` over the edges of a structure, or `sum` times `action_scale`."""
    action_scale: float = 1e-2
    """k of equation 18, used by `reduction=sum`."""
    weight_limit: float | None = None
    """Bound on the absolute edge weights."""
    exponent_limit: float = EXPONENT_LIMIT
    """For `action=exp`: Frobenius norm that the strain of one layer stays below. The default suits crystals that are
    nearly right; from a cube of 1 angstrom (`noise.mix.cube`) four layers of 0.5 reach 3 angstrom."""
    deform: list[str] = field(default_factory=lambda: ["cell"])
    """What changes: `[cell]`, or `[cell, positions]` to move the atoms within the cell too."""
    strain_gate: bool = True
    """Let each layer scale its isotropic and deviatoric strain by what the strain so far tells; not in the paper."""
    aggregate: str = "mean"
    """Messages of an atom's edges: `mean` or `sum`."""
    message_triplets: bool = False
    """Let layers that deform sum messages over triplets too (equations 8b and 9); slow if there are many neighbours."""
    readout: str = "silu"
    """For `name=ff`: activation between its linear layers, `silu` or `relu`."""
    graph: GraphConfig = field(default_factory=GraphConfig)
    radial: RadialConfig = field(default_factory=RadialConfig)

    @property
    def moves_atoms(self) -> bool:
        """Whether atoms move too.

        Raises:
            ConfigError: If `deform` is something else than the cell, or the cell and the positions.
        """
        if sorted(self.deform) not in (["cell"], ["cell", "positions"]):
            raise ConfigError(f"model.deform=[{', '.join(self.deform)}]: must be [cell] or [cell, positions]")
        return "positions" in self.deform


@dataclass(frozen=True)
class Deformation:
    """What a network does to each structure: atoms move, then the lattice deforms and takes them along.

    Attributes:
        action: h, acting as `cell @ h.T`. Per structure, float64.
        steps: The action accumulated after each layer that deforms; the last one is `action`. (layers, structures,
            3, 3), float64.
        displacement: Cartesian, in the frame of the cell as given, angstrom: `frac + displacement @ inv(cell)`. Per
            atom, float64; None if atoms stay.
        features: Mean atom features after the last layer, without a gradient; None if the network has none to tell. Per
            structure.
    """

    action: Float[Tensor, "structures 3 3"]
    steps: Float[Tensor, "layers structures 3 3"]
    displacement: Float[Tensor, "atoms 3"] | None = None
    features: Float[Tensor, "structures features"] | None = None

    def cpu(self) -> "Deformation":
        """The same on the CPU."""
        moved: dict[str, Any] = {
            f.name: None if (one := getattr(self, f.name)) is None else one.cpu() for f in fields(self)
        }
        return Deformation(**moved)


def graph_rule(config: GraphConfig) -> GraphRule:
    """The neighbour rule that a configuration names.

    Raises:
        ConfigError: If there is no such rule, or a radius is not that of an element.
    """
    if config.rule == "knn":
        return knn(config.k)
    if config.rule == "cutoff":
        return element_cutoff(config.radius, config.radii) if config.radii else cutoff(config.radius)
    if config.rule == "covalent":
        return covalent(config.scale)
    raise ConfigError(f"model.graph.rule={config.rule} does not exist; use knn, cutoff or covalent")


def triplet_rule(config: ModelConfig) -> TripletRule | None:
    """The triplet rule that a configuration names, or None if neither fields nor messages need it.

    Raises:
        ConfigError: If there is no such rule.
    """
    if config.graph.triplets not in TRIPLETS:
        known = ", ".join(TRIPLETS)
        raise ConfigError(f"model.graph.triplets={config.graph.triplets} does not exist; use one of {known}")
    needed = config.message_triplets or field_set(config.fields).triplets
    return TRIPLETS[config.graph.triplets] if needed else None


class Encoder(nn.Module):
    """Embedding of the species and layers that only pass messages: invariant atom features."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.radial = GaussianBasis(config.radial.count, config.radial.stop, config.radial.width)
        self.embedding = nn.Embedding(MAX_NUMBER + 1, config.features)
        self.layers = nn.ModuleList(message_layer(config) for _ in range(config.message_layers))

    def forward(self, numbers: Tensor, geometry: LocalGeometry) -> Float[Tensor, "atoms features"]:
        """Atom features."""
        rows: Tensor = self.embedding.weight
        kind: Tensor | None = numbers
        for layer in self.layers:
            rows, kind = layer(rows, geometry, kind), None
        return rows if kind is None else rows[kind]

    def geometry(self, graph: Graph, vectors: Float[Tensor, "edges 3"]) -> LocalGeometry:
        """What layers see of a graph with these edge vectors, angstrom."""
        return local_geometry(graph, vectors.to(self.embedding.weight.dtype), self.radial)


class DeformLayer(nn.Module):
    """A layer that passes messages, weighs the fields and deforms the lattice (Figure 3b)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.message = message_layer(config, triplets=config.message_triplets)
        self.action = CrystalAction(config.features, config.radial.count, action_settings(config))

    def forward(
        self, atoms: Float[Tensor, "atoms features"], geometry: LocalGeometry, strain: Float[Tensor, "structures 3 3"]
    ) -> tuple[Float[Tensor, "atoms features"], LayerAction]:
        """Updated atom features, and what the layer does to the crystals."""
        atoms = self.message(atoms, geometry)
        return atoms, self.action(atoms, geometry, strain)


class EMPNN(nn.Module):
    """Predicts the deformation h in GL3(R) that takes a wrong lattice to the relaxed one.

    With `deform=[cell, positions]` also the displacements that take the atoms to their places in it (equation 2).

    Equivariant under Euc(3) x SL3(Z) x S_n: h(Q M) = Q h(M) Q^T for Q in O(3), and h does not change under
    translations, permutations and changes of basis (Proposition 4). With `reduction=mean` it does not change with
    the choice of a supercell either. Displacements rotate with Q and do not change under the rest, but for the order
    of the atoms. What the crystals fix (`fixed_cell`, `fixed_frac`) stays in every layer (`keep_fixed`).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.moves_atoms = config.moves_atoms
        self.rule = graph_rule(config.graph)
        self.triplet_rule = triplet_rule(config)
        if self.triplet_rule is not None:
            self.rule = WithTriplets(self.rule, self.triplet_rule)
        self.encoder = Encoder(config)
        self.layers = nn.ModuleList(DeformLayer(config) for _ in range(config.action_layers))

    def forward(self, crystals: CrystalBatch, graph: Graph | None = None) -> Deformation:
        """Deformations of all structures; the graph is built from the crystals unless it is given."""
        if graph is None:
            graph = self.rule(crystals.to("cpu")).to(crystals.cell.device)
        if self.triplet_rule is not None and graph.triplets is None:
            graph = replace(graph, triplets=self.triplet_rule(graph))
        steps, features, displacement = side_by_side(self._deform, crystals, graph, self.parameters())
        return Deformation(action=steps[-1], steps=steps, displacement=displacement, features=features)

    def _deform(self, crystals: CrystalBatch, graph: Graph) -> Found:
        """Steps, features and displacements of a `Deformation`."""
        geometry = self.encoder.geometry(graph, graph.vectors)
        atoms = self.encoder(crystals.numbers, geometry)
        total = torch.eye(3, dtype=torch.float64, device=atoms.device).expand(graph.n_structures, 3, 3)
        strain = atoms.new_zeros(graph.n_structures, 3, 3)
        moved = graph.vectors.new_zeros(graph.n_atoms, 3)
        steps = []
        action: LayerAction | None = None
        for layer in self.layers:
            if action is not None:
                geometry = self._deformed(geometry, action)
            atoms, action = layer(atoms, geometry, strain)
            action = keep_fixed(action, crystals, total)
            strain = action.strain
            lattice = action.lattice.to(torch.float64)
            total = lattice @ total
            if action.displacement is not None:
                moved = _act(lattice, moved + action.displacement.to(torch.float64), graph.atom_batch)
            steps.append(total)
        features = mean_per_structure(atoms.detach(), graph)
        if not self.moves_atoms:
            return torch.stack(steps), features, None
        # Without the check for singular matrices: one such structure must not stop the others, nor a GPU.
        solved, _ = torch.linalg.solve_ex(total.index_select(0, graph.atom_batch), moved.unsqueeze(-1))
        return torch.stack(steps), features, solved.squeeze(-1)

    def _deformed(self, geometry: LocalGeometry, action: LayerAction) -> LocalGeometry:
        """The same graph in the crystals after an action."""
        graph, vectors = geometry.graph, geometry.vectors
        if action.displacement is not None:
            ends = [action.displacement.index_select(0, end) for end in (graph.target, graph.source)]
            vectors = vectors + ends[0] - ends[1]
        return self.encoder.geometry(graph, _act(action.lattice, vectors, graph.batch))


def _act(action: Tensor, vectors: Float[Tensor, "n 3"], batch: Tensor) -> Float[Tensor, "n 3"]:
    """H v, with the h of the structure that each vector belongs to.

    Column by column: a batched product takes several times as long, and what is prepared for one size of it is kept.
    """
    x, y, z = torch.split(vectors, 1, dim=1)
    columns = action.index_select(0, batch).unbind(-1)
    return torch.addcmul(torch.addcmul(columns[0] * x, columns[1], y), columns[2], z)


def message_layer(config: ModelConfig, triplets: bool = False) -> MessagePassing:
    """A message-passing layer of the configured size, on edges or on triplets too.

    Raises:
        ConfigError: If the aggregation does not exist.
    """
    if config.aggregate not in ("sum", "mean"):
        raise ConfigError(f"model.aggregate={config.aggregate} does not exist; use sum or mean")
    aggregate: Aggregate = "sum" if config.aggregate == "sum" else "mean"
    return MessagePassing(config.features, config.radial.count, aggregate, triplets)


def action_settings(config: ModelConfig) -> ActionSettings:
    """How the configured network acts on lattices.

    Raises:
        ConfigError: If the fields, the action, the reduction or what is deformed do not exist.
    """
    if config.action not in ACTIONS:
        raise ConfigError(f"model.action={config.action} does not exist; use one of {', '.join(ACTIONS)}")
    if config.reduction not in ("mean", "sum"):
        raise ConfigError(f"model.reduction={config.reduction} does not exist; use mean or sum")
    return ActionSettings(
        fields=field_set(config.fields),
        action=config.action,
        reduction="sum" if config.reduction == "sum" else "mean",
        scale=config.action_scale,
        weight_limit=config.weight_limit,
        gate=config.strain_gate,
        exponent_limit=config.exponent_limit,
        moves_atoms=config.moves_atoms,
    )
