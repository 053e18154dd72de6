"""Extended XYZ, frame by frame: files and streams of any length.

The second line is read by ASE, once arrays of the newer kind ([[1, 0], [0, 1]]) and tensors are as it takes them.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import ase.io
import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.data import atomic_numbers
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict, set_calc_and_arrays

from empnn.ase_atoms import is_deuterium, mark_deuterium, set_arrays
from empnn.data.formats.constraints import described, hold, names_of, restore
from empnn.data.records import ID_KEYS, Entries, Entry
from empnn.errors import CrystalError, printable
from empnn.files import json_text, open_bytes

_IDENTIFIERS = {key: re.compile(rf"""(?:^|\s){key}=("[^"]*"|\S+)""") for key in ID_KEYS}
"""Identifiers as they are written, for ASE makes numbers of digits: 0012 is not 12."""
_TENSORS = ("stress", "virial")
"""What ASE reads as nine numbers and nothing else."""
_TAKEN = ("Lattice", "Properties", "pbc")
_WORD = re.compile(r"""[^\s"'{}\[\]=\\,]+""")
_NO_TEXT = {"nan", "inf", "infinity", "t", "f", "true", "false"}
_ASIDE = "empnn_aside"
"""The key of what has no place in a frame."""
_NO_SPECIES = "its Properties lack species (or Z) or pos; correct the second line"
_PLAIN = "species:S:1:pos:R:3"
_COLUMNS_TAKEN = ("species", "symbols", "pos", "Z", "charge", "move_mask")
_ARRAYS = {"pos": "positions", "position": "positions", "charge": "charges"}
"""Columns that become arrays of another name, as in ASE."""
_SYMBOLS = re.compile("species|((chemical|atomic|atom)_?)?symbols?|elements?")
_NUMBERS = re.compile("[Zz]|numbers|atom(ic)?_?numbers?")
_TRUTH = {word: word[0] in "Tt" for word in ("T", "F", "True", "False", "true", "false", "TRUE", "FALSE")}
_JSON_TRUTH = {word: str(truth).lower() for word, truth in _TRUTH.items()}
_KINDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "S": (str, "text"),
    "R": (float, "a number"),
    "I": (int, "a whole number"),
    "L": (_TRUTH.__getitem__, "T or F"),
}

_QUOTED = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"""
_ROW = "(?:{})".format("|".join(rf"\{a}(?:{_QUOTED}|[^\[\]{{}}()\"'])*\{b}" for a, b in ("[]", "{}", "()")))
_ROWS = "(?:{})".format("|".join(rf"\{a}\s*{_ROW}(?:[\s,]*{_ROW})*[\s,]*\{b}" for a, b in ("[]", "{}", "()")))
_VALUE = re.compile(
    rf"(?<!\S)(?P<tensor>Lattice|stress|virial)\s*=\s*(?P<value>{_QUOTED}|{_ROWS}|{_ROW}|[^\s\"'\[{{(]\S*)"
    rf"|(?<!\S)(?P<key>[A-Za-z_][\w-]*)\s*=\s*(?P<array>{_ROWS}|{_ROW})|{_QUOTED}"
)
"""Values that are to be written otherwise; what is within quotes is passed over."""
_BRACKETS = re.compile(r"[\[\](){}]")


def entries(path: Path) -> Entries:
    """The frames of a file."""
    with open_bytes(path) as handle:
        for entry in entries_of_stream(handle):
            yield entry._replace(share=handle.share)


def entries_of_text(text: str) -> Entries:
    """The frames of a text."""
    for frame in _frames(text.split("\n")):
        yield Entry(_atoms_from_frame, frame)


def entries_of_stream(handle: io.BufferedIOBase) -> Entries:
    """The frames of an open binary stream."""
    text = io.TextIOWrapper(cast(IO[bytes], handle), encoding="utf-8-sig", errors="surrogateescape")
    try:
        for frame in _frames(map(_decoded, text)):
            yield Entry(_atoms_from_frame, frame)
    finally:
        text.detach()


def text_from_atoms(atoms: Atoms) -> str:
    """A frame with all digits: ASE's eight decimals are too few for the coordinates of a skewed cell.

    What extended XYZ has no place for, or ASE would read as something else, is kept in JSON, as ASE writes lists.

    Raises:
        CrystalError: If something in its info can be written in no way.
    """
    buffer = io.StringIO()
    ase.io.write(buffer, _presentable(atoms), format="extxyz")
    count, comment, *lines = buffer.getvalue().rstrip("\n").split("\n")
    rows = [count, comment]
    deuterium = is_deuterium(atoms).tolist()
    for line, position, heavy in zip(lines, atoms.positions.tolist(), deuterium, strict=True):
        symbol, _, _, _, *rest = line.split(maxsplit=4)
        rows.append(" ".join([f"{'D' if heavy else symbol:<2}", *(f"{x:22.16g}" for x in position), *rest]))
    return "\n".join(rows) + "\n"


def losses(atoms: Atoms) -> list[str]:
    """What `move_mask` cannot say of constraints: it comes back from what is kept aside, but not in other programs."""
    names = names_of(_constraints_aside(atoms))
    return [f"has no place for its constraints ({names}) but {_ASIDE}, which other programs skip"] if names else []


def copied(frame: list[str]) -> tuple[str, int]:
    """A frame that `text_from_atoms` has written, as it is, and its number of atoms."""
    return "\n".join(frame) + "\n", len(frame) - 2


def _presentable(atoms: Atoms) -> Atoms:
    """A copy whose info and arrays come back from ASE's writer and reader as they are."""
    presentable: Atoms = atoms.copy()
    presentable.calc = atoms.calc
    arrays = {name: array for name, array in atoms.arrays.items() if not _is_column(name, array)}
    for name in arrays:
        del presentable.arrays[name]
    aside: dict[str, Any] = {"arrays": arrays} if arrays else {}
    others = _constraints_aside(atoms)
    if others:
        aside["constraints"] = described(others)
        presentable.set_constraint([one for one in atoms.constraints if one not in others])
    info = {key: value for key, value in atoms.info.items() if not _has_place(key, value)}
    presentable.info = {key: _written(key, value) for key, value in atoms.info.items() if key not in info}
    if info:
        aside["info"] = info
    if aside:
        presentable.info[_ASIDE] = _as_json(_ASIDE, aside)
    return presentable


