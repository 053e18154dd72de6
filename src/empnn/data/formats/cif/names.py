"""Names of CIF data blocks: printable, and different throughout a file, where capitals count as small letters."""

from __future__ import annotations

import re

import gemmi

UNNAMED = "structure"
_NOT_IN_NAMES = re.compile(r"[^!-~]+")
_TEXT_OR_NAME = re.compile(r"^;.*?^;|^data_(\S+)", re.MULTILINE | re.DOTALL)
_SAYS_NOTHING = re.compile(rf"|{UNNAMED}(_\d+)?|image\d+|VESTA_phase_\d+|findsym-output|global|publ", re.IGNORECASE)
"""What programs call a block whatever is in it: our own, ASE, VESTA, FINDSYM, and journals."""


def block_name(identifier: str) -> str:
    """A name for the block of a structure; CIF allows ASCII without spaces."""
    return _NOT_IN_NAMES.sub("_", identifier.strip()) or UNNAMED


def says_nothing(block: gemmi.cif.Block) -> bool:
    """Whether programs give the name of a block to any, or to any of this formula (pymatgen)."""
    name: str = block.name
    formula = block.find_value("_chemical_formula_structural")
    of_formula = formula is not None and gemmi.cif.as_string(formula) == name
    return of_formula or _SAYS_NOTHING.fullmatch(name) is not None


class BlockNames:
    """The names given so far in a file.

    Their hashes are kept, which take under 100 bytes each: where two names share one, a number is added needlessly.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._blocks = 0

    def unique(self, name: str) -> str:
        """The name of the next block; with a number, its position if possible, where it is taken or says nothing."""
        unique, number = name, self._blocks
        while unique == UNNAMED or hash(unique.lower()) in self._taken:
            unique = f"{name}_{number}"
            number += 1
        self._taken.add(hash(unique.lower()))
        self._blocks += 1
        return unique

    def renamed(self, text: str) -> str:
        """CIF text with unique names for its blocks, which come next in the file."""
        return _TEXT_OR_NAME.sub(lambda found: f"data_{self.unique(found[1])}" if found[1] else found[0], text)
