"""What a step must spend, what this machine can do, and the fraction reached.

The fewest operations by formula for the paper's network on a batch of 256 MP-20 crystals: products of matrices, values
of curved functions (silu and its derivative, gates, radial functions) at the rate of silu, and the bytes that the way
back needs and no cache holds. Each is divided by a ceiling of this machine, measured in turns with the steps; the bound
is the larger of computing (products and curved functions) and moving bytes. PyTorch's own counter says how many
operations of products were really spent: it sees what is computed again; hooks on what autograd saves say how many
bytes are really kept for the way back, to be written and read. Forward and backward pass; graph, clipping and Adam are
left out. Usage: python -m benchmarks.speed.roofline   (EMPNN_DATA names the data)
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bench import RADIAL, alternate, fast_process, paper_network, row, strained, with_all_threads, write
from empnn.graph import Graph
from empnn.losses import ParameterScale, param_mae
from empnn.nn import ModelConfig

BATCH, FLOAT, SIDE = 256, 4, 2048


def added_product(added: Any, first: Any, second: Any, *rest: Any, **options: Any) -> int:
    """Operations of a product that is added in place, from the shapes."""
    return 2 * first[0] * first[1] * second[1]


class Ceilings:
    """Products and silu in operations and values per second, copies in bytes per second."""

    def __init__(self) -> None:
        self.a, self.b = torch.randn(2, SIDE, SIDE)
        self.c, self.d = self.a.bfloat16(), self.b.bfloat16()
        self.values = torch.randn(2048, 128)
        self.large = torch.randn(2**26)
        self.target = torch.empty_like(self.large)

    def subjects(self) -> dict[str, Callable[[], Any]]:
        """What is timed."""
        runs: dict[str, Callable[[], Any]] = {
            "float32": lambda: self.a @ self.b,
            "bfloat16": lambda: self.c @ self.d,
            "silu": lambda: [torch.nn.functional.silu(self.values, inplace=True) for _ in range(50)],
            "copy": lambda: self.target.copy_(self.large),
        }
        return {name: with_all_threads(run) for name, run in runs.items()}

    def rates(self, seconds: dict[str, float]) -> dict[str, float]:
        """From seconds to rates."""
        return {
            "float32": 2 * SIDE**3 / seconds["float32"],
            "bfloat16": 2 * SIDE**3 / seconds["bfloat16"],
            "silu": 50 * self.values.numel() / seconds["silu"],
            "copy": 2 * FLOAT * self.large.numel() / seconds["copy"],
        }


def needs(config: ModelConfig, graph: Graph, species: int, training: bool) -> dict[str, float]:
    """Operations of products, values of curved functions and bytes of one forward pass, or of forward and backward."""
    atoms, edges, f, r = graph.n_atoms, len(graph), config.features, config.radial.count
    triplets = len(graph.triplets) if graph.triplets is not None else 0
    first, deforming = config.message_layers, config.action_layers
    layers = first + deforming
    back = 3 if training else 1
    # Both sides of the first map and both maps of the GRU; the message's second map is joined with one of them. Before
    # the first layer atoms of one species are alike, so that three of the four are made per species.
    of_atoms = 2 * f * (layers * atoms * 8 * f - (atoms - species) * 5 * f)
    # Lengths change from the second layer that deforms on: only there gradients go back to the radial functions.
    radial = 2 * edges * r * f
    of_radial = radial * (layers * min(back, 2) + (deforming - 1 if training else 0))
    weights = deforming * (2 * atoms * f * 2 * f + 2 * edges * f) * back
    weights += radial * (deforming * min(back, 2) + (deforming - 1 if training else 0))
    if triplets:
        weights += deforming * (2 * atoms * f * 3 * f + 2 * triplets * f * (2 + 3)) * back
        weights += 2 * radial * (deforming * min(back, 2) + (deforming - 1 if training else 0))
    # The joined maps themselves; gates and proposals, whose slopes follow from their values, and the radial basis.
    of_atoms += layers * 2 * 3 * f * f * f
    curved = f * (layers * edges + deforming * (edges + triplets)) * min(back, 2)
    curved += 3 * f * layers * atoms + deforming * edges * r
    # Gates, proposal and state of each atom, written and read again; the radial functions of each geometry.
    moved = 2 * FLOAT * (layers * atoms * 7 * f + deforming * edges * r) if training else 0
    return {"products": of_atoms * back + of_radial + weights, "curved": curved, "bytes": moved}


def subject(fields: str, training: bool) -> tuple[Callable[[], Any], dict[str, float]]:
    """A forward pass, or a forward and a backward pass, and what it needs."""
    network, crystals = paper_network(fields).requires_grad_(training), strained(BATCH)
    graph, scale = network.rule(crystals), ParameterScale.of(crystals.cell)

    def forward() -> Any:
        with torch.inference_mode():
            return network(crystals, graph)

    def step() -> None:
        network.zero_grad()
        h = network(crystals, graph).action
        param_mae(crystals.cell @ h.mT, crystals.cell, scale).backward()

    run = step if training else forward
    return run, needs(network.config, graph, len(crystals.numbers.unique()), training)


def products(run: Callable[[], Any]) -> int:
    """Operations of products that something spends."""
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: added_product}) as counter:
        run()
    return int(counter.get_total_flops())


def kept(run: Callable[[], Any]) -> int:
    """Bytes that something keeps for the way back, weights and places of rows included."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(storages.values())


def main() -> None:
    """Measure and compare."""
    subjects = {
        "relaxing": subject("ketbra-e", False),
        "training, edges": subject("ketbra-e", True),
        "training, triplets": subject("ketbra-e-tsym", True),
    }
    # Both see their own thread only, so counting comes before structures get threads of their own.
    spent = {name: {"products": products(run), "bytes": 2 * kept(run)} for name, (run, _) in subjects.items()}
    fast_process()
    ceilings = Ceilings()
    rows, found = [], {}
    for name, (run, need) in subjects.items():
        seconds = alternate({**ceilings.subjects(), "run": run}, 15)
        rates = ceilings.rates(seconds)
        computing = need["products"] / rates["float32"] + need["curved"] / rates["silu"]
        moving = need["bytes"] / rates["copy"]
        bound = max(computing, moving)
        found[name] = {
            "needs": need,
            "spent": spent[name],
            "ceilings": rates,
            "seconds_computing": computing,
            "seconds_moving": moving,
            "seconds": seconds["run"],
            "fraction": bound / seconds["run"],
        }
        what = f"{name}, 256 MP-20 crystals, graph and optimizer excluded"
        rows.append(row(what, f"{seconds['run']:.3f} s", f"bound {bound:.3f} s"))
        rows[-1]["ratio"] = f"{bound / seconds['run']:.2f}"
    write("roofline", __doc__ or "", {"radial_functions": RADIAL, "found": found, "rows": rows})


if __name__ == "__main__":
    main()
