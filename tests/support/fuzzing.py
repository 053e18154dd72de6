"""Damaged CIF, POSCAR and extxyz texts, made of sound ones; every case is told by a seed and a number.

Used by the suite (some hundred cases) and by benchmarks/quality/fuzz.py (20,000).
"""

import io
import random
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ase.io
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from empnn.data.formats import cif, extxyz
from support.readings import Reading

NAMES = {
    "cif": "case.cif",
    "poscar": "POSCAR",
    "extxyz": "case.extxyz",
    "json": "case.json",
    "lammps": "case.lammps-data",
}
"""What a file of each kind is called."""
_DAMAGED = ("cif", "poscar", "extxyz")

_NUMBER = re.compile(r"(?<![\w.+-])[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])")
_ELEMENT = re.compile(r"\b[A-Z][a-z]?\b")
_STRANGE_NUMBERS = (
    *("NaN", "nan", "inf", "-inf", "Infinity", "1e999", "-1e999", "0", "0.0", "-0.0", "-1", "1e308", "1e-308", "1e16"),
    *("99999999999", "2147483648", "1,5", "1.2.3", "1e", "--1", "+", ".", "?", "0x10", "1_0", "1d0", "1.0E+00", "1/3"),
    *("0.33333333333333333333333333", "180", "179.9999", "0.0001", "1000000", "-5.5", "1e5", "٣", "5(", "(3)", "5()"),
)
_STRANGE_ELEMENTS = (
    *("X", "Xx", "Qq", "D", "T", "H1", "Na+", "O2-", "Fe3+", "0", "118", "Og", "Uue", "", "na", "NA", "Vac", "M"),
    *("Na_pv", "Fe/1a2b", "C1", "Ca1", "'Na'", '"O"', "Xe0+", "Fe0.5", "Å", "-", "*", "None", "nan", "(Fe,Ni)", "Cl-1"),
)
_STRANGE_CHARACTERS = "\t\0\x0b\x0c\x1a\x1c\x85\xa0\u2028\u3000é½²\uff11'\";#_$[]{}()=,:?.!\\/%@~ \n\r"
_STRANGE_LINES = (
    *("", "loop_", "data_", "data_other", "#", ";", "_", "save_", "1", "2", "stop_", "global_", "Direct", "0 0 0"),
)


@dataclass(frozen=True)
class Case:
    """One damaged text.

    Attributes:
        number: Its number; with the seed and the texts it tells the case.
        kind: cif, poscar or extxyz.
        content: The file.
        damage: Names of the mutations made.
        right: What may come out of it without a doubt, where that is known; None where other parsers have to tell.
    """

    number: int
    kind: str
    content: bytes
    damage: tuple[str, ...]
    right: tuple[Reading, ...] | None = None


