"""Crystals to be written down, and what comes of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from support.readings import Reading
from support.settings import Setting, settings


class Rewrite(NamedTuple):
    """A file, and the crystal in it.

    Attributes:
        name: What the file is called.
        content: Its bytes.
        crystal: Cell, fractional coordinates and atomic numbers.
    """

    name: str
    content: bytes
    crystal: Reading


@dataclass(frozen=True, eq=False)
class Source:
    """A crystal to be written down.

    Attributes:
        atoms: It, as it came.
    """

    atoms: Atoms

    @cached_property
    def settings(self) -> list[Setting]:
        """It in all settings of its space group."""
        return settings(self.atoms)

    @cached_property
    def structure(self) -> Structure:
        """It for pymatgen."""
        return AseAtomsAdaptor.get_structure(self.atoms)

    def reading(self) -> Reading:
        """Cell, fractional coordinates and numbers as they came."""
        return self.atoms.cell.array, self.atoms.get_scaled_positions(wrap=False), self.atoms.numbers


Rewriting = Callable[[Source, random.Random], Rewrite | None]
"""Writes a crystal down; None where it has no such setting."""
