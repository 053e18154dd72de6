"""Files of one crystal in other formats than CIF, in as many ways as there are."""

import gzip
import io
import json
import random
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from pymatgen.core import IStructure
from pymatgen.io.vasp import Poscar

from support.drafts import FrameDraft, PoscarDraft, frame_draft, poscar_draft, words
from support.rewriting.sources import Rewrite, Rewriting, Source


def _poscar(change: Callable[[PoscarDraft, random.Random], PoscarDraft | str]) -> Rewriting:
    def rewriting(source: Source, rng: random.Random) -> Rewrite:
        draft = poscar_draft(source.atoms)
        numbers = np.repeat([Atoms(symbol).numbers[0] for symbol in draft.symbols or []], draft.counts)
        crystal = draft.cell, draft.rows, numbers
        changed = change(draft, rng)
        return Rewrite("POSCAR", (changed if isinstance(changed, str) else changed.text()).encode(), crystal)

    return rewriting


def _cartesian(draft: PoscarDraft, rng: random.Random) -> PoscarDraft:
    return replace(draft, mode=rng.choice(("Cartesian", "cart", "K", "C")), rows=draft.rows @ draft.cell)


def _scaled(draft: PoscarDraft, rng: random.Random) -> PoscarDraft:
    """A factor, or the volume, for lattice and Cartesian coordinates alike."""
    if rng.random() < 0.5:
        draft = _cartesian(draft, rng)
    factor = rng.choice((2.0, 0.529177, 5.43, 10.0))
    volume = abs(float(np.linalg.det(draft.cell)))
    scale = rng.choice((f"{factor:.9f}", f"-{volume:.9f}"))
    rows = draft.rows if draft.mode == "Direct" else draft.rows / factor
    return replace(draft, scale=scale, cell=draft.cell / factor, rows=rows)


def _three_factors(draft: PoscarDraft, rng: random.Random) -> PoscarDraft:
    factors = np.array([2.0, 0.5, 1.25])
    return replace(draft, scale=" ".join(map(str, factors)), cell=draft.cell / factors)


def _selective(draft: PoscarDraft, rng: random.Random) -> PoscarDraft:
    flags = rng.choice((["T T T"], ["T T F", "F F F"], [".TRUE. .FALSE. T"], ["t f f"]))
    return replace(draft, flags=[rng.choice(flags) for _ in draft.rows])


def _apart(draft: PoscarDraft, rng: random.Random) -> PoscarDraft:
    """The atoms of an element in several runs."""
    named, counts = [], []
    for symbol, count in zip(draft.symbols or [], draft.counts, strict=True):
        first = rng.randint(1, count)
        named += [symbol] * (1 if first == count else 2)
        counts += [first] if first == count else [first, count - first]
    return replace(draft, symbols=named, counts=counts)


def _of_potentials(draft: PoscarDraft, rng: random.Random) -> PoscarDraft:
    mark = rng.choice(("_pv", "_sv", "/9f1ee8ac", "_GW"))
    return replace(draft, symbols=[f"{symbol}{mark}" for symbol in draft.symbols or []])


def _with_tail(draft: PoscarDraft, rng: random.Random) -> PoscarDraft:
    velocities = "\n" + "  0.1  -0.2  0.0\n" * len(draft.rows)
    return replace(draft, tail=rng.choice((velocities, "\n\n\n", f"Cartesian{velocities}")))


def _elsewhere(draft: PoscarDraft, rng: random.Random) -> PoscarDraft:
    return replace(draft, flags=None, rows=draft.rows + np.round(rng.uniform(-3, 3)))


def _vasp_4(draft: PoscarDraft, rng: random.Random) -> PoscarDraft:
    return replace(draft, comment=" ".join(draft.symbols or []), symbols=None)


def _poscar_by(source: Source, rng: random.Random) -> Rewrite:
    """As pymatgen and ASE write it."""
    if rng.random() < 0.5:
        return Rewrite("POSCAR", Poscar(source.structure).get_str(significant_figures=12).encode(), source.reading())
    text = io.StringIO()
    ase.io.write(text, source.atoms, format="vasp", direct=rng.random() < 0.5)
    return Rewrite("CONTCAR.vasp", text.getvalue().encode(), source.reading())


def _frame(change: Callable[[FrameDraft, Source, random.Random], FrameDraft | str]) -> Rewriting:
    def rewriting(source: Source, rng: random.Random) -> Rewrite:
        changed = change(frame_draft(source.atoms), source, rng)
        text = changed if isinstance(changed, str) else changed.text()
        return Rewrite("case.extxyz", text.encode(), source.reading())

    return rewriting


def _other_columns(draft: FrameDraft, source: Source, rng: random.Random) -> FrameDraft:
    count = len(draft)
    more = [
        ("forces", "R", words(np.full((count, 3), 0.25))),
        ("magmoms", "R", words(np.full((count, 1), -1.5))),
        ("tags", "I", [["1"]] * count),
        ("site", "S", [["a"]] * count),
        ("fixed", "L", [["T"]] * count),
    ]
    columns = [*draft.columns, *rng.sample(more, rng.randint(0, 3))]
    rng.shuffle(columns)
    keys = list(draft.keys.items())
    rng.shuffle(keys)
    return replace(draft, columns=columns, keys=dict(keys))


