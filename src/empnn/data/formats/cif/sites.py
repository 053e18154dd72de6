"""What a CIF says of its sites: occupancy, disorder, species and labels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import gemmi
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from empnn.ase_atoms import OXIDATION_STATES, is_deuterium
from empnn.crystals import MAX_FRAC
from empnn.data.formats.cif.formula import SYMBOLS, stated_elements
from empnn.errors import CrystalError

FULL_OCCUPANCY = 1 - 1e-3
MAX_OCCUPANCY = 1.05
"""Above 1 by more than a refinement leaves it."""

LABELS = "labels"
"""The array that holds the labels of sites."""
NOT_GIVEN = (".", "?")

_TYPE = re.compile(r"([A-Za-z]{1,2})(\d+\.?\d*|\.\d+|)(\++|-+|)(\d+\.?\d*|\.\d+|)(?:\(SDS\))?")
"""A symbol with a charge in one of the ways it is written: Mg2+, Mg+2, Mg++. (SDS) tells of a scattering factor."""
_MINUS = str.maketrans("\u2212\u2013", "--")
_LABEL = re.compile(r"([A-Za-z]+)(.*)", re.DOTALL)
_SHARES = re.compile(r"0?\.\d|.*([,/&]|\.\d*[A-Z])", re.DOTALL)
"""What makes a label one of several elements, or of a part of one: Fe0.5, Fe/Ni, C0.5N0.5."""
_WATER = re.compile("[HD][23]O")
_OF_GROUPS = frozenset("CHNOP")
"""Letters of CO, NO3, NH4, PO4, which are no Co, No, Nh, Po."""


class Species(NamedTuple):
    """An element, D for deuterium, and its oxidation state."""

    symbol: str
    charge: float = 0.0

    @property
    def number(self) -> int:
        """Atomic number."""
        return int(atomic_numbers["H" if self.symbol == "D" else self.symbol])


def species_of_sites(block: gemmi.cif.Block, sites: Sequence[gemmi.SmallStructure.Site]) -> list[Species]:
    """The species of each site: that of its whole type symbol or, where there is none, that its label begins with.

    Raises:
        CrystalError: If a site is of no element, or of several.
    """
    stated = stated_elements(block)
    rows = block.find("_atom_type_", ["symbol", "oxidation_number"])
    states = {row.str(0): gemmi.cif.as_number(row[1], 0.0) for row in rows}
    has_types = len(block.find_values("_atom_site_type_symbol")) > 0
    found = []
    for site in sites:
        # Where there is no column of type symbols, gemmi takes the label for one.
        kind, label = site.type_symbol or site.label, site.label or site.type_symbol
        species = _of_type(kind, label, stated) if has_types else None
        if species is None and kind == label:
            species = _of_label(label, stated)
        if species is None:
            raise CrystalError(f"site {label} {_without_species(kind)}")
        charge = states.get(kind) or species.charge or states.get(species.symbol, 0.0)
        found.append(Species(species.symbol, charge))
    return found


def _of_type(text: str, label: str, stated: frozenset[str]) -> Species | None:
    """The species of a type symbol; digits without a sign are those of a label, which must name the same element."""
    found = _TYPE.fullmatch("".join(text.translate(_MINUS).split()))
    if found is None:
        return None
    letters, before, sign, after = found.groups()
    symbol = _element(letters, stated)
    if symbol is None or (before and after):
        return None
    if before and not sign:
        named = _of_label(label, stated)
        return named if before.isdigit() and named is not None and named.symbol == symbol else None
    size = float(before or after or len(sign)) if sign else 0.0
    return Species(symbol, -size if "-" in sign else size)


def _of_label(label: str, stated: frozenset[str]) -> Species | None:
    """The species that a label begins with, as FE1, Fe1A, Fe(1) and Fe3+ do.

    Letters that are no element, as in SiT1, MgM2 and OW, stand for the only one of the formula that is among them.
    """
    if label.endswith(("+", "-")) and (charged := _of_type(label, "", stated)):
        return charged
    found = _LABEL.fullmatch(label)
    if found is None or _WATER.match(label) or _SHARES.match(found[2]) or _symbols(found[2], "[A-Z][a-z]"):
        return None
    letters: str = found[1]
    if symbol := _element(letters, stated):
        return Species(symbol)
    named = _symbols(letters, "[A-Z][a-z]*") & stated
    if letters.isupper():
        named |= stated.intersection(letters[i : i + 2].capitalize() for i in range(len(letters)))
    return Species(min(named)) if len(named) == 1 else None


def _element(letters: str, stated: frozenset[str]) -> str | None:
    """The element of these letters, all of them. Two capitals must be in the formula or, without one, be no group."""
    symbol = letters.capitalize()
    if symbol not in SYMBOLS or (stated and letters != symbol and symbol not in stated):
        return None
    is_group = len(letters) == 2 and letters.isupper() and _OF_GROUPS.issuperset(letters)
    return None if is_group and not stated else symbol


def _symbols(text: str, pattern: str) -> frozenset[str]:
    return SYMBOLS.intersection(re.findall(pattern, text))


def _without_species(kind: str) -> str:
    named = sorted(_symbols(kind, "[A-Z][a-z]?"))
    if len(named) > 1:
        several = f"is disordered, or a group of atoms: {kind!r} names {', '.join(named)}"
        return f"{several}; order the structure, and list each atom with its _atom_site_type_symbol"
    return f"has unknown element {kind!r}; replace it by one element, and order the structure first if it is disordered"


def check_site(site: gemmi.SmallStructure.Site) -> None:
    """Refuse a site that is partly occupied or nowhere."""
    if not site.occ >= FULL_OCCUPANCY:
        raise CrystalError(
            f"site {site.label} has partial occupancy {site.occ:g}; order the structure before relaxing it"
        )
    if site.occ > MAX_OCCUPANCY:
        raise CrystalError(f"site {site.label} has occupancy {site.occ:g}, over 1; correct it")
    if not all(map(math.isfinite, site.fract.tolist())):
        raise CrystalError(f"site {site.label} has no numeric coordinates; correct its position")
    if max(map(abs, site.fract.tolist())) > MAX_FRAC:
        raise CrystalError(f"site {site.label} lies over a million cells from the origin; correct its position")


def attached_hydrogens(block: gemmi.cif.Block, of_atoms: list[int]) -> float:
    """Hydrogen atoms that are said to be attached to the sites of these atoms, and have no coordinates."""
    column = [gemmi.cif.as_number(text, 0.0) for text in block.find_values("_atom_site_attached_hydrogens")]
    return sum((column[site] for site in of_atoms if site < len(column)), 0.0)


def charges_of(kinds: Sequence[Species]) -> np.ndarray:
    """Oxidation states of species, as whole numbers if they are."""
    charges = np.array([kind.charge for kind in kinds])
    return charges.astype(int) if np.array_equal(charges, charges.round()) else charges


def check_alternatives(block: gemmi.cif.Block) -> None:
    """Refuse dummies, and sites of several disorder groups in one assembly, of which one is there at a time."""
    for row in block.find("_atom_site_", ["calc_flag", "?label"]):
        if row.str(0).lower() == "dum":
            label = row.str(1) if row.has(1) else row.row_index
            raise CrystalError(f"site {label} is a dummy (_atom_site_calc_flag dum), which is no atom; remove it")
    groups: dict[str, str] = {}
    for row in block.find("_atom_site_", ["disorder_group", "?disorder_assembly", "?label"]):
        group, assembly = row[0], row[1] if row.has(1) and row[1] not in NOT_GIVEN else ""
        if group not in NOT_GIVEN and groups.setdefault(assembly, group) != group:
            label = row.str(2) if row.has(2) else row.row_index
            raise CrystalError(
                f"site {label} is in disorder group {group}, others are in {groups[assembly]}; "
                "order the structure before relaxing it"
            )


def species(atoms: Atoms, symbols: list[str]) -> list[str]:
    """Symbols with whole oxidation states, and D for deuterium."""
    heavy = is_deuterium(atoms)
    if not heavy.any() and OXIDATION_STATES not in atoms.arrays:
        return symbols
    charges = atoms.arrays.get(OXIDATION_STATES, np.zeros(len(atoms)))
    names = ["D" if is_heavy else symbol for symbol, is_heavy in zip(symbols, heavy, strict=True)]
    return [name + _charge_suffix(charge) for name, charge in zip(names, charges, strict=True)]


def states_to_write(atoms: Atoms, kinds: list[str]) -> dict[str, int]:
    """Oxidation states by symbol, for readers that do not take them from it; none if they are not whole, or all 0."""
    charges = atoms.arrays.get(OXIDATION_STATES, np.zeros(1)).tolist()
    if not all(map(is_whole, charges)) or not any(charges):
        return {}
    return {kind: int(charge) for kind, charge in zip(kinds, charges, strict=True)}


def _charge_suffix(charge: Any) -> str:
    if not is_whole(charge) or charge == 0:
        return ""
    return f"{abs(int(charge))}{'+' if charge > 0 else '-'}"


def is_whole(charge: Any) -> bool:
    """Whether a charge is a whole number, which is all that a symbol in CIF can say."""
    return isinstance(charge, int | float | np.number) and float(charge).is_integer()


def labels_of_sites(sites: Sequence[gemmi.SmallStructure.Site], numbers: list[int]) -> list[str] | None:
    """The labels in one word each; None if they say no more than the elements (by number) and the order."""
    labels = ["_".join(site.label.split()) for site in sites]
    return labels if _says_more(labels, numbers) else None


def labels_to_write(atoms: Atoms) -> list[str] | None:
    """The labels of the atoms if they can stand for themselves in a CIF: all different, and found by the reader."""
    labels = atoms.arrays[LABELS].tolist() if LABELS in atoms.arrays else []
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(atoms):
        return None
    return labels if _says_more(labels, atoms.numbers.tolist()) else None


def _says_more(labels: list[str], numbers: list[int]) -> bool:
    symbols = [chemical_symbols[number] for number in numbers]
    usual = [
        label in (symbol, f"{symbol}{index}") for index, (label, symbol) in enumerate(zip(labels, symbols, strict=True))
    ]
    return not all(usual) and all(label.split() == [label] for label in labels)
