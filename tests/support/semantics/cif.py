"""CIFs that no longer say what they said: each with the crystals that may be read of it without a doubt."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from support import book
from support.drafts import CifDraft, cif_draft
from support.readings import Reading
from support.rewriting.sources import Source
from support.semantics.changes import Change, Changed, by
from support.settings import Group, Setting, of_number, table

_NAME, _NUMBER, _CODE = "_space_group_name_H-M_alt", "_space_group_IT_number", "_space_group_IT_coordinate_system_code"
_HALL, _FORMULA, _Z = "_space_group_name_Hall", "_chemical_formula_sum", "_cell_formula_units_Z"
_OLD_NAME = "_symmetry_space_group_name_H-M"
_MIXED = ("{0}{1}", "{0}/{1}", "({0},{1})", "{0}0.5{1}0.5", "{0}1{1}1", "{0},{1}", "{0}-{1}", "{0}2{1}", "{1}{0}H2")
_GROUPS = ("H2O", "OH", "NH4", "CO3", "Wat", "OW", "Vac", "M", "X", "Q", "Xx", "Mixed", "CH3", "PO4", "T", "Dummy", "?")
_LABELS = ("{0}1", "{0}_a", "{0}(1)", "{0}+", "{0}2+", "{0}+2", "{0}1+", "{0}A", "{0}'", "{0}3a", "{0}*")
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda name: re.sub(r"\b([2-6])([1-5])", r"\1(\2)", name).replace(" ", ""),
    lambda name: re.sub(r"\b([2-6])([1-5])", r"\1 \2", name),
    lambda name: name.lower(),
    lambda name: name.upper(),
    lambda name: name.replace(" ", "_"),
    lambda name: name.replace("-", "\N{MINUS SIGN}"),
    lambda name: re.sub(r"-(\d)", r"\1bar", name),
    lambda name: re.sub(r"-(\d)", r"\\bar{\1}", name),
    lambda name: re.sub(r"\b([2-6])([1-5])", r"\1<sub>\2</sub>", name),
    lambda name: name.replace("-", ""),
    lambda name: name.replace(" ", ""),
    lambda name: f"{name} (No. 1)",
    lambda name: f"{name}.",
    lambda name: name.replace(" 1", ""),
    lambda name: re.sub(r"(\d)/", r"\1 / ", name),
    lambda name: f"{name}1'",
    lambda name: name[:-1],
)


def _drawn(source: Source, rng: random.Random, *told_by: str) -> tuple[CifDraft, Setting]:
    setting = rng.choice(source.settings)
    return cif_draft(setting, rng.choice(told_by)), setting


def _crystal(setting: Setting) -> Reading:
    return setting.cell, setting.frac, setting.numbers


def _only_it(text: str, setting: Setting) -> Changed:
    """The crystal that was meant, or a refusal or doubt."""
    return text, (_crystal(setting),)


def _or_by_the_book(text: str, setting: Setting) -> Changed:
    """The crystal that was meant, or what the text says by the book."""
    return text, (_crystal(setting), *by(book.cif, text))


def _with_tag(draft: CifDraft, tag: str, value: str) -> CifDraft:
    return replace(draft, tags={**draft.tags, tag: value})


def _without_tags(draft: CifDraft, *names: str) -> CifDraft:
    return replace(draft, tags={tag: value for tag, value in draft.tags.items() if tag not in names})


def _with_site(draft: CifDraft, column: str, at: int, value: str, others: str = "") -> CifDraft:
    """One value of a column changed; a column of `others` if there is none."""
    values = list(draft.sites.get(column, [others] * len(draft.sites["label"])))
    values[at] = value
    return replace(draft, sites={**draft.sites, column: values})


def _site(draft: CifDraft, rng: random.Random) -> tuple[int, str]:
    at = rng.randrange(len(draft.sites["label"]))
    return at, draft.sites["type_symbol"][at]


def drop_operators(source: Source, rng: random.Random) -> Changed:
    """Some operators are missing, one of them perhaps x, y, z."""
    draft, setting = _drawn(source, rng, "operators", "all")
    listed = draft.operators or []
    count = rng.choice((1, 1, 2, max(1, len(listed) // 2)))
    kept = sorted(rng.sample(range(len(listed)), max(1, len(listed) - count)))
    return _only_it(replace(draft, operators=[listed[i] for i in kept], modern=rng.random() < 0.5).text(rng), setting)


def drop_operators_and_contents(source: Source, rng: random.Random) -> Changed:
    """The same where nothing else tells how many atoms there are: a group that is left is what is said."""
    draft, setting = _drawn(source, rng, "operators")
    listed = draft.operators or []
    kept = rng.sample(listed, rng.randint(1, len(listed)))
    return _or_by_the_book(_without_tags(replace(draft, operators=kept), _FORMULA, _Z).text(rng), setting)


def damage_operator(source: Source, rng: random.Random) -> Changed:
    """Another sign, axis or translation in one operator."""
    draft, setting = _drawn(source, rng, "operators", "all")
    listed = list(draft.operators or [])
    at = rng.randrange(len(listed))
    parts = listed[at].split(", ")
    which = rng.randrange(3)
    changes = (
        lambda part: part[1:] if part.startswith("-") else f"-{part}",
        lambda part: part.translate(str.maketrans("xyz", "yzx")),
        lambda part: f"{part}+1/{rng.choice((2, 3, 4))}",
        lambda part: re.sub(r"\+\d/\d", "", part),
        lambda part: f"2{part}",
        lambda part: f"{part}+x",
    )
    parts[which] = rng.choice(changes)(parts[which])
    listed[at] = ", ".join(parts)
    return _or_by_the_book(replace(draft, operators=listed).text(rng), setting)


def add_operator(source: Source, rng: random.Random) -> Changed:
    """One operator too many."""
    draft, setting = _drawn(source, rng, "operators", "all")
    more = rng.choice(("-x, -y, -z", "x+1/2, y+1/2, z", "x+1/2, y+1/2, z+1/2", "z, x, y", "y, x, z", "-x, -y, z"))
    return _only_it(replace(draft, operators=[*(draft.operators or []), more]).text(rng), setting)


def other_list(source: Source, rng: random.Random) -> Changed:
    """Another list of operators under the other tag."""
    draft, setting = _drawn(source, rng, "operators", "all")
    listed = draft.operators or []
    other = rng.choice((["x, y, z"], listed[: len(listed) // 2 + 1]))
    rows = "\n".join(f"'{one}'" for one in other)
    return _only_it(f"{draft.text(rng)}loop_\n_symmetry_equiv_pos_as_xyz\n{rows}\n", setting)


def identity_only(source: Source, rng: random.Random) -> Changed:
    """The list of operators, or all that is said of symmetry, is lost; one atom of each orbit is there."""
    draft, setting = _drawn(source, rng, "all", "operators")
    bare = rng.choice((draft, _without_tags(draft, _NAME, _NUMBER)))
    return _only_it(replace(bare, operators=rng.choice((["x, y, z"], None))).text(rng), setting)


def all_atoms(source: Source, rng: random.Random) -> Changed:
    """All atoms are listed, and symmetry is told."""
    setting = rng.choice(source.settings)
    whole = replace(setting, sites=list(range(len(setting.frac))))
    return _only_it(cif_draft(whole, rng.choice(("all", "operators", "name", "hall", "number"))).text(rng), setting)


def swap_code(source: Source, rng: random.Random) -> Changed:
    """The code of another coordinate system, or of none."""
    draft, setting = _drawn(source, rng, "code")
    others = [group.code for group in of_number(setting.group.number)]
    code = rng.choice((*others, "1", "2", "h", "r", "b1", "?", "xyz", "3", ""))
    beside = rng.choice((draft, _with_tag(draft, _NAME, setting.group.names[0])))
    return _or_by_the_book(_with_tag(beside, _CODE, code).text(rng), setting)


def swap_suffix(source: Source, rng: random.Random) -> Changed:
    """Another origin or other axes behind the name, or none."""
    draft, setting = _drawn(source, rng, "name")
    suffix = rng.choice((":1", ":2", ":H", ":R", " S", " Z", " H", " R", "S", "Z", ":", ":3", ":b2", ":h", ""))
    beside = rng.choice((draft, _with_tag(draft, _NUMBER, str(setting.group.number))))
    return _or_by_the_book(_with_tag(beside, _NAME, setting.group.names[0] + suffix).text(rng), setting)


def respell_name(source: Source, rng: random.Random) -> Changed:
    """The name in a spelling of some program, with or without the number."""
    draft, setting = _drawn(source, rng, "name")
    name, colon, suffix = draft.tags[_NAME].partition(":")
    if rng.random() < 0.3:
        name = rng.choice(setting.group.names)
    said = rng.choice(_SPELLINGS)(name) + colon + suffix
    tags = _with_tag(_without_tags(draft, _NAME), rng.choice((_NAME, _OLD_NAME)), said)
    if rng.random() < 0.6:
        tags = _with_tag(tags, rng.choice((_NUMBER, "_symmetry_Int_Tables_number")), str(setting.group.number))
    return _or_by_the_book(tags.text(rng), setting)


def wrong_name(source: Source, rng: random.Random) -> Changed:
    """The name of another group, mostly of the same family, with operators or without."""
    draft, setting = _drawn(source, rng, "all", "name", "name", "hall")
    other = _other_group(setting.group, rng)
    changed = rng.choice(
        (
            _with_tag(_without_tags(draft, _OLD_NAME), _NAME, other.names[0]),
            _with_tag(draft, _NUMBER, str(other.number)),
            _with_tag(draft, _HALL, other.symbol),
        )
    )
    return _or_by_the_book(changed.text(rng), setting)


def two_names(source: Source, rng: random.Random) -> Changed:
    """Two names under two tags that are not of one setting."""
    draft, setting = _drawn(source, rng, "name")
    other = rng.choice((_other_group(setting.group, rng), rng.choice(of_number(setting.group.number))))
    return _or_by_the_book(_with_tag(draft, _OLD_NAME, other.names[0]).text(rng), setting)


def number_only(source: Source, rng: random.Random) -> Changed:
    """The number alone; the setting is the standard one but for origin and axes."""
    usual = [s for s in source.settings if s.group.choice in ("", "b", "b1", "1", "2", "H", "R")]
    setting = rng.choice(usual)
    draft = cif_draft(setting, "number")
    tags = rng.choice((draft, _with_tag(draft, _NAME, rng.choice(("?", ".", "unknown", "see text", "")))))
    return _or_by_the_book(rng.choice((tags, _without_tags(tags, _FORMULA, _Z))).text(rng), setting)


def wrong_formula(source: Source, rng: random.Random) -> Changed:
    """Other contents than the formula and Z say: nothing may be read without a doubt."""
    draft, _ = _drawn(source, rng, "operators", "all", "hall")
    parts = draft.tags[_FORMULA].split()
    at = rng.randrange(len(parts))
    symbol, count = re.fullmatch(r"([A-Za-z]+)(\d+)", parts[at]).groups()  # type: ignore[union-attr]
    # Twice the only element would be a formula of another size, which says the same.
    others = [f"{symbol}{int(count) + 1}"] if len(parts) > 1 else [f"{symbol}{int(count)} H1"]
    parts[at] = rng.choice((*others, f"{'Pu' if symbol != 'Pu' else 'Np'}{count}", f"{symbol}{count} Xe1"))
    return _with_tag(draft, _FORMULA, " ".join(parts)).text(rng), ()


def wrong_units(source: Source, rng: random.Random) -> Changed:
    """Z times the formula is not what is there; where Z was 1 the formula alone is."""
    draft, setting = _drawn(source, rng, "operators", "all", "hall")
    units = int(draft.tags[_Z])
    changed = _with_tag(draft, _Z, str(units * rng.choice((2, 3, 4)))).text(rng)
    return changed, ((_crystal(setting),) if units == 1 else ())


def drop_atom(source: Source, rng: random.Random) -> Changed:
    """A site is missing."""
    draft, _ = _drawn(source, rng, "operators", "all", "hall")
    at, _ = _site(draft, rng)
    if len(draft.sites["label"]) == 1:
        return _with_tag(draft, _FORMULA, f"{draft.tags[_FORMULA]} Pu1").text(rng), ()
    return replace(draft, sites={name: [*c[:at], *c[at + 1 :]] for name, c in draft.sites.items()}).text(rng), ()


def mixed_symbol(source: Source, rng: random.Random) -> Changed:
    """Several elements, or none, in the symbol of a site."""
    draft, setting = _drawn(source, rng, "operators", "all")
    at, symbol = _site(draft, rng)
    mixed = rng.choice(_MIXED).format(symbol, rng.choice(("Ni", "O", "H", "Al", "F")))
    if rng.random() < 0.5:
        return _with_site(draft, "type_symbol", at, mixed).text(rng), ()
    # A label or group whose element the formula tells is that element.
    return _only_it(_with_site(draft, "type_symbol", at, rng.choice((*_GROUPS, symbol.upper()))).text(rng), setting)


def labelled_symbol(source: Source, rng: random.Random) -> Changed:
    """A label where a symbol should be, or labels without symbols."""
    draft, setting = _drawn(source, rng, "operators", "all")
    at, symbol = _site(draft, rng)
    label = rng.choice((*_LABELS, *_GROUPS)).format(symbol)
    if rng.random() < 0.5:
        return _only_it(_with_site(draft, "type_symbol", at, label).text(rng), setting)
    only = {name: column for name, column in draft.sites.items() if name != "type_symbol"}
    return _only_it(_with_site(replace(draft, sites=only), "label", at, label).text(rng), setting)


def repeated_atom(source: Source, rng: random.Random) -> Changed:
    """A site stands there twice, perhaps as another element or a little apart."""
    draft, setting = _drawn(source, rng, "operators", "all", "hall")
    at, symbol = _site(draft, rng)
    more = replace(draft, sites={name: [*column, column[at]] for name, column in draft.sites.items()})
    if rng.random() < 0.3:
        return _with_site(more, "type_symbol", len(more.sites["label"]) - 1, "N" if symbol != "N" else "P").text(
            rng
        ), ()
    if rng.random() < 0.5:
        more = _with_site(more, "fract_x", -1, f"{float(draft.sites['fract_x'][at]) + 0.003:.5f}")
    return _only_it(more.text(rng), setting)


def occupancy(source: Source, rng: random.Random) -> Changed:
    """A site is partly occupied, in disorder, a dummy, or has hydrogen attached that is not listed."""
    draft, setting = _drawn(source, rng, "operators", "all", "hall")
    at, _ = _site(draft, rng)
    if rng.random() < 0.25:
        whole = rng.choice(("1.000", "1.0(1)", ".", "?"))
        return _only_it(_with_site(draft, "occupancy", at, whole).text(rng), setting)
    if rng.random() < 0.1:
        # The formula, which all atoms have, outweighs it.
        return _only_it(_with_site(draft, "attached_hydrogens", at, "2", "0").text(rng), setting)
    share = rng.choice(("0.5", "0", "0.97", ".25", "-1", "2", "0.5(1)", "1/2", "half", "5e-1"))
    column, value, others = ("calc_flag", "dum", "d") if rng.random() < 0.15 else ("occupancy", share, "1")
    return _with_site(draft, column, at, value, others).text(rng), ()


def attached_hydrogens(source: Source, rng: random.Random) -> Changed:
    """Hydrogen that is attached and not listed; the formula, if there is one, has it."""
    draft, _ = _drawn(source, rng, "operators", "all", "hall")
    at, _ = _site(draft, rng)
    told = rng.choice((_without_tags(draft, _FORMULA, _Z), _with_tag(draft, _FORMULA, f"{draft.tags[_FORMULA]} H2")))
    return _with_site(told, "attached_hydrogens", at, "2", "0").text(rng), ()


def alternatives(source: Source, rng: random.Random) -> Changed:
    """Two sites that are never there together."""
    draft, _ = _drawn(source, rng, "operators", "all", "hall")
    at, _ = _site(draft, rng)
    more = replace(draft, sites={name: [*column, column[at]] for name, column in draft.sites.items()})
    moved = _with_site(more, "fract_y", -1, f"{float(draft.sites['fract_y'][at]) + 0.13:.5f}")
    return _with_site(_with_site(moved, "disorder_group", at, "1", "."), "disorder_group", -1, "2").text(rng), ()


def other_cell(source: Source, rng: random.Random) -> Changed:
    """A cell that is perhaps not of the group."""
    draft, _ = _drawn(source, rng, "operators", "all", "hall", "name")
    cell, at = list(draft.cell), rng.randrange(6)
    factor = rng.choice((1.08, 1.2, 0.85)) if at < 3 else rng.choice((0.93, 1.06, 0.75))
    cell[at] = f"{float(cell[at]) * factor:.6g}"
    text = replace(draft, cell=cell).text(rng)
    return text, tuple(by(book.cif, text))


def other_units(source: Source, rng: random.Random) -> Changed:
    """Angles in radians, or lengths in nanometres."""
    draft, _ = _drawn(source, rng, "operators", "all")
    lengths, angles = draft.cell[:3], draft.cell[3:]
    if rng.random() < 0.5:
        angles = [f"{float(angle) * 0.017453292519943295:.6f}" for angle in angles]
    else:
        lengths = [f"{float(length) / 10:.6f}" for length in lengths]
    return replace(draft, cell=[*lengths, *angles]).text(rng), ()


def swap_axes(source: Source, rng: random.Random) -> Changed:
    """Two columns of coordinates, or two lengths, under each other's names: what is said is another crystal."""
    draft, setting = _drawn(source, rng, "operators", "all", "hall")
    if rng.random() < 0.5:
        a, b, c, *angles = draft.cell
        text = replace(draft, cell=[b, a, c, *angles]).text(rng)
    else:
        x, z = draft.sites["fract_x"], draft.sites["fract_z"]
        text = replace(draft, sites={**draft.sites, "fract_x": z, "fract_z": x}).text(rng)
    return _or_by_the_book(text, setting)


def _other_group(group: Group, rng: random.Random) -> Group:
    near = [one for one in table() if one.number != group.number and abs(one.number - group.number) < 12]
    return rng.choice(near)


CHANGES: Sequence[Change] = (
    *(drop_operators, drop_operators_and_contents, damage_operator, add_operator, other_list, identity_only, all_atoms),
    *(swap_code, swap_suffix, respell_name, wrong_name, two_names, number_only, wrong_formula, wrong_units, drop_atom),
    *(mixed_symbol, labelled_symbol, repeated_atom, occupancy, attached_hydrogens, alternatives, other_cell),
    *(other_units, swap_axes),
)
