"""Files that no longer say what they said, in every format: each with what may be read of it without a doubt."""

import random
from collections.abc import Sequence

from support.fuzzing import Case
from support.rewriting.sources import Source
from support.semantics import cif, extxyz, lammps, poscar, pymatgen_json
from support.semantics.changes import Change

CHANGES: dict[str, Sequence[Change]] = {
    "cif": cif.CHANGES,
    "poscar": poscar.CHANGES,
    "extxyz": extxyz.CHANGES,
    "json": pymatgen_json.CHANGES,
    "lammps": lammps.CHANGES,
}
_SHARES = {"cif": 8, "poscar": 4, "extxyz": 4, "json": 3, "lammps": 1}


def case(sources: Sequence[Source], seed: int, number: int) -> Case:
    """The case of this number."""
    rng = random.Random(f"semantics/{seed}/{number}")  # noqa: S311
    source = rng.choice(sources)
    (kind,) = rng.choices(list(_SHARES), list(_SHARES.values()))
    change = rng.choice(CHANGES[kind])
    text, right = change(source, rng)
    return Case(number, kind, text.encode("utf-8", "surrogatepass"), (change.__name__,), right)
