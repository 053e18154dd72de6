"""CHGNet: a universal potential with weights in its wheel (Deng et al., Nature Machine Intelligence 5, 1031, 2023)."""

from __future__ import annotations

import contextlib
import io
from functools import cached_property
from typing import Any

from ase import Atoms

from empnn.energy.oracle import need
from empnn.energy.oracles.calculators import CalculatorOracle

MPTRJ_ELEMENTS = frozenset(range(1, 95)) - frozenset({84, 85, 86, 87, 88})
"""The 89 elements of MPtrj: H to Pu without Po, At, Rn, Fr and Ra."""


class Chgnet(CalculatorOracle):
    """CHGNet with its default weights 0.3.0.

    Raises:
        ConfigError: If chgnet is not installed.
    """

    name = "chgnet"
    functional = "PBE and PBE+U, MP2020 corrections (MPtrj)"
    licence = "BSD-3-Clause"

    def __init__(self) -> None:
        self.version = need("chgnet", "energy")
        self.settings: dict[str, Any] = {"weights": "0.3.0"}

    @property
    def elements(self) -> frozenset[int]:
        """The 89 elements of its training data."""
        return MPTRJ_ELEMENTS

    def prepare(self) -> None:
        """Load the weights."""
        self.calculator(Atoms())

    def calculator(self, atoms: Atoms) -> Any:
        """The calculator, the same for all; an atom without neighbours within 6 angstrom is an error."""
        return self._calculator

    @cached_property
    def _calculator(self) -> Any:
        from chgnet.model.dynamics import CHGNetCalculator
        from chgnet.model.model import CHGNet

        # It says what it loads even if told not to.
        with contextlib.redirect_stdout(io.StringIO()):
            model = CHGNet.load(model_name=self.settings["weights"], use_device="cpu", verbose=False)
            return CHGNetCalculator(model, use_device="cpu", on_isolated_atoms="error")
