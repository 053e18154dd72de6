"""Oracles that are ASE calculators: what all of them share, and any calculator by its import path."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import time
from importlib.metadata import PackageNotFoundError, packages_distributions
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from empnn.energy.oracle import Request, Result, right_handed
from empnn.energy.relaxation import relax
from empnn.errors import ConfigError

_UNKNOWN = "unknown"


class CalculatorOracle:
    """Energies, forces and stresses of an ASE calculator; subclasses say which."""

    name: str
    version: str
    functional: str
    licence: str
    settings: dict[str, Any]
    default_mode = "none"
    keeps_results = True
    has_stress = True
    to_converge = "give more `steps`, a larger `fmax` or a better start"

    @property
    def elements(self) -> frozenset[int] | None:
        """Atomic numbers that it knows, or None if it cannot tell."""
        return None

    def calculator(self, atoms: Atoms) -> Any:
        """The calculator for a crystal; the same one again where it need not be made anew."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Nothing, where a calculator is there from the start."""

    def compute(self, request: Request) -> Result:
        """The energy of a crystal, relaxed first if that was asked for.

        Raises:
            CrystalError: If a figure is not finite or the cell collapses while it relaxes.
        """
        atoms, sign = right_handed(request.atoms)
        before = _fractional(atoms)
        atoms.calc = self.calculator(atoms)
        started = time.perf_counter()
        start_energy = None if request.relaxation.mode == "none" else float(atoms.get_potential_energy())
        steps, converged = relax(atoms, request.relaxation)
        energy = float(atoms.get_potential_energy())
        forces, stress = _listed(atoms, "get_forces"), _listed(atoms, "get_stress")
        moved = request.relaxation.mode == "all"
        return Result(
            energy=energy,
            n_atoms=len(atoms),
            cell=(sign * atoms.cell.array).tolist(),
            shift=(sign * (_fractional(atoms) - before)).tolist() if moved else None,
            forces=forces,
            stress=stress,
            steps=steps,
            converged=converged,
            seconds=time.perf_counter() - started,
            start_energy=start_energy,
        )


class ImportedOracle(CalculatorOracle):
    """Any ASE calculator, by import path.

    Args:
        path: `module:Class`, or any callable that returns a calculator; the module may lie in the current folder.
        options: Keyword arguments for it, in JSON types.

    Raises:
        ConfigError: If it cannot be imported or made.
    """

    functional = "unknown"
    licence = "unknown"

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        module, _, attribute = path.partition(":")
        try:
            json.dumps(options, allow_nan=False)
        except (TypeError, ValueError):
            raise ConfigError(f"`options`: {path} takes finite numbers, texts and lists of them only") from None
        # The folder of an installed command is not where Python looks for modules; imports in the module may come late.
        if "" not in sys.path:
            sys.path.append("")
        try:
            self._make = getattr(importlib.import_module(module), attribute)
            self._calculator = self._make(**options)
        except Exception as error:  # anybody's module may raise anything
            detail = f"{type(error).__name__}: {error}"
            raise ConfigError(
                f"oracle {path} cannot be used ({detail}); give module:Class of an ASE calculator"
            ) from None
        if not hasattr(self._calculator, "get_potential_energy"):
            raise ConfigError(f"oracle {path} makes no ASE calculator; give module:Class of one")
        self.name = path
        self.version = _version_of(module)
        # Code that has no version may change between two runs; what it said before is not to be trusted.
        self.keeps_results = self.version != _UNKNOWN
        self.settings = dict(options)
        self.has_stress = "stress" in getattr(self._calculator, "implemented_properties", ["stress"])

    def calculator(self, atoms: Atoms) -> Any:
        """The calculator, the same for all."""
        return self._calculator

    def compute(self, request: Request) -> Result:
        """As for all calculators; one that failed is made anew, for what it kept of its failure may spoil the next."""
        try:
            return super().compute(request)
        except Exception:
            self._calculator = self._make(**self.settings)
            raise


def _fractional(atoms: Atoms) -> np.ndarray:
    frac: np.ndarray = np.linalg.solve(atoms.cell.array.T, atoms.positions.T).T
    return frac


def _listed(atoms: Atoms, property_of: str) -> list[Any] | None:
    """Forces or stress in JSON types, or None where the calculator has none."""
    try:
        values: list[Any] = np.asarray(getattr(atoms, property_of)(), dtype=np.float64).tolist()
    except (PropertyNotImplementedError, NotImplementedError):
        return None
    return values


def _version_of(module: str) -> str:
    """The version of the package of a module, or the digest of its source where it belongs to none."""
    package = module.partition(".")[0]
    try:
        return installed_version(packages_distributions().get(package, [package])[0])
    except PackageNotFoundError:
        source = getattr(importlib.import_module(module), "__file__", None)
        return f"source {hashlib.sha256(Path(source).read_bytes()).hexdigest()[:12]}" if source else _UNKNOWN
