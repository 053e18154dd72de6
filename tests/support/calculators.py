"""Calculators that need no extra, some of which misbehave, and crystals for them."""

import ctypes
import os
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from empnn.data.records import Record
from empnn.energy.answers import Choice
from empnn.energy.oracle import OracleRelaxation
from empnn.energy.run import Job

EMT_PATH = "ase.calculators.emt:EMT"
CELL = OracleRelaxation(mode="cell")


def strained_copper(seed: int = 0, sigma: float = 0.05) -> Atoms:
    """Conventional copper (four atoms), strained."""
    atoms = bulk("Cu", "fcc", 3.61, cubic=True)
    noise = np.random.default_rng(seed).normal(0, sigma, (3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + noise), scale_atoms=True)
    return atoms


def records(*crystals: Atoms) -> list[Record]:
    """Crystals as if they had been read."""
    return [Record(file="in.extxyz", index=i, id=f"c-{i}", atoms=atoms) for i, atoms in enumerate(crystals)]


def job(path: str = EMT_PATH, relaxation: OracleRelaxation | None = None, **settings: object) -> Job:
    """A job for a calculator."""
    options = settings.pop("options", {})
    return Job(choice=Choice(path, options), relaxation=relaxation or OracleRelaxation(), **settings)


class Counting(EMT):
    """Notes every energy it computes in a file."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file

    def calculate(self, *arguments: object, **options: object) -> None:
        with Path(self._file).open("a") as handle:
            handle.write("computed\n")
        super().calculate(*arguments, **options)


class DiesOfGold(EMT):
    """Ends its process when it meets gold."""

    def calculate(self, atoms: Atoms, *arguments: object, **options: object) -> None:
        if 79 in atoms.numbers:
            os._exit(9)
        super().calculate(atoms, *arguments, **options)


class InterruptedBySilver(EMT):
    """Ctrl-C while silver is computed."""

    def calculate(self, atoms: Atoms, *arguments: object, **options: object) -> None:
        if 47 in atoms.numbers:
            raise KeyboardInterrupt
        super().calculate(atoms, *arguments, **options)


class EnergyOnly(Calculator):
    """Prints, and knows neither forces nor stress."""

    implemented_properties = ["energy"]  # noqa: RUF012

    def calculate(self, atoms: Atoms, properties: object, changes: object) -> None:
        super().calculate(atoms, properties, changes)
        print("computing")  # noqa: T201
        ctypes.CDLL(None).puts(b"computing in C")
        self.results = {"energy": float("nan") if 78 in atoms.numbers else -2.0 * len(atoms)}


class Collapsing(Calculator):
    """The smaller the better."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def calculate(self, atoms: Atoms, properties: object, changes: object) -> None:
        super().calculate(atoms, properties, changes)
        stress = np.array([1.0, 1, 1, 0, 0, 0])
        self.results = {"energy": atoms.get_volume(), "forces": np.zeros((len(atoms), 3)), "stress": stress}
