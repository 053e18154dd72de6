"""Settings of the process: they are taken back, and change no digit that float32 has."""

import platform
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


ALLOCATING = """
import resource, sys, torch
from empnn.nn.runtime import cpu
if sys.argv[1] == "kept":
    cpu.keep_freed_memory()
def pages():
    [torch.ones(2**21) for _ in range(10)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = pages()
print([pages() for _ in range(4)][-1] - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of the C library of GNU")
def test_freed_memory_is_not_asked_for_anew() -> None:
    asked = {}
    for how in ("kept", "given back"):
        run = subprocess.run([sys.executable, "-c", ALLOCATING, how], capture_output=True, text=True, check=True)
        asked[how] = int(run.stdout)
    assert asked["given back"] > 100
    assert asked["kept"] < asked["given back"] / 10