def _numbers_for_species(draft: FrameDraft, source: Source, rng: random.Random) -> FrameDraft:
    z = ("Z", "I", [[str(number)] for number in source.atoms.numbers])
    return replace(draft, columns=rng.sample([z, draft.columns[1]], 2))


def _other_lattice(draft: FrameDraft, source: Source, rng: random.Random) -> FrameDraft:
    rows = [", ".join(f"{x:.12g}" for x in row) for row in source.atoms.cell.array]
    flat = " ".join(rows).replace(",", "")
    forms = (f"[[{'], ['.join(rows)}]]", f"'{flat}'", f"{{{flat}}}", f'"[[{"],[".join(rows)}]]"')
    return replace(draft, keys={**draft.keys, "Lattice": rng.choice(forms)})


def _more_info(draft: FrameDraft, source: Source, rng: random.Random) -> FrameDraft:
    more = {
        "energy": "-3.25",
        "config_type": '"two words"',
        "grid": '"_JSON [[1, 2], [3, 4]]"',
        "flag": "F",
        "stress": rng.choice(('"0.1 0 0 0 0.1 0 0 0 0.1"', '"0.1 0.1 0.1 0 0 0"')),
        "virial": '"1 0 0 0 1 0 0 0 1"',
    }
    pbc = rng.choice(('"T T T"', "[T, T, T]", "T"))
    return replace(draft, keys={**draft.keys, **{k: more[k] for k in rng.sample(list(more), 3)}, "pbc": pbc})


def _bare_pbc(draft: FrameDraft, source: Source, rng: random.Random) -> str:
    return re.sub(r' pbc="T T T"', "", draft.text()).replace("\n", rng.choice(("\r\n", "\n")))


def _frame_by_ase(draft: FrameDraft, source: Source, rng: random.Random) -> str:
    text = io.StringIO()
    ase.io.write(text, source.atoms, format="extxyz")
    return text.getvalue()


def _json(of: Callable[[Source, random.Random], object], name: str = "case.json") -> Rewriting:
    def rewriting(source: Source, rng: random.Random) -> Rewrite:
        text = json.dumps(of(source, rng)).encode()
        return Rewrite(name, gzip.compress(text) if name.endswith(".gz") else text, source.reading())

    return rewriting


def _as_dict(source: Source, rng: random.Random) -> dict[str, object]:
    structure = source.structure.copy()
    if rng.random() < 0.3:
        structure.add_oxidation_state_by_element({element.symbol: 1 for element in structure.elements})
    if rng.random() < 0.3:
        structure.add_site_property("selective_dynamics", [[True, False, True], *[None] * (len(structure) - 1)])
    if rng.random() < 0.3:
        structure.add_site_property("magmom", [0.5] * len(structure))
    made = structure if rng.random() < 0.7 else IStructure.from_sites(list(structure))
    described: dict[str, object] = json.loads(made.to_json())
    return described


def _by_ase(name: str, form: str) -> Rewriting:
    def rewriting(source: Source, rng: random.Random) -> Rewrite:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            ase.io.write(path, source.atoms, format=form)
            return Rewrite(name, path.read_bytes(), source.reading())

    return rewriting


VALID: dict[str, Rewriting] = {
    "poscar: direct": _poscar(lambda draft, rng: replace(draft, mode=rng.choice(("Direct", "direct", "D")))),
    "poscar: Cartesian": _poscar(_cartesian),
    "poscar: factor or volume": _poscar(_scaled),
    "poscar: selective dynamics": _poscar(_selective),
    "poscar: elements in several runs": _poscar(_apart),
    "poscar: names of potentials": _poscar(_of_potentials),
    "poscar: velocities": _poscar(_with_tail),
    "poscar: coordinates in other cells": _poscar(_elsewhere),
    "poscar: Windows": _poscar(lambda draft, rng: draft.text().replace("\n", "\r\n")),
    "poscar: written by pymatgen or ASE": _poscar_by,
    "extxyz: plain": _frame(lambda draft, source, rng: draft),
    "extxyz: order of columns and keys": _frame(_other_columns),
    "extxyz: numbers for species": _frame(_numbers_for_species),
    "extxyz: other marks around the lattice": _frame(_other_lattice),
    "extxyz: info": _frame(_more_info),
    "extxyz: without pbc, Windows": _frame(_bare_pbc),
    "extxyz: written by ASE": _frame(_frame_by_ase),
    "json: a structure": _json(_as_dict),
    "json: rows": _json(lambda source, rng: [{"material_id": "a", "structure": _as_dict(source, rng)}]),
    "json: text in rows": _json(lambda source, rng: [{"id": 7, "structure": json.dumps(_as_dict(source, rng))}]),
    "json: compressed list": _json(lambda source, rng: [_as_dict(source, rng)], "case.json.gz"),
    "xsf": _by_ase("case.xsf", "xsf"),
    "res": _by_ase("case.res", "res"),
    "gen": _by_ase("case.gen", "gen"),
    "trajectory": _by_ase("case.traj", "traj"),
    "FHI-aims": _by_ase("geometry.in", "aims"),
}

DOUBTFUL: dict[str, Rewriting] = {
    "poscar: three factors": _poscar(_three_factors),
    "poscar: VASP 4, elements in the comment": _poscar(_vasp_4),
}
