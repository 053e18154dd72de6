"""CIFs of one crystal in as many ways as there are."""

import io
import random
import re
from collections.abc import Callable
from dataclasses import replace

import ase.io
import numpy as np
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from support.drafts import CifDraft, cif_draft, symbols
from support.readings import Reading
from support.rewriting.sources import Rewrite, Rewriting, Source
from support.settings import Setting, of_number, operations

_BEFORE_1992 = {39: "A b m 2", 41: "A b a 2", 64: "C m c a", 67: "C m m a", 68: "C c c a"}
_SPACED_OUT = (lambda name: name.replace(" ", ""), lambda name: re.sub(r"\b([2-6])([1-5])", r"\1_\2", name))
_PARENTHESES = (lambda name: re.sub(r"\b([2-6])([1-5])", r"\1(\2)", name), lambda name: name.lower())


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


def _last_name(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    return _with_name(lambda name: setting.group.names[-1])(draft, setting, rng)


def _older_name(draft: CifDraft, setting: Setting, rng: random.Random) -> CifDraft:
    return _with_name(lambda name: _BEFORE_1992[setting.group.number])(draft, setting, rng)


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


def _magnetic(draft: CifDraft, setting: Setting, rng: random.Random) -> str:
    """Operators with a time that none of them reverses, under the tags of magnetic structures."""
    timed = replace(draft, operators=[f"{text}, +1" for text in draft.operators or []])
    return timed.text(rng).replace("_space_group_symop_operation_xyz", "_space_group_symop_magn_operation.xyz")


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


def _csv(source: Source, rng: random.Random) -> Rewrite | None:
    setting = _any(source, rng)
    if setting is None:
        return None
    text = cif_draft(setting, rng.choice(("operators", "all", "hall"))).text(rng).replace('"', '""')
    return Rewrite("case.csv", f'material_id,cif\n1,"{text}"\n'.encode(), _of_setting(setting))


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


VALID: dict[str, Rewriting] = {
    "cif: operators, any setting": _cif("operators"),
    "cif: operators, name and number": _cif("all"),
    "cif: operators in other words and order": _cif("operators", _other_operators),
    "cif: operators, other atoms of the orbits": _cif("all", _other_representatives),
    "cif: name of the setting": _cif("name", fits=_named),
    "cif: name without spaces, or with 2_1": _cif("name", _with_name(*_SPACED_OUT), _named),
    "cif: short monoclinic name": _cif("name", _last_name, lambda one: 3 <= one.group.number <= 15),
    "cif: name in full": _cif("name", _last_name, lambda one: _named(one) and one.group.number > 15),
    "cif: name as it was before 1992": _cif(
        "name", _older_name, lambda one: one.group.number in _BEFORE_1992 and one.group.choice in ("", "1", "2")
    ),
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
    "cif: magnetic operators": _cif("operators", _magnetic),
    "cif: among other things": _cif("all", _around),
    "cif: older tags": _cif("operators", lambda draft, setting, rng: replace(draft, modern=False)),
    "cif: tags with dots": _cif("all", lambda draft, setting, rng: replace(draft, dotted=True)),
    "cif: written by pymatgen": _by_pymatgen,
    "cif: written by ASE": _cif_by_ase,
    "csv: a column of CIFs": _csv,
}

DOUBTFUL: dict[str, Rewriting] = {
    "cif: number alone, usual axes, any origin": _cif(
        "number", fits=lambda one: not _only(one) and one.group.choice in ("", "b", "b1", "1", "2", "H", "R")
    ),
    "cif: name with 2(1), or in small letters": _cif("name", _with_name(*_PARENTHESES), _named),
    "cif: all atoms and all operators": _cif("operators", _all_atoms_and_operators),
}
