"""Settings of the process for a CPU: faster products, kept memory, threads; results are the same to float32 rounding.

They belong to whoever owns the process: the command line, a training run, a benchmark; the library does not make them.
"""

import ctypes
import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from empnn.nn.runtime.threads import threads_for_structures

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEEP, _LARGEST_ON_HEAP = 2**31 - 1, 32 * 2**20
_FLOAT32_ERROR = 1e-5
_LOCK = threading.RLock()
_BEFORE: list[str] = []
"""The setting before the first of those who have it changed, once for each of them."""


@contextmanager
def tuned(device: str = "cpu") -> Iterator[None]:
    """All settings, for a process that computes on this device; on others than the CPU nothing changes."""
    if torch.device(device).type != "cpu":
        yield
        return
    keep_freed_memory()
    with exact_onednn(), threads_for_structures():
        yield


@contextmanager
def exact_onednn() -> Iterator[None]:
    """Let oneDNN multiply float32 matrices where it does so in float32; elsewhere nothing changes.

    On CPUs that are not Intel's it is about twice as fast as the default. PyTorch hands float32 products to oneDNN only
    with the permission to round to bfloat16, which oneDNN makes use of where a CPU has units for that alone; there the
    permission is not given. Meanwhile `torch.get_float32_matmul_precision` raises, in all threads.
    """
    if not _onednn_is_exact():
        yield
        return
    with _LOCK:
        if not _BEFORE:
            _BEFORE.append(_products().fp32_precision)
            _products().fp32_precision = "bf16"
        else:
            _BEFORE.append(_BEFORE[0])
    try:
        yield
    finally:
        with _LOCK:
            before = _BEFORE.pop()
            if not _BEFORE:
                _products().fp32_precision = before


def keep_freed_memory() -> None:
    """Keep memory once it is allocated, instead of giving it back and asking for it anew.

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
    if not hasattr(torch.backends.mkldnn, "matmul") or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 256, 256, generator=generator, dtype=torch.float32, device="cpu")
    expected = first.double() @ second.double()
    with _LOCK:
        before = _products().fp32_precision
        _products().fp32_precision = "bf16"
        try:
            error = (first @ second - expected).abs().max() / expected.abs().max()
        finally:
            _products().fp32_precision = before
    return bool(error < _FLOAT32_ERROR)


def _products() -> Any:
    """The settings of oneDNN's products of matrices."""
    return torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
