"""What a CIF says of its sites: occupancy, disorder, species and labels."""

from __future__ import annotations

import math
from typing import Any

import gemmi
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from empnn.ase_atoms import OXIDATION_STATES, is_deuterium
from empnn.crystals import MAX_FRAC
from empnn.errors import CrystalError

FULL_OCCUPANCY = 1 - 1e-3
MAX_OCCUPANCY = 1.05
"""Above 1 by more than a refinement leaves it."""

LABELS = "labels"
"""The array that holds the labels of sites."""
NOT_GIVEN = (".", "?")


def check_site(site: gemmi.SmallStructure.Site) -> None:
    """Refuse a site that is partly occupied, of no element, or nowhere."""
    if not site.occ >= FULL_OCCUPANCY:
        raise CrystalError(
            f"site {site.label} has partial occupancy {site.occ:g}; order the structure before relaxing it"
        )
    if site.occ > MAX_OCCUPANCY:
        raise CrystalError(f"site {site.label} has occupancy {site.occ:g}, over 1; correct it")
    if site.element.atomic_number == 0:
        raise CrystalError(f"site {site.label} has unknown element {site.type_symbol!r}; replace it")
    if not all(map(math.isfinite, site.fract.tolist())):
        raise CrystalError(f"site {site.label} has no numeric coordinates; correct its position")
    if max(map(abs, site.fract.tolist())) > MAX_FRAC:
        raise CrystalError(f"site {site.label} lies over a million cells from the origin; correct its position")


def check_alternatives(block: gemmi.cif.Block) -> None:
    """Refuse sites of several disorder groups in one assembly, for only one group is there at a time."""
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


def _charge_suffix(charge: Any) -> str:
    if not is_whole(charge) or charge == 0:
        return ""
    return f"{abs(int(charge))}{'+' if charge > 0 else '-'}"


def is_whole(charge: Any) -> bool:
    """Whether a charge is a whole number, which is all that a symbol in CIF can say."""
    return isinstance(charge, int | float | np.number) and float(charge).is_integer()


def labels_of_sites(sites: list[gemmi.SmallStructure.Site]) -> list[str] | None:
    """The labels in one word each; None if they say no more than the elements and the order."""
    labels = ["_".join(site.label.split()) for site in sites]
    return labels if _says_more(labels, [site.element.atomic_number for site in sites]) else None


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
