"""LAMMPS's files of data, whose types are numbers."""

import random
from collections.abc import Sequence

from ase.data import atomic_masses

from support.rewriting.sources import Source
from support.semantics.changes import Change, Changed


def lammps(source: Source, rng: random.Random) -> Changed:
    """LAMMPS's numbered types, whose elements only the masses tell."""
    atoms = source.atoms
    cell, rotation = atoms.cell.standard_form()
    kinds = list(dict.fromkeys(atoms.numbers.tolist()))
    (xx, _, _), (xy, yy, _), (xz, yz, zz) = cell.tolist()
    types = [kinds.index(number) + 1 for number in atoms.numbers.tolist()]
    places = [" ".join(f"{x:.9f}" for x in place) for place in (atoms.positions @ rotation.T).tolist()]
    rows = [f"{i + 1} {kind} {place}" for i, (kind, place) in enumerate(zip(types, places, strict=True))]
    told = [f"{i + 1} {atomic_masses[kind]:.4f}" for i, kind in enumerate(kinds)]
    ones = [f"{i + 1} 1.0" for i in range(len(kinds))]
    masses = rng.choice((["Masses", "", *told, ""], ["Masses", "", *ones, ""], []))
    head = ["LAMMPS data file", "", f"{len(atoms)} atoms", f"{len(kinds)} atom types", "", f"0 {xx:.9f} xlo xhi"]
    box = [f"0 {yy:.9f} ylo yhi", f"0 {zz:.9f} zlo zhi", f"{xy:.9f} {xz:.9f} {yz:.9f} xy xz yz", ""]
    return "\n".join([*head, *box, *masses, "Atoms # atomic", "", *rows]) + "\n", (source.reading(),)


CHANGES: Sequence[Change] = (lammps,)
