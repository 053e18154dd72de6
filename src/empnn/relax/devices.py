"""Where a network computes: a device by name, or the one that is found."""

from __future__ import annotations

import torch

from empnn.errors import ConfigError, in_words, printable

AUTO = "auto"


def device_of(name: str | torch.device | None) -> torch.device:
    """A device that computes; by `auto` or None a GPU if there is one that does, else the CPU.

    Raises:
        ConfigError: If there is no such device, or it cannot be used here.
    """
    if name is None or name == AUTO:
        gpu = torch.device("cuda")
        return gpu if torch.cuda.is_available() and _trouble(gpu) is None else torch.device("cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise _refusal(name, "no such device") from None
    trouble = _missing(device) or _trouble(device)
    if trouble is not None:
        raise _refusal(name, trouble)
    return device


def _refusal(name: object, why: str) -> ConfigError:
    return ConfigError(f"device {printable(str(name))[:40]} cannot be used: {why}; choose auto, cpu, cuda or cuda:N")


def _missing(device: torch.device) -> str | None:
    """Which GPUs there are, if that one is not among them."""
    if device.type != "cuda":
        return None
    if torch.version.cuda is None and torch.version.hip is None:
        return "this build of PyTorch computes on CPUs only"
    count = torch.cuda.device_count()
    if not count:
        return "PyTorch finds no GPU"
    if device.index is None or device.index < count:
        return None
    return "the only GPU is cuda:0" if count == 1 else f"the GPUs are cuda:0 to cuda:{count - 1}"


def _trouble(device: torch.device) -> str | None:
    """What happens if a value is made and looked at there, which some that exist in name only (meta) do not let one."""
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        if device.type != "cuda":
            return "PyTorch does not compute on it here"
        return in_words(error).partition(". ")[0]
    return None
