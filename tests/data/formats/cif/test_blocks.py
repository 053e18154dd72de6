"""Blocks of a damaged CIF: those that are sound are read, the others are refused for what is wrong with them."""

import re

import pytest
from support import cif_texts as cif

from empnn.data.reading import read

TWICE = "not valid CIF (3 in data_bad: duplicate tag _a); correct the file"
UNCLOSED = "unterminated text field"
BAD = "data_bad\n_a 1\n_a 2\n"
OPEN = "data_open\n_t\n;\nnever closed\n"
OLD = cif.sites("Ge1 Ge 0 0 0").replace("data_made_up", "data_old")


def good(before=""):
    return cif.sites("Si1 Si 0 0 0", before=before).replace("data_made_up", "data_good")


def field(text):
    return f"_refine_special_details\n;\n{text}\n;\n"


def outcomes(tmp_path, content):
    path = tmp_path / "a.cif"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(record.id, record.error or str(record.atoms.symbols)) for record in read(path)]


HEADS = "The old entry began so:\ndata_old\nloop_\n_space_group_symop_operation_xyz\nx,y,z\n-x,-y,-z"
SOUND = [("good", "Si")]
BOTH = [*SOUND, ("bad", TWICE)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (good(field(HEADS)) + BAD, BOTH),
        (BAD + good(field(HEADS)), BOTH[::-1]),
        (good(field("data_old\ndata_older")) + BAD, BOTH),
        (good(field(OLD)) + BAD, BOTH),
        (good("_t\n;data_old\n  data_older\n;\n") + BAD, BOTH),
        (good(f"_t\n;\n{OLD}; _u 1\n") + BAD, BOTH),
        (BAD + field(OLD) + good(), BOTH[::-1]),
        (BAD + field(OLD + OLD) + good(), BOTH[::-1]),
        (good(field(HEADS)), SOUND),
        (good(field("loop_\n_symmetry_equiv_pos_as_xyz\n-x,-y,-z")), SOUND),
        (good("_a 'data_old x'\n_b \"loop_ 'y'\"\n# data_old\n#data_older\n") + BAD, BOTH),
        (good().replace("data_good", " \tDATA_good") + BAD.replace("data", "\tData"), BOTH),
        ("data_global\n_x 1\n" + good() + BAD, BOTH),
        ("data_global\n_x 1\n" + BAD, BOTH[1:]),
        ("no tag\n" + good(), SOUND),
        (good() + good(), SOUND * 2),
        ((good(field(HEADS)) + BAD).replace("\n", "\r\n"), BOTH),
        ((good(field(HEADS)) + BAD).replace("\n", "\r"), BOTH),
        ((good(field(HEADS)) + BAD).replace(" ", "\t  "), BOTH),
        (b"\xef\xbb\xbf" + (good(field(HEADS)) + BAD).encode(), BOTH),
        (("# Jos\xe9\n" + good(field(f"caf\xe9\n{HEADS}")) + BAD).encode("latin-1"), BOTH),
    ],
)
def test_text_that_looks_like_a_block_is_none(tmp_path, text, expected):
    assert outcomes(tmp_path, text) == expected


@pytest.mark.parametrize(
    "others", [good(), good(field("a title")), good(field(HEADS)), good() + OPEN, good(field("a title")) + OPEN]
)
def test_a_text_that_is_never_closed_takes_no_other_block_along(tmp_path, others):
    first, *rest = outcomes(tmp_path, OPEN + others)
    assert first[0] == "open"
    assert UNCLOSED in first[1]
    assert rest[0] == SOUND[0]
    assert [name for name, _ in rest[1:]] == ["open"] * others.count("data_open")


@pytest.mark.parametrize(
    "value",
    [
        "'''it's\ndata_old\n'''",
        '"""one\n\'two\'"""',
        "[1 2 'three']",
        "{'a':1 'b':2}",
        "'''it's'''",
        f"\n;\n{HEADS}\n;",
    ],
)
def test_values_of_cif_2_are_passed_over(tmp_path, value):
    assert outcomes(tmp_path, f"#\\#CIF_2.0\n{good(f'_t {value}{chr(10)}')}") == SOUND


def dotted(text):
    """The text with tags as newer dictionaries have them."""
    categories = "cell|atom_site|atom_type|chemical_formula|space_group_symop|space_group|symmetry_equiv|symmetry"
    return re.sub(rf"(?m)^_({categories})_", r"_\1.", text)


@pytest.mark.parametrize("name", ["P1", "BY_SYMBOL", "BY_OPERATORS", "DEUTERIUM", "MAGNETIC"])
def test_tags_with_dots_say_the_same(tmp_path, name):
    text = getattr(cif, name)
    (tmp_path / "plain.cif").write_text(text)
    (tmp_path / "dotted.cif").write_text(dotted(text))
    assert "_cell.length_a" in dotted(text)
    (plain,), (other,) = read(tmp_path / "plain.cif"), read(tmp_path / "dotted.cif")
    assert plain.atoms == other.atoms
    assert plain.atoms.info == other.atoms.info


@pytest.mark.parametrize(
    ("column", "said"),
    [("occupancy", "site Si1 has partial occupancy 0.5"), ("calc_flag", "site Si1 is a dummy")],
)
def test_a_column_with_a_dot_among_others_counts(tmp_path, column, said):
    value = {"occupancy": "0.5", "calc_flag": "dum"}[column]
    text = cif.sites(f"Si1 Si 0 0 0 {value}", columns=(*cif.SITE, column))
    text = text.replace(f"_atom_site_{column}", f"_atom_site.{column}")
    ((_, told),) = outcomes(tmp_path, text)
    assert told.startswith(said)


def test_a_tag_with_a_dot_and_without_is_refused_alone(tmp_path):
    twice = good("_cell.length_a 9\n").replace("data_good", "data_twice")
    assert outcomes(tmp_path, twice + good()) == [
        ("twice", "it has _cell_length_a and _cell.length_a, which are one tag; remove one of them"),
        *SOUND,
    ]
