"""What torch.compile makes of the costly part of a layer, against ours in plain PyTorch: seconds, and to compile.

Messages of one layer of the paper's size on a batch of 256 MP-20 crystals, forwards and backwards: sums over the
neighbours of silu(a_i + b_j + W f). Compiled is the expression as it is written, with sizes that may change; ours goes
through chunks. One thread each, so that nothing but the code differs. Needs a C++ compiler.
Usage: python -m benchmarks.speed.compiled   (EMPNN_DATA names the data)
"""

import time
from collections.abc import Callable
from typing import Any

import torch
import torch._inductor.config
from torch import Tensor

from benchmarks.bench import alternate, fast_process, paper_network, row, strained, write
from empnn.graph import Pairs
from empnn.nn.kernels.edge_sums import sum_over_right


def as_written(table: Tensor, features: Tensor, weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """The sums without chunks."""
    first, second = table.chunk(2, dim=1)
    hidden = torch.nn.functional.silu(first[left] + second[right] + features @ weight.mT)
    return torch.zeros_like(first).index_add(0, left, hidden)


def main() -> None:
    """Measure."""
    torch.set_num_threads(1)
    torch._inductor.config.force_disable_caches = True
    fast_process()
    network = paper_network("ketbra-e")
    layer = network.encoder.layers[1]
    compiled = torch.compile(as_written, dynamic=True)
    weight = layer.edge.radial.weight

    def subject(n: int, sums: Callable[[Tensor, Tensor, Pairs], Tensor]) -> Callable[[], Any]:
        crystals = strained(n)
        graph = network.rule(crystals)
        features = network.encoder.geometry(graph, graph.vectors).radial.detach().requires_grad_()
        torch.manual_seed(0)
        table = torch.randn(graph.n_atoms, 256).requires_grad_()
        above = torch.randn(graph.n_atoms, 128)
        return lambda: torch.autograd.grad(sums(table, features, graph.pairs), (table, features, weight), above)

    runs = {
        "ours": subject(256, lambda t, f, pairs: sum_over_right(t, f, weight, pairs)),
        "eager": subject(256, lambda t, f, pairs: as_written(t, f, weight, pairs.left, pairs.right)),
        "compiled": subject(256, lambda t, f, pairs: compiled(t, f, weight, pairs.left, pairs.right)),
    }
    started = time.perf_counter()
    runs["compiled"]()
    first = time.perf_counter() - started
    started = time.perf_counter()
    subject(200, lambda t, f, pairs: compiled(t, f, weight, pairs.left, pairs.right))()
    second = time.perf_counter() - started
    expected = runs["eager"]()
    error = max(
        float((x - y).abs().max() / y.abs().max())
        for name in ("ours", "compiled")
        for x, y in zip(runs[name](), expected, strict=True)
    )
    seconds = alternate(runs, 15)
    own = seconds["ours"]
    what = "messages of a layer, forwards and backwards, one thread"
    rows = [
        row(what, f"{own * 1e3:.1f} ms", f"{name} {seconds[name] * 1e3:.1f} ms", seconds[name] / own)
        for name in ("eager", "compiled")
    ]
    compiling = {"first": first, "other_size": second}
    found = {"seconds": seconds, "compiling": compiling, "largest_difference": error, "rows": rows}
    write("compiled", __doc__ or "", found)


if __name__ == "__main__":
    main()
