"""SevenNet: a universal potential with weights in its wheel (Park et al., J. Chem. Theory Comput. 20, 4857, 2024)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from ase import Atoms

from empnn.energy.oracle import need
from empnn.energy.oracles.calculators import CalculatorOracle
from empnn.energy.oracles.chgnet import MPTRJ_ELEMENTS
from empnn.errors import ConfigError

MODELS = ("7net-0", "7net-l3i5")
"""Models whose weights are in the wheel: 7net-0 as of 11 July 2024, and 7net-l3i5, more accurate and slower."""


class SevenNet(CalculatorOracle):
    """SevenNet.

    Args:
        model: One of `MODELS`.

    Raises:
        ConfigError: If sevenn is not installed or has no such model in its wheel.
    """

    name = "sevennet"
    functional = "PBE and PBE+U (MPtrj)"
    licence = "MIT"

    def __init__(self, model: str = MODELS[0]) -> None:
        if model not in MODELS:
            raise ConfigError(f"oracle sevennet:{model}: choose one of {', '.join(MODELS)}, which need no download")
        self.version = need("sevenn", "energy")
        self.settings: dict[str, Any] = {"model": model}

    @property
    def elements(self) -> frozenset[int]:
        """The 89 elements of its training data."""
        return MPTRJ_ELEMENTS

    def prepare(self) -> None:
        """Load the weights."""
        self.calculator(Atoms())

    def calculator(self, atoms: Atoms) -> Any:
        """The calculator, the same for all."""
        return self._calculator

    @cached_property
    def _calculator(self) -> Any:
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator(self.settings["model"], device="cpu")
