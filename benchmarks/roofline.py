"""What a step must spend, what this machine can do, and the fraction reached.

Operations by formula for the paper's network on a batch of 256 MP-20 crystals: matrix products (checked against
PyTorch's own counter, which also sees what the way back computes again), values of silu and of its derivative, and the
bytes that cannot stay in the caches (radial functions, atom features, indices). Each is divided by the measured ceiling
of this machine; the bound is their sum. Usage: python benchmarks/roofline.py   (EMPNN_DATA names the data)
"""

from collections.abc import Callable
from typing import Any

import torch
from bench import RADIAL, alternate, fast_process, paper_network, row, strained, write
from torch.utils.flop_counter import FlopCounterMode

from empnn.graph import Graph
from empnn.losses import ParameterScale, param_mae
from empnn.nn import ModelConfig

BATCH, FLOAT = 256, 4


def added_product(added: Any, first: Any, second: Any, *rest: Any, **options: Any) -> int:
    """Operations of a product that is added in place, from the shapes."""
    return 2 * first[0] * first[1] * second[1]


def ceilings() -> dict[str, float]:
    """Matrix products in operations per second, silu in values per second, copies in bytes per second."""
    a, b = torch.randn(2, 2048, 2048)
    c, d = a.bfloat16(), b.bfloat16()
    values, large = torch.randn(4096, 128), torch.randn(2**26)
    target = torch.empty_like(large)
    seconds = alternate(
        {
            "float32": lambda: a @ b,
            "bfloat16": lambda: c @ d,
            "silu": lambda: [torch.nn.functional.silu(values) for _ in range(50)],
            "copy": lambda: target.copy_(large),
        },
        9,
    )
    product = 2 * 2048**3
    return {
        "float32_products": product / seconds["float32"],
        "bfloat16_products": product / seconds["bfloat16"],
        "silu": 50 * values.numel() / seconds["silu"],
        "copy": 2 * FLOAT * large.numel() / seconds["copy"],
    }


def needs(config: ModelConfig, graph: Graph, training: bool) -> dict[str, float]:
    """Operations of products, silu values and bytes of one forward pass, or of a step."""
    atoms, edges, f, r = graph.n_atoms, len(graph), config.features, config.radial.count
    triplets = len(graph.triplets) if graph.triplets is not None else 0
    layers = config.message_layers + config.action_layers
    # Both sides of the first map, and both maps of the GRU (the message's second map is joined with one of them).
    of_atoms = 2 * atoms * f * (2 * f + 3 * f + 3 * f)
    of_edges = 2 * edges * r * f
    action = 2 * atoms * f * 2 * f + of_edges + 2 * edges * f
    three = 2 * atoms * f * 3 * f + 2 * of_edges + 2 * triplets * (2 * f + 3 * f) if triplets else 0
    products = layers * (of_atoms + of_edges) + config.action_layers * (action + three)
    silu = f * (layers * edges + config.action_layers * (edges + triplets))
    # Read per layer: radial functions, two indices, atom features in and out with both gates; written: features.
    traffic = layers * (FLOAT * edges * r + 16 * edges + FLOAT * atoms * f * 12)
    traffic += config.action_layers * (
        FLOAT * edges * r + 16 * edges + 24 * triplets + 2 * FLOAT * edges * f * bool(triplets)
    )
    factors = (3, 2, 2.5) if training else (1, 1, 1)
    return dict(
        zip(
            ("products", "silu", "bytes"),
            (n * x for n, x in zip((products, silu, traffic), factors, strict=True)),
            strict=True,
        )
    )


def step_of(fields: str, training: bool) -> tuple[Callable[[], Any], dict[str, float]]:
    """One forward pass or step without the graph and the optimizer, and what it needs."""
    network, crystals = paper_network(fields), strained(BATCH)
    graph, scale = network.rule(crystals), ParameterScale.of(crystals.cell)

    def forward() -> Any:
        with torch.inference_mode():
            return network(crystals, graph)

    def step() -> None:
        h = network(crystals, graph).action
        param_mae(crystals.cell @ h.mT, crystals.cell, scale).backward()

    return (step if training else forward), needs(network.config, graph, training)


def main() -> None:
    """Measure and compare."""
    fast_process()
    peak = ceilings()
    rows, found = [], {}
    for name, fields, training in (
        ("relaxing", "ketbra-e", False),
        ("training step, edges", "ketbra-e", True),
        ("training step, triplets", "ketbra-e-tsym", True),
    ):
        run, need = step_of(fields, training)
        with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: added_product}) as counter:
            run()
        seconds = alternate({name: run}, 9)[name]
        parts = {
            "products": need["products"] / peak["float32_products"],
            "silu": need["silu"] / peak["silu"],
            "bytes": need["bytes"] / peak["copy"],
        }
        bound = sum(parts.values())
        found[name] = {
            "needs": need,
            "products_counted": counter.get_total_flops(),
            "bound_seconds": bound,
            "bound_parts": parts,
            "seconds": seconds,
            "fraction": bound / seconds,
        }
        rows.append(row(f"{name}: bound and time of a batch of 256", f"{seconds:.3f} s", f"bound {bound:.3f} s", None))
        rows[-1]["ratio"] = f"{bound / seconds:.2f}"
    write("roofline", __doc__ or "", {"radial_functions": RADIAL, "ceilings": peak, "found": found, "rows": rows})


if __name__ == "__main__":
    main()
