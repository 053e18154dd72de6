"""Valid files of one crystal in as many ways as there are: each must be read, and be that crystal."""

import gzip
import io
import json
import random
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import ase.io
import numpy as np
from ase import Atoms
from pymatgen.core import IStructure, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from support.drafts import CifDraft, FrameDraft, PoscarDraft, cif_draft, frame_draft, poscar_draft, symbols, words
from support.readings import Reading
from support.settings import Setting, of_number, operations, settings


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


def _of_setting(setting: Setting) -> Reading:
    return setting.cell, setting.frac, setting.numbers


def _any(source: Source, rng: random.Random, fits: Callable[[Setting], bool] = lambda one: True) -> Setting | None:
    fitting = [one for one in source.settings if fits(one)]
    return rng.choice(fitting) if fitting else None


def _cif(
    told_by: str,
    change: Callable[[CifDraft, Setting, random.Random], CifDraft | str] = lambda draft, setting, rng: draft,
    fits: Callable[[Setting], bool] = lambda one: True,
    digits: int = 8,
) -> Rewriting:
    def rewriting(source: Source, rng: random.Random) -> Rewrite | None:
        setting = _any(source, rng, fits)
        if setting is None:
            return None
        changed = change(cif_draft(setting, told_by, digits), setting, rng)
        text = changed if isinstance(changed, str) else changed.text(rng)
        return Rewrite("case.cif", text.encode(), _of_setting(setting))

    return rewriting


def _named(setting: Setting) -> bool:
    return setting.group.named_by_name


def _only(setting: Setting) -> bool:
    return len(of_number(setting.group.number)) == 1