def texts_of(crystals: Sequence[Atoms]) -> dict[str, list[str]]:
    """The crystals in the flavours of CIF, POSCAR and extxyz that programs write."""
    texts: dict[str, list[str]] = {kind: [] for kind in _DAMAGED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for atoms in crystals:
            bare = Atoms(atoms.numbers, cell=atoms.cell, positions=atoms.positions, pbc=True)
            structure = AseAtomsAdaptor.get_structure(bare)
            texts["cif"] += _cifs(bare, structure)
            texts["poscar"] += _poscars(bare, structure)
            texts["extxyz"] += _extxyz(atoms, bare)
    return texts


def case(texts: dict[str, list[str]], seed: int, number: int) -> Case:
    """The case of this number; one in twenty is left whole."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311
    kind = rng.choice(list(texts))
    text = rng.choice(texts[kind])
    if rng.random() < 0.1:
        text += rng.choice(texts[kind])
    damage = []
    for _ in range(rng.choice((0, *[1] * 10, *[2] * 5, 3, 3, 4, 8))):
        mutate = rng.choice(_ON_TEXT)
        text = mutate(text, rng)
        damage.append(mutate.__name__.strip("_"))
    content = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        change = rng.choice(_ON_BYTES)
        content = change(content, rng)
        damage.append(change.__name__.strip("_"))
    return Case(number, kind, content, tuple(damage))


def _cifs(atoms: Atoms, structure: Structure) -> list[str]:
    by_ase = io.BytesIO()
    ase.io.write(by_ase, atoms, format="cif")
    plain, symmetric = str(CifWriter(structure)), str(CifWriter(structure, symprec=0.01))
    title = (
        "_publ_section_title\n;\n A title over lines,\n and 'quotes' # no comment\n;\n_publ_author_name \"O'Neil\"\n"
    )
    uncertain = re.sub(r"(_cell_length_\w\s+\d+\.\d{4})\d*", r"\1(3)", symmetric)
    return [plain, symmetric, by_ase.getvalue().decode(), cif.text_from_atoms(atoms, "own"), uncertain + title]


def _poscars(atoms: Atoms, structure: Structure) -> list[str]:
    cartesian, direct = io.StringIO(), io.StringIO()
    ase.io.write(cartesian, atoms, format="vasp", direct=False)
    ase.io.write(direct, atoms, format="vasp", direct=True)
    selective = Poscar(structure, selective_dynamics=[[True, True, False]] * len(structure)).get_str()
    moving = Poscar(structure, velocities=[[0.1, 0.2, 0.3]] * len(structure)).get_str()
    lines = direct.getvalue().split("\n")
    by_volume = "\n".join([lines[0], f"-{atoms.get_volume():.6f}", *lines[2:]])
    return [Poscar(structure).get_str(), cartesian.getvalue(), direct.getvalue(), selective, moving, by_volume]


def _extxyz(atoms: Atoms, bare: Atoms) -> list[str]:
    rich = bare.copy()
    rich.info = {"material_id": "mp-1", "gap": 1.5, "note": "two words", "grid": [[1, 2], [3, 4]]}
    rich.set_array("site", rich.numbers * 2)
    rich.set_initial_magnetic_moments([0.5] * len(rich))
    written = []
    for one in (atoms, bare, rich):
        by_ase = io.StringIO()
        ase.io.write(by_ase, one, format="extxyz")
        written += [by_ase.getvalue(), extxyz.text_from_atoms(one)]
    return written


def _at_random_line(change: Callable[[list[str], int, random.Random], None]) -> Callable[[str, random.Random], str]:
    def mutate(text: str, rng: random.Random) -> str:
        lines = text.split("\n")
        change(lines, rng.randrange(len(lines)), rng)
        return "\n".join(lines)

    mutate.__name__ = change.__name__
    return mutate


@_at_random_line
def _delete_line(lines: list[str], at: int, rng: random.Random) -> None:
    del lines[at]


@_at_random_line
def _duplicate_line(lines: list[str], at: int, rng: random.Random) -> None:
    lines.insert(rng.choice((at, rng.randrange(len(lines)))), lines[at])


@_at_random_line
def _swap_lines(lines: list[str], at: int, rng: random.Random) -> None:
    other = rng.choice((min(at + 1, len(lines) - 1), rng.randrange(len(lines))))
    lines[at], lines[other] = lines[other], lines[at]


@_at_random_line
def _insert_line(lines: list[str], at: int, rng: random.Random) -> None:
    lines.insert(at, rng.choice(_STRANGE_LINES))


@_at_random_line
def _join_lines(lines: list[str], at: int, rng: random.Random) -> None:
    lines[at : at + 2] = [rng.choice(("", " ")).join(lines[at : at + 2])]


@_at_random_line
def _swap_columns(lines: list[str], at: int, rng: random.Random) -> None:
    words = lines[at].split()
    if len(words) > 1:
        first, second = rng.sample(range(len(words)), 2)
        words[first], words[second] = words[second], words[first]
        lines[at] = " ".join(words)


@_at_random_line
def _drop_column(lines: list[str], at: int, rng: random.Random) -> None:
    words = lines[at].split()
    if words:
        del words[rng.randrange(len(words))]
        lines[at] = " ".join(words)


@_at_random_line
def _repeat_column(lines: list[str], at: int, rng: random.Random) -> None:
    words = lines[at].split()
    if words:
        words.insert(rng.randrange(len(words)), rng.choice(words))
        lines[at] = " ".join(words)


@_at_random_line
def _cut_line(lines: list[str], at: int, rng: random.Random) -> None:
    lines[at] = lines[at][: rng.randint(0, len(lines[at]))]


@_at_random_line
def _break_line(lines: list[str], at: int, rng: random.Random) -> None:
    place = rng.randint(0, len(lines[at]))
    lines[at : at + 1] = [lines[at][:place], lines[at][place:]]


@_at_random_line
def _change_case(lines: list[str], at: int, rng: random.Random) -> None:
    lines[at] = rng.choice((str.upper, str.lower, str.swapcase))(lines[at])


def _truncate(text: str, rng: random.Random) -> str:
    return text[: rng.randint(0, len(text))]


def _delete_block(text: str, rng: random.Random) -> str:
    start = rng.randint(0, len(text))
    return text[:start] + text[start + rng.choice((1, 2, 5, 20, 100)) :]


def _insert_character(text: str, rng: random.Random) -> str:
    place = rng.randint(0, len(text))
    return text[:place] + rng.choice(_STRANGE_CHARACTERS) + text[place:]


def _replace_character(text: str, rng: random.Random) -> str:
    place = rng.randint(0, len(text))
    return text[:place] + chr(rng.randrange(32, 127)) + text[place + 1 :]


def _replaced(text: str, pattern: re.Pattern[str], rng: random.Random, new: Callable[[str], str]) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return text
    chosen = rng.choice(found)
    return text[: chosen.start()] + new(chosen[0]) + text[chosen.end() :]


def _strange_number(text: str, rng: random.Random) -> str:
    return _replaced(text, _NUMBER, rng, lambda _: rng.choice(_STRANGE_NUMBERS))


def _other_number(text: str, rng: random.Random) -> str:
    def new(old: str) -> str:
        value = float(old)
        forms = (f"{-value}", f"{value * 10:g}", f"{value / 7:.3f}", f"{value + 1}", f"{value:e}", f"{old}(12)")
        return rng.choice((*forms, f"{old}e3", f"{old}E-2", f"+{old}", old[:-1], f"{old}0", f"{rng.random():.4f}"))

    return _replaced(text, _NUMBER, rng, new)


def _other_digit(text: str, rng: random.Random) -> str:
    return _replaced(text, re.compile(r"\d"), rng, lambda _: str(rng.randrange(10)))


def _strange_element(text: str, rng: random.Random) -> str:
    return _replaced(text, _ELEMENT, rng, lambda _: rng.choice(_STRANGE_ELEMENTS))


def _quote(text: str, rng: random.Random) -> str:
    marks = rng.choice(("''", '""', "' ", '" ', "{}", "[]", "()"))
    return _replaced(text, re.compile(r"\S+"), rng, lambda word: f"{marks[0]}{word}{marks[1].strip()}")


def _other_word(text: str, rng: random.Random) -> str:
    words = text.split() or [""]
    return _replaced(text, re.compile(r"\S+"), rng, lambda _: rng.choice(words))


def _damage_header(text: str, rng: random.Random) -> str:
    """One character of a name: a CIF tag, a key of extxyz, a keyword of POSCAR."""
    pattern = re.compile(r"_\w{3,}|\b[A-Za-z]{4,}(?==)|\b(?:[Dd]irect|[Cc]artesian|[Ss]elective|species|pos)\b")

    def new(old: str) -> str:
        place = rng.randrange(len(old))
        return old[:place] + rng.choice(("", "x", "_", old[place].swapcase())) + old[place + 1 :]

    return _replaced(text, pattern, rng, new)


def _flip_bytes(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 10))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _insert_bytes(content: bytes, rng: random.Random) -> bytes:
    place = rng.randint(0, len(content))
    return content[:place] + rng.randbytes(rng.choice((1, 2, 30))) + content[place:]


def _windows_line_ends(content: bytes, rng: random.Random) -> bytes:
    return content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\r")))


def _byte_order_mark(content: bytes, rng: random.Random) -> bytes:
    return b"\xef\xbb\xbf" + content


def _other_encoding(content: bytes, rng: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(rng.choice(("latin-1", "utf-16", "utf-16-le", "utf-32", "cp1252", "utf-7")), "replace")


_ON_TEXT: tuple[Callable[[str, random.Random], str], ...] = (
    *(_delete_line, _duplicate_line, _swap_lines, _insert_line, _join_lines, _cut_line, _break_line, _change_case),
    *(_swap_columns, _drop_column, _repeat_column, _truncate, _delete_block, _insert_character, _replace_character),
    *(_strange_number, _strange_number, _other_number, _other_number, _other_digit, _strange_element, _quote),
    *(_other_word, _damage_header),
)
_ON_BYTES = (_flip_bytes, _insert_bytes, _windows_line_ends, _byte_order_mark, _other_encoding)
