"""Where a network computes: found by itself, and what is wrong with a device that is named, in a few words."""

import pytest
import torch

import empnn
from empnn.errors import ConfigError
from empnn.relax import devices
from empnn.relax.devices import device_of


@pytest.fixture
def gpus(monkeypatch):
    """Pretends that PyTorch finds so many GPUs, and what happens when one is used."""
    zeros = torch.zeros

    def pretend(count, trouble=None):
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

        def made(*size, device):
            if torch.device(device).type != "cuda":
                return zeros(*size, device=device)
            if trouble:
                raise trouble
            return zeros(*size)

        monkeypatch.setattr(torch, "zeros", made)

    return pretend


@pytest.mark.parametrize("name", [None, "auto"])
def test_a_gpu_is_found(gpus, name):
    gpus(0)
    assert device_of(name) == torch.device("cpu")
    gpus(2)
    assert device_of(name) == torch.device("cuda")


def test_a_gpu_that_cannot_be_used_is_passed_over(gpus):
    gpus(1, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has a total of 80 GiB."))
    assert device_of("auto") == torch.device("cpu")
    with pytest.raises(ConfigError) as caught:
        device_of("cuda")
    said = "device cuda cannot be used: OutOfMemoryError CUDA out of memory; choose auto, cpu, cuda or cuda:N"
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("count", "name", "why"),
    [
        (0, "cuda", "PyTorch finds no GPU"),
        (1, "cuda:1", "the only GPU is cuda:0"),
        (4, "cuda:99", "the GPUs are cuda:0 to cuda:3"),
        (1, "tpu", "no such device"),
        (1, "x" * 500, "no such device"),
        (1, "meta", "PyTorch does not compute on it here"),
    ],
)
def test_a_wrong_device_says_why_in_whole(gpus, count, name, why):
    gpus(count)
    with pytest.raises(ConfigError) as caught:
        device_of(name)
    assert str(caught.value) == f"device {str(name)[:40]} cannot be used: {why}; choose auto, cpu, cuda or cuda:N"
    assert device_of("cuda:0" if count else "cpu").type in ("cuda", "cpu")


def test_a_build_without_cuda_says_so(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(ConfigError, match="this build of PyTorch computes on CPUs only; choose auto, cpu"):
        device_of("cuda:0")


def test_models_are_loaded_where_it_says(monkeypatch):
    asked = []
    monkeypatch.setattr("empnn.relax.relaxer.device_of", lambda name: asked.append(name) or torch.device("cpu"))
    empnn.load("perov-5")
    empnn.load("perov-5", "cuda:1")
    assert asked == [None, "cuda:1"]
    assert devices.AUTO == "auto"
