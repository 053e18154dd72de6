"""Two settings of the process that make a CPU faster without changing a digit.

They belong to whoever owns the process: the command line, a training run, a benchmark.
"""

import ctypes
import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEEP, _LARGEST_ON_HEAP = 2**31 - 1, 32 * 2**20
_FLOAT32_ERROR = 1e-5


@contextmanager
def exact_onednn() -> Iterator[None]:
    """Let oneDNN multiply float32 matrices where it does so in float32; elsewhere nothing changes.

    On CPUs that are not Intel's it is about twice as fast as the default. PyTorch hands float32 products to oneDNN only
    with the permission to round to bfloat16, which oneDNN makes use of where a CPU has units for that alone; there the
    permission is not given.
    """
    if not _onednn_is_exact():
        yield
        return
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before


def keep_freed_memory() -> None:
    """Keep memory once it is allocated: giving it back and asking for it anew takes a tenth of a training step.

    With the C library of GNU only; elsewhere nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_TRIM_THRESHOLD, _KEEP)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_ON_HEAP)


@functools.cache
def _onednn_is_exact() -> bool:
    products = getattr(torch.backends.mkldnn, "matmul", None)
    if products is None or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 256, 256, generator=generator)
    expected = first.double() @ second.double()
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        error = (first @ second - expected).abs().max() / expected.abs().max()
    finally:
        products.fp32_precision = before
    return bool(error < _FLOAT32_ERROR)
