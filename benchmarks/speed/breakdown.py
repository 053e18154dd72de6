"""Where a training step spends its time: shares of kinds of operations, by PyTorch's profiler.

Forward and backward pass of the paper's network on a batch of 256 MP-20 crystals, on one thread, so that one
operation runs at a time. Time of an operation is its own, without those it calls; what no operation accounts for is
Python and the profiler itself. Usage: python -m benchmarks.speed.breakdown   (EMPNN_DATA names the data)
"""

import time

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.bench import row, write
from benchmarks.speed.roofline import subject
from empnn.nn.runtime.cpu import exact_onednn, keep_freed_memory

REPEATS = 5
KINDS = {
    "products": ("mm", "addmm", "addmm_", "bmm"),
    "gathers and sums of rows": (
        "_embedding_bag",
        "_embedding_bag_forward_only",
        "index_select",
        "index_add",
        "scatter_add_",
        "cat",
    ),
    "curved functions": ("silu_", "silu", "silu_backward", "sigmoid_", "sigmoid_backward", "tanh_backward", "exp"),
}
OTHER, OUTSIDE = "all other operations", "Python and the profiler"


def shares(fields: str) -> dict[str, float]:
    """Share of each kind in the time of a step."""
    run, _ = subject(fields, True)
    run()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        started = time.perf_counter()
        for _ in range(REPEATS):
            run()
        seconds = time.perf_counter() - started
    kind_of = {f"aten::{name}": kind for kind, names in KINDS.items() for name in names}
    spent = dict.fromkeys([*KINDS, OTHER, OUTSIDE], 0.0)
    for event in found.key_averages():
        if event.key.startswith("aten::"):
            spent[kind_of.get(event.key, OTHER)] += event.self_cpu_time_total / 1e6 / seconds
    spent[OUTSIDE] = 1 - sum(spent.values())
    return spent


def main() -> None:
    """Profile both kinds of networks."""
    torch.set_num_threads(1)
    keep_freed_memory()
    with exact_onednn():
        found = {what: shares(fields) for what, fields in (("edges", "ketbra-e"), ("triplets", "ketbra-e-tsym"))}
    rows = [
        row(f"training, {what}, on one thread: {kind}", f"{share:.0%}", "")
        for what, spent in found.items()
        for kind, share in spent.items()
    ]
    write("breakdown", __doc__ or "", {"found": found, "rows": rows})


if __name__ == "__main__":
    main()