def _constraints_aside(atoms: Atoms) -> list[Any]:
    """The constraints that `move_mask`, which is along the axes, cannot say."""
    return [one for one in atoms.constraints if not isinstance(one, FixAtoms | FixCartesian)]


def _is_column(name: str, array: np.ndarray) -> bool:
    """Whether the rows of a frame can hold it."""
    if name in _COLUMNS_TAKEN or ":" in name or not _WORD.fullmatch(name):
        return False
    if array.ndim > 2 or array.shape[1:] in ((0,), (1,)):
        return False
    return array.dtype.kind in "ifb" or all(isinstance(x, str) and _WORD.fullmatch(x) for x in array.flat)


def _has_place(key: str, value: Any) -> bool:
    """Whether the second line of a frame can hold it under its own name."""
    if key in _TENSORS:
        return np.shape(value) == (3, 3) or (key == "stress" and np.shape(value) == (6,))
    return key not in _TAKEN and _WORD.fullmatch(key) is not None


def _written(key: str, value: Any) -> Any:
    """What ASE is to write, so that it reads the value."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "ifb" and (value.ndim == 0 or value.size > 1):
        return value if value.ndim < 2 or key in _TENSORS else _as_json(key, value.tolist())
    if isinstance(value, bool | float | np.bool_ | np.number):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else _as_json(key, value)
    if not isinstance(value, str):
        return _as_json(key, value)
    plain = (key in ID_KEYS and _WORD.fullmatch(value)) or (value.isprintable() and _reads_as_text(value))
    return value if plain else _as_json(key, value)


def _reads_as_text(value: str) -> bool:
    """Whether ASE, which makes numbers and truth values of what looks like one, reads this text as it is."""
    if '"' in value or "\\" in value:
        return False
    first = re.split("[ ,]", value, maxsplit=1)[0]
    if first[:1].isalpha() and first.lower() not in _NO_TEXT:
        return True
    found = key_val_str_to_dict(key_val_dict_to_str({"key": value})).get("key")
    return isinstance(found, str) and found == value


def _as_json(key: str, value: object) -> str:
    try:
        return "_JSON " + json_text(value).replace("\\", "\\\\")
    except (TypeError, ValueError) as error:
        raise CrystalError(f"its info {key!r} cannot be written ({error}); remove it") from None


def _decoded(line: str) -> str:
    """A line without its end; Latin-1 where it is not UTF-8."""
    if not line.isascii():
        line = line.encode("utf-8", "surrogateescape").decode("utf-8" if _is_utf8(line) else "latin-1")
    return line.rstrip("\n")


def _is_utf8(line: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in line)


def _frames(lines: Iterable[str]) -> Iterator[list[str]]:
    """Split where a line holds nothing but a number, so that a frame cut short does not swallow the next."""
    frame: list[str] = []
    is_comment = False
    for line in lines:
        starts = not is_comment and line.strip().isdecimal()
        if starts and frame:
            yield frame
            frame = []
        if frame or line.strip():
            frame.append(line)
        is_comment = starts
    if frame:
        yield frame


def _atoms_from_frame(frame: list[str]) -> Atoms:
    if any("\0" in line for line in frame):
        raise CrystalError("not a text file; check its format")
    header = frame[0].strip()
    if not header.isdecimal():
        raise CrystalError(f"expected a number of atoms, as extended XYZ begins, found {header[:40]!r}; correct it")
    lines = [line for line in frame[2:] if line.strip()]
    if len(lines) != int(header):
        raise CrystalError(f"it announces {header[:20]} atoms and has lines for {len(lines)}; complete or remove it")
    if not lines:
        raise CrystalError("it has no atoms; remove it or add the atoms")
    info = _info(frame[1])
    columns = _columns(info.pop("Properties", None), [line.split() for line in lines])
    numbers, deuterium = _species(columns)
    cell = info.pop("Lattice", np.zeros((3, 3)))
    pbc = np.array(info.pop("pbc", bool(cell.any())))
    if pbc.shape not in ((), (3,)) or pbc.dtype.kind not in "bi":
        raise CrystalError(f"its pbc is {str(pbc)[:40]!r}, not three of T and F; correct the second line")
    charges = columns.pop("initial_charges", None)
    atoms = Atoms(numbers, positions=columns.pop("positions"), charges=charges, cell=cell.T, pbc=pbc, info=info)
    move = columns.get("move_mask", np.array("none"))
    if move.dtype.kind in "bif" and move.shape[1:] in ((), (3,)):
        free = columns.pop("move_mask").astype(bool).reshape(len(atoms), -1)
        hold(atoms, np.broadcast_to(~free, (len(atoms), 3)), partly=FixCartesian)
    set_calc_and_arrays(atoms, columns)
    aside = atoms.info.pop(_ASIDE, {})
    atoms.info.update(aside.get("info", {}))
    restore(atoms, aside.get("constraints", []))
    return mark_deuterium(set_arrays(atoms, aside.get("arrays", {})), deuterium)


def _info(comment: str) -> dict[str, Any]:
    """The values of the second line; identifiers as they are written."""
    try:
        info: dict[str, Any] = key_val_str_to_dict(_VALUE.sub(_as_ase_takes_it, comment)) if comment.strip() else {}
    except CrystalError:
        raise
    except ValueError as error:
        said = printable(" ".join(str(error).split()))[:100]
        raise CrystalError(f"a value in its second line cannot be read ({said}); correct it") from None
    if "properties" in info:
        raise CrystalError("it announces properties, in small letters; call them Properties")
    for key in ID_KEYS:
        written = _IDENTIFIERS[key].search(comment)
        if written is not None and not isinstance(info.get(key, ""), str):
            info[key] = written[1].strip('"')
    return info


def _as_ase_takes_it(found: re.Match[str]) -> str:
    """A value of the second line in other words."""
    key, value = found["tensor"], found["value"]
    if key is None:
        return found[0] if found["key"] is None else f"{found['key']}={_array(found['array'])}"
    inner = (value[1:-1] if value[0] in "\"'" else value).removeprefix("_JSON").strip()
    whole = re.fullmatch(f"{_ROWS}|{_ROW}", inner) or not _BRACKETS.search(inner)
    words = _BRACKETS.sub(" ", inner).replace(",", " ").split() if whole else []
    if key in _TENSORS and len(words) == 6:
        xx, yy, zz, yz, xz, xy = words
        words = [xx, xy, xz, xy, yy, yz, xz, yz, zz]
    try:
        numbers = np.array(words, dtype=float)
    except ValueError:
        numbers = np.array([])
    if len(numbers) != 9:
        expected = "six or nine" if key in _TENSORS else "nine"
        raise CrystalError(f"its {key} is {value[:80]!r}, not {expected} numbers; correct the second line")
    return f'{key}="{" ".join(words)}"'


def _array(text: str) -> str:
    """An array of arrays or of quoted text, or a dictionary, as the JSON that ASE knows; anything else as it is."""
    quoted = '"' in text
    try:
        values = json.loads(text if quoted else re.sub(r"[\w.]+", lambda word: _JSON_TRUTH.get(word[0], word[0]), text))
    except ValueError:
        return text
    if not quoted and not re.match(_ROWS, text):
        return text
    return '"{}"'.format(f"_JSON {json.dumps(values)}".replace("\\", "\\\\").replace('"', '\\"'))


def _columns(announced: Any, rows: list[list[str]]) -> dict[str, np.ndarray]:
    """What the rows hold, by name; refuse other columns than those announced.

    Rows that hold more than the species and positions of plain XYZ are fine where nothing is announced.
    """
    if announced is None:
        announced, rows = _PLAIN, [row[:4] for row in rows]
    fields = str(announced).split(":")
    names, kinds, widths = [_ARRAYS.get(name, name) for name in fields[::3]], fields[1::3], fields[2::3]
    if "positions" not in names:
        raise CrystalError(_NO_SPECIES)
    if len(fields) % 3 or not all(map(str.isdecimal, widths)) or not _KINDS.keys() >= set(kinds) or "0" in widths:
        raise CrystalError(f"its Properties {str(announced)[:80]!r} are not NAME:TYPE:COLUMNS; correct the second line")
    if len(set(names)) < len(names):
        raise CrystalError(f"its Properties {str(announced)[:80]!r} name a column twice; correct the second line")
    width = sum(map(int, widths))
    wrong = next((index for index, row in enumerate(rows) if len(row) != width), None)
    if wrong is not None:
        found = len(rows[wrong])
        raise CrystalError(f"atom {wrong} has {found} columns where Properties announces {width}; correct either")
    columns = zip(*rows, strict=True)
    arrays = {}
    for name, kind, count in zip(names, kinds, widths, strict=True):
        values = [_converted(name, kind, next(columns)) for _ in range(int(count))]
        arrays[name] = values[0] if len(values) == 1 else np.stack(values, axis=1)
    if arrays["positions"].shape[1:] != (3,) or arrays["positions"].dtype.kind not in "if":
        raise CrystalError("its Properties announce pos as something else than pos:R:3; correct the second line")
    return arrays


def _converted(name: str, kind: str, words: Iterable[str]) -> np.ndarray:
    """The values of a column."""
    convert, what = _KINDS[kind]
    values = []
    for index, word in enumerate(words):
        try:
            values.append(convert(word))
        except (ValueError, KeyError):
            raise CrystalError(f"{name} of atom {index} is {word[:20]!r}, which is not {what}; correct it") from None
    return np.array(values)


def _species(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, list[int]]:
    """The atomic numbers, taken out of the columns, and which atoms are deuterium.

    Atomic numbers beside labels are what the species are; the labels are kept.
    """
    named = [name for name in columns if _SYMBOLS.fullmatch(name) and columns[name].dtype.kind == "U"]
    named.sort(key=lambda name: name != "species")
    known = {name: [_number(word) for word in columns[name]] for name in named if columns[name].ndim == 1}
    symbols = next((name for name, numbers in known.items() if None not in numbers), None)
    by_number = next((name for name in columns if _NUMBERS.fullmatch(name) and columns[name].ndim == 1), None)
    if symbols is None and by_number is None:
        raise CrystalError(_not_understood(columns, known))
    for name in [name for name, numbers in known.items() if None in numbers][:1]:
        columns.setdefault("labels", columns.pop(name))
    if symbols is None:
        return _whole(columns.pop(str(by_number))), []
    numbers = np.array(known[symbols])
    words = columns.pop(symbols)
    for name in {"Z", "numbers"}.intersection(columns):
        differs = _whole(columns.pop(name)) != numbers
        if differs.any():
            index = int(differs.argmax())
            raise CrystalError(f"atom {index} is {words[index]} and has another number as {name}; correct either")
    return numbers, [index for index, word in enumerate(words) if word in ("D", "d")]


def _number(symbol: str) -> int | None:
    symbol = symbol.capitalize()
    return atomic_numbers.get("H" if symbol == "D" else symbol)


def _whole(numbers: np.ndarray) -> np.ndarray:
    if numbers.dtype.kind != "i":
        raise CrystalError("its atomic numbers are no whole numbers; announce them as Z:I:1, or write symbols")
    return numbers


def _not_understood(columns: dict[str, np.ndarray], known: dict[str, list[int | None]]) -> str:
    """What is wrong with the species."""
    for name, numbers in known.items():
        word = str(columns[name][numbers.index(None)])[:20]
        if word.isalpha() and len(word) <= 3:
            return f"unknown element {word!r}; replace it by an element"
        return (
            f"species {word!r} of atom {numbers.index(None)} is no symbol of an element; write the symbol, "
            "and labels in a column of their own (labels:S:1), atomic numbers in one called Z"
        )
    if any(map(_SYMBOLS.fullmatch, columns)):
        return "its species are no text; write symbols of elements, or call the column Z if it holds atomic numbers"
    return _NO_SPECIES