def _with_name(*spellings: Callable[[str], str]) -> Callable[[CifDraft, Setting, random.Random], CifDraft]:
    def change(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
        tag = "_space_group_name_H-M_alt"
        name, colon, suffix = draft.tags[tag].partition(":")
        return replace(draft, tags={**draft.tags, tag: rng.choice(spellings)(name) + colon + suffix})

    return change


def _short_name(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    return _with_name(lambda name: setting.group.names[-1])(draft, setting, rng)


def _suffix(letters: dict[str, str]) -> Callable[[CifDraft, Setting, random.Random], CifDraft]:
    def change(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
        name = f"{setting.group.names[0]}{letters[setting.group.origin_or_axes]}"
        return replace(draft, tags={**draft.tags, "_space_group_name_H-M_alt": name})

    return change


def _name_beside_code(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    return replace(draft, tags={**draft.tags, "_space_group_name_H-M_alt": setting.group.names[0]})


def _other_operators(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    """The same operations in other words and in any order."""
    rewritten = [_respelled(text, rng) for text in draft.operators or []]
    rng.shuffle(rewritten)
    return replace(draft, operators=rewritten, modern=rng.random() < 0.5)


def _respelled(operator: str, rng: random.Random) -> str:
    style = rng.choice(("shift first", "capitals", "decimals", "plus", "close"))
    parts = operator.split(", ")
    if style == "shift first":
        parts = [re.sub(r"(.+)\+(\d/\d)", r"\2+\1", part).replace("+-", "-") for part in parts]
    if style == "capitals":
        parts = [part.upper() for part in parts]
    if style == "decimals":
        parts = [re.sub(r"(\d)/(\d)", lambda found: f"{int(found[1]) / int(found[2]):.6g}", part) for part in parts]
    if style == "plus":
        parts = [part if part.startswith("-") else f"+{part}" for part in parts]
    return ",".join(parts) if style == "close" else ", ".join(parts)


def _all_atoms(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    """All atoms of the cell, in any order, in P 1."""
    whole = cif_draft(replace(setting, sites=rng.sample(range(len(setting.frac)), len(setting.frac))), "operators")
    return replace(whole, operators=rng.choice((["x, y, z"], None)), tags={"_space_group_name_H-M_alt": "P 1"})


def _all_atoms_and_operators(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    return cif_draft(replace(setting, sites=list(range(len(setting.frac)))), "operators")


def _other_representatives(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    """Other atoms of the orbits, in other cells, the orbits in any order."""
    moved, frac = [], setting.frac.copy()
    rotations, translations = operations(setting.group.hall)
    for site in rng.sample(setting.sites, len(setting.sites)):
        which = rng.randrange(len(rotations))
        frac[site] = rotations[which] @ setting.frac[site] + translations[which] + rng.randint(-1, 1)
        moved.append(site)
    return replace(cif_draft(replace(setting, frac=frac, sites=moved), "operators"), tags=draft.tags)


def _uncertain(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    cell = [
        value if value in ("90", "120", "60") else f"{float(value):.4f}({rng.randint(1, 19)})" for value in draft.cell
    ]
    sites = {
        name: [f"{float(x):.5f}({rng.randint(1, 9)})" if float(x) * 24 % 1 else x for x in column]
        if name.startswith("fract")
        else column
        for name, column in draft.sites.items()
    }
    return replace(draft, cell=cell, sites=sites)


def _labels_only(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    return replace(draft, sites={k: v for k, v in draft.sites.items() if k not in ("type_symbol", "occupancy")})


def _charged(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    charge = rng.choice(("2+", "3-", "1+", "+2", "-1"))
    return replace(draft, sites={**draft.sites, "type_symbol": [f"{s}{charge}" for s in draft.sites["type_symbol"]]})


def _more_columns(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    count = len(draft.sites["label"])
    more = {
        "U_iso_or_equiv": "0.0123(4)",
        "adp_type": "Uani",
        "calc_flag": "d",
        "refinement_flags": ".",
        "disorder_assembly": ".",
        "disorder_group": ".",
        "attached_hydrogens": "0",
    }
    return replace(draft, sites={**draft.sites, **{name: [value] * count for name, value in more.items()}})


def _around(draft: CifDraft, setting: Setting, rng: random.Random) -> str:
    """The block among others, with text fields, comments and loops of other things."""
    text = draft.text(rng)
    more = "_publ_section_title\n;\ndata_not_a_block\nloop_ of 'quotes'\n;\n_publ_author_name \"O'Neil, J.\"\n"
    labels = draft.sites["label"]
    aniso = "loop_\n_atom_site_aniso_label\n_atom_site_aniso_U_11\n" + "".join(f"{x} 0.01(2)\n" for x in labels)
    first = "# written by hand\ndata_global\n_journal_name_full 'Some Journal'\n\n"
    return first + text.replace("data_draft\n", f"data_draft # a comment\n{more}{aniso}")


def _by_pymatgen(source: Source, rng: random.Random) -> Rewrite | None:
    setting = _any(source, rng, lambda one: one.group == source.settings[0].group)
    if setting is None:
        return None
    structure = Structure(setting.cell, symbols(setting.numbers), setting.frac)
    writer = CifWriter(structure, symprec=rng.choice((None, 0.01)), refine_struct=False)
    return Rewrite("case.cif", str(writer).encode(), _of_setting(setting))


def _cif_by_ase(source: Source, rng: random.Random) -> Rewrite:
    text = io.BytesIO()
    ase.io.write(text, source.atoms, format="cif")
    return Rewrite("case.cif", text.getvalue(), source.reading())


def _other_basis(source: Source, rng: random.Random) -> Rewrite:
    """All atoms in another basis of the lattice, right-handed."""
    basis = np.eye(3)
    for _ in range(rng.randint(1, 4)):
        first, second = rng.sample(range(3), 2)
        shear = np.eye(3)
        shear[first, second] = rng.choice((-1, 1))
        basis = shear @ basis
    cell, frac, numbers = source.reading()
    moved = basis @ cell, frac @ np.linalg.inv(basis) % 1, numbers
    setting = Setting(source.settings[0].group, *moved, list(range(len(numbers))))
    draft = replace(cif_draft(setting, "operators", 10), operators=["x, y, z"])
    return Rewrite("case.cif", draft.text(rng).encode(), moved)


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


_SPACED_OUT = (lambda name: name.replace(" ", ""), lambda name: re.sub(r"\b([2-6])([1-5])", r"\1_\2", name))
_PARENTHESES = (lambda name: re.sub(r"\b([2-6])([1-5])", r"\1(\2)", name), lambda name: name.lower())

VALID: dict[str, Rewriting] = {
    "cif: operators, any setting": _cif("operators"),
    "cif: operators, name and number": _cif("all"),
    "cif: operators in other words and order": _cif("operators", _other_operators),
    "cif: operators, other atoms of the orbits": _cif("all", _other_representatives),
    "cif: name of the setting": _cif("name", fits=_named),
    "cif: name without spaces, or with 2_1": _cif("name", _with_name(*_SPACED_OUT), _named),
    "cif: short monoclinic name": _cif("name", _short_name, lambda one: 3 <= one.group.number <= 15),
    "cif: cubic name without the bar": _cif(
        "name", _with_name(lambda name: name.replace("-3", "3")), lambda one: one.group.number >= 195
    ),
    "cif: Hall's symbol": _cif("hall"),
    "cif: number and code of the coordinate system": _cif("code", fits=lambda one: bool(one.group.code)),
    "cif: name and code of the coordinate system": _cif(
        "code", _name_beside_code, lambda one: bool(one.group.origin_or_axes)
    ),
    "cif: name with S or Z, as ICSD has it": _cif(
        "name", _suffix({"1": " S", "2": " Z"}), lambda one: one.group.choice in ("1", "2")
    ),
    "cif: name with H or R, as ICSD has it": _cif(
        "name", _suffix({"H": " H", "R": " R"}), lambda one: one.group.choice in ("H", "R")
    ),
    "cif: number of a group of one setting": _cif("number", fits=_only),
    "cif: all atoms, P 1": _cif("operators", _all_atoms),
    "cif: all atoms, another basis": _other_basis,
    "cif: uncertainties": _cif("operators", _uncertain),
    "cif: four decimals": _cif("operators", digits=4),
    "cif: labels for symbols": _cif("operators", _labels_only),
    "cif: charges": _cif("operators", _charged),
    "cif: more columns": _cif("operators", _more_columns),
    "cif: among other things": _cif("all", _around),
    "cif: older tags": _cif("operators", lambda draft, setting, rng: replace(draft, modern=False)),
    "cif: written by pymatgen": _by_pymatgen,
    "cif: written by ASE": _cif_by_ase,
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
"""What must be read, and right."""

DOUBTFUL: dict[str, Rewriting] = {
    "cif: number alone, usual axes, any origin": _cif(
        "number", fits=lambda one: not _only(one) and one.group.choice in ("", "b", "b1", "1", "2", "H", "R")
    ),
    "cif: name with 2(1), or in small letters": _cif("name", _with_name(*_PARENTHESES), _named),
    "cif: all atoms and all operators": _cif("operators", _all_atoms_and_operators),
    "cif: tags with dots": _cif("operators", lambda draft, setting, rng: replace(draft, dotted=True)),
    "poscar: three factors": _poscar(_three_factors),
    "poscar: VASP 4, elements in the comment": _poscar(_vasp_4),
}
"""What may be refused or doubted, but never be read as another crystal."""
