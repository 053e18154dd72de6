"""Settings of the process: they are taken back, and change no digit that float32 has."""

import ctypes
import subprocess
import sys
import threading

import pytest
import torch

from empnn.nn.runtime import cpu


def precision() -> str:
    return torch.backends.mkldnn.matmul.fp32_precision


def test_products_stay_exact_to_float32(generator: torch.Generator) -> None:
    first, second = torch.randn(2, 300, 300, generator=generator)
    expected = first.double() @ second.double()
    with cpu.exact_onednn():
        error = (first @ second - expected).abs().max()
    assert float(error / expected.abs().max()) < 1e-5


def test_the_setting_is_taken_back() -> None:
    before = precision()
    with pytest.raises(KeyError), cpu.exact_onednn():
        raise KeyError
    assert precision() == before


def test_the_setting_is_taken_back_when_the_last_thread_leaves() -> None:
    before, inside, leave = precision(), threading.Barrier(2), threading.Event()

    def work() -> None:
        with cpu.exact_onednn():
            inside.wait(10)
            leave.wait(10)

    with cpu.exact_onednn():
        thread = threading.Thread(target=work)
        thread.start()
        inside.wait(10)
        during = precision()
    assert precision() == during
    leave.set()
    thread.join(10)
    assert precision() == before


def test_other_devices_are_left_alone() -> None:
    before = precision()
    with cpu.tuned("cuda"):
        assert precision() == before


def test_products_that_would_be_rounded_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_onednn_is_exact", lambda: False)
    with cpu.exact_onednn():
        assert precision() != "bf16"


def test_rounding_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    rounded = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: rounded(a, b) * (1 + 1e-3 * (a.dtype == torch.float32))
    )
    assert not cpu._onednn_is_exact.__wrapped__()


KEEPING = """
import resource
from pathlib import Path
import numpy as np
from empnn.nn.runtime.cpu import keep_freed_memory

def held():
    \"\"\"MiB that stay with the process of 128 that it has freed.\"\"\"
    blocks = [np.ones(2**21) for _ in range(8)]
    full = resident()
    del blocks
    return 128 - (full - resident()) * resource.getpagesize() // 2**20

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

before = held()
keep_freed_memory()
print(before, held())
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="the C library has no such setting",
)
def test_memory_can_be_kept() -> None:
    """In a process of its own, for the setting is never taken back."""
    done = subprocess.run([sys.executable, "-c", KEEPING], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < 32
    assert after > 96
