"""CIF, POSCAR, extended XYZ and pymatgen JSON read by the book: slow, strict, and without a line of ours or of gemmi.

What contradicts itself, or can be meant in several ways, cannot be read. Symmetry is spglib's.
"""

import itertools
import json
import math
import re
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import spglib
from ase.data import chemical_symbols

from support import settings
from support.readings import Reading

_NUMBERS = {symbol: number for number, symbol in enumerate(chemical_symbols) if number} | {"D": 1}
_TOKEN = re.compile(
    r"^;(?P<field>.*?)\n;|\#[^\n]*|'(?P<one>[^\n]*?)'(?=\s|\Z)|\"(?P<two>[^\n]*?)\"(?=\s|\Z)|(?P<word>\S+)",
    re.MULTILINE | re.DOTALL,
)
_TERM = re.compile(r"([+-]?)(?:(\d+(?:\.\d*)?|\.\d+)(?:/(\d+))?\*?)?([xyz]?)")
_CIF_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\(\d+\))?")
_CHARGED = re.compile(r"([A-Z][a-z]?)(?:\d*[+-]|[+-]\d+)?")
_LABELLED = re.compile(r"([A-Z][a-z]?)(?![a-z])\S*")
_OPERATORS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_NAMES = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group_name_h-m_full")
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_GROUP = ("_space_group_it_number", "_symmetry_int_tables_number")
_CODE = ("_space_group_it_coordinate_system_code",)
_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_ONE_ATOM = 0.1
"""Images of a site that are one atom, angstrom."""
_FITS = 0.01
"""How far, relatively, an operation may be from an isometry of the cell."""


def cif(text: str) -> list[Reading]:
    """The crystals of all data blocks that can be read.

    Raises:
        ValueError: If the text is not CIF.
    """
    found = []
    for block in _blocks(text):
        try:
            found.append(_crystal(block))
        except (ValueError, KeyError):
            continue
    return found


def poscar(text: str) -> list[Reading]:
    """The crystal of a POSCAR, as VASP's manual has it."""
    lines = text.split("\n")
    factors = [float(word) for word in _numbers(lines[1])]
    cell = np.array([[float(word) for word in line.split()[:3]] for line in lines[2:5]])
    if len(factors) not in (1, 3):
        raise ValueError("scale")
    volume = abs(np.linalg.det(cell))
    factor = np.array(factors) if factors[0] > 0 else np.full(1, np.cbrt(-factors[0] / volume))
    if (factor <= 0).any() or (len(factors) == 3 and factors[0] < 0):
        raise ValueError("scale")
    symbols, counts, at = _species_lines(lines)
    mode = lines[at].strip()[:1].lower()
    if not mode.isalpha():
        raise ValueError("mode")
    rows = [line.split() for line in lines[at + 1 : at + 1 + sum(counts)]]
    places = np.array([[float(word) for word in row[:3]] for row in rows])
    if places.shape != (sum(counts), 3):
        raise ValueError("rows")
    numbers = np.repeat([_NUMBERS[re.split("[_/]", symbol)[0]] for symbol in symbols], counts)
    scaled = cell * factor
    return [(scaled, np.linalg.solve(scaled.T, (places * factor).T).T if mode in "ck" else places, numbers)]


def poscar_flags(text: str) -> np.ndarray:
    """Which coordinates of which atoms VASP would hold (atoms, 3), by Fortran's rules for logical values."""
    lines = text.split("\n")
    _, counts, at = _species_lines(lines)
    if lines[at - 1].strip()[:1].lower() != "s":
        return np.zeros((sum(counts), 3), dtype=bool)
    rows = [line.replace(",", " ").split()[3:6] for line in lines[at + 1 : at + 1 + sum(counts)]]
    return np.array([[{"T": False, "F": True}[word.lstrip(".")[:1].upper()] for word in row] for row in rows])


def extxyz(text: str) -> list[Reading]:
    """The lattice and the columns of species and positions, taken literally."""
    lines = [line for line in text.split("\n") if line.strip()]
    count, comment = int(lines[0]), lines[1]
    if "occupancy" in comment:
        raise ValueError("occupancy")
    cell = np.array(re.sub(r"[\[\],]", " ", _key(comment, "Lattice")).split(), dtype=float).reshape(3, 3)
    rows = [line.split() for line in lines[2 : 2 + count]]
    plain = "Properties" not in comment
    fields = ("species:S:1:pos:R:3" if plain else _key(comment, "Properties")).split(":")
    width = dict(zip(fields[::3], map(int, fields[2::3]), strict=True))
    start = {name: sum(list(width.values())[:index]) for index, name in enumerate(width)}
    if any(len(row) != sum(width.values()) for row in rows if not plain) or width["pos"] != 3:
        raise ValueError("columns")
    if "species" in start:
        numbers = np.array([_NUMBERS[row[start["species"]].capitalize()] for row in rows])
    else:
        numbers = np.array([int(row[start["Z"]]) for row in rows])
    positions = np.array([row[start["pos"] : start["pos"] + 3] for row in rows], dtype=float)
    return [(cell, np.linalg.solve(cell.T, positions.T).T, numbers)]


def pymatgen_json(text: str) -> list[Reading]:
    """The structures that are ordered and whole."""
    content = json.loads(text)
    found = []
    for entry in content if isinstance(content, list) else [content]:
        held = entry.get("structure", entry)
        described = json.loads(held) if isinstance(held, str) else held
        species = [site["species"] for site in described["sites"]]
        if all(len(one) == 1 and abs(one[0].get("occu", 1) - 1) < 1e-3 for one in species):
            cell = np.array(described["lattice"]["matrix"], dtype=float).reshape(3, 3)
            numbers = np.array([_NUMBERS[one[0]["element"]] for one in species])
            found.append((cell, np.array([site["abc"] for site in described["sites"]], dtype=float), numbers))
    return found


def _numbers(line: str) -> list[str]:
    return list(itertools.takewhile(lambda word: re.fullmatch(r"[+-]?[\d.]+(?:[eEdD][+-]?\d+)?", word), line.split()))


def _species_lines(lines: list[str]) -> tuple[list[str], list[int], int]:
    """Symbols, counts, and the line of the mode of the coordinates.

    Without a line of elements (VASP 4) the first line has to be one, perhaps with their counts: Na4 Cl4.
    """
    words = lines[5].split("!")[0].split()
    without = words[0].isdecimal()
    at = 6 if without else 7
    counts = [int(word) for word in lines[at - 1].split("!")[0].split()]
    symbols = words
    if without:
        symbols = [word.removesuffix(str(n)) for word, n in zip(lines[0].split(), counts, strict=True)]
    if len(symbols) != len(counts) or min(counts) < 0:
        raise ValueError("species")
    return symbols, counts, at + 1 if lines[at].strip()[:1].lower() == "s" else at


def _key(comment: str, name: str) -> str:
    quoted = re.search(
        rf"""(?:^|\s){name}\s*=\s*(?:"([^"]*)"|'([^']*)'|\{{([^}}]*)\}}|(\[.*?\]\s*\])|(\S+))""", comment
    )
    if quoted is None:
        raise ValueError(name)
    return next(group for group in quoted.groups() if group is not None)


def _blocks(text: str) -> list[dict[str, list[str]]]:
    """The values under each tag, in small letters and with _ for the dots of newer dictionaries, of each block."""
    blocks: list[dict[str, list[str]]] = []
    tokens = [(found.lastgroup, found[found.lastgroup]) for found in _TOKEN.finditer(text) if found.lastgroup]
    at = 0
    while at < len(tokens):
        word = tokens[at][1].lower() if tokens[at][0] == "word" else ""
        at += 1
        if word.startswith("data_"):
            blocks.append({})
        elif word == "loop_":
            at = _loop(tokens, at, blocks[-1])
        elif word.startswith("_") and at < len(tokens) and not _is_word(tokens[at]):
            _put(blocks[-1], word, [tokens[at][1]])
            at += 1
        else:
            raise ValueError(f"{word!r} is out of place")
    return blocks


def _loop(tokens: list[tuple[str, str]], at: int, block: dict[str, list[str]]) -> int:
    tags = list(itertools.takewhile(lambda token: token[0] == "word" and token[1].startswith("_"), tokens[at:]))
    at += len(tags)
    values = [text for _, text in itertools.takewhile(lambda token: not _is_word(token), tokens[at:])]
    if not tags or not values or len(values) % len(tags):
        raise ValueError("a loop is not full")
    for column, (_, tag) in enumerate(tags):
        _put(block, tag, values[column :: len(tags)])
    return at + len(values)


def _is_word(token: tuple[str, str]) -> bool:
    """Whether a token is a tag or begins something."""
    kind, text = token
    return kind == "word" and (text[0] in "_'\"" or bool(re.match(r"(?i)data_|loop_$|save_|stop_$|global_$", text)))


def _put(block: dict[str, list[str]], tag: str, values: list[str]) -> None:
    key = tag.lower().replace(".", "_")
    if key in block:
        raise ValueError(f"{tag} stands twice")
    block[key] = values


def _number(text: str) -> float:
    found = _CIF_NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no number")
    return float(found[1])


def _crystal(block: dict[str, list[str]]) -> Reading:
    parameters = [_number(block[f"_cell_{name}"][0]) for name in _CELL]
    cell = _cell(parameters)
    places = np.array([[_number(word) for word in block[f"_atom_site_fract_{axis}"]] for axis in "xyz"]).T
    kinds = _kinds(block)
    _check_sites(block)
    rotations, translations = _symmetry(block, cell)
    frac: list[np.ndarray] = []
    numbers: list[int] = []
    for kind, place in zip(kinds, places, strict=True):
        for image in rotations @ place + translations:
            apart = np.array([other - image for other, one in zip(frac, numbers, strict=True) if one == kind])
            if not len(apart) or np.linalg.norm((apart - np.round(apart)) @ cell, axis=1).min() > _ONE_ATOM:
                frac.append(image)
                numbers.append(kind)
    _check_contents(block, numbers)
    return cell, np.array(frac), np.array(numbers)


def _cell(parameters: list[float]) -> np.ndarray:
    a, b, c, *angles = parameters
    cos_alpha, cos_beta, cos_gamma = (math.cos(math.radians(angle)) for angle in angles)
    metric = np.array(
        [
            [a * a, a * b * cos_gamma, a * c * cos_beta],
            [a * b * cos_gamma, b * b, b * c * cos_alpha],
            [a * c * cos_beta, b * c * cos_alpha, c * c],
        ]
    )
    if min(parameters) <= 0 or max(angles) >= 180:
        raise ValueError("cell")
    try:
        return np.linalg.cholesky(metric)
    except np.linalg.LinAlgError as error:
        raise ValueError("cell") from error


def _kinds(block: dict[str, list[str]]) -> list[int]:
    """Atomic numbers: of a whole symbol with a charge, or of a label where there are no symbols."""
    symbols = block.get("_atom_site_type_symbol")
    pattern = _LABELLED if symbols is None else _CHARGED
    found = [pattern.fullmatch(word) for word in (symbols or block["_atom_site_label"])]
    return [_NUMBERS[match[1] if match else ""] for match in found]


def _check_sites(block: dict[str, list[str]]) -> None:
    if any(abs(_number(share) - 1) > 1e-3 for share in block.get("_atom_site_occupancy", []) if share not in ".?"):
        raise ValueError("occupancy")
    groups = set(block.get("_atom_site_disorder_group", [])) - {".", "?"}
    flags = {flag.lower() for flag in block.get("_atom_site_calc_flag", [])}
    attached = set(block.get("_atom_site_attached_hydrogens", [])) - {".", "?", "0"}
    if groups or attached or "dum" in flags:
        raise ValueError("disorder, hydrogens that are not listed, or dummy atoms")


def _check_contents(block: dict[str, list[str]], numbers: list[int]) -> None:
    """Contents against formula and Z; pymatgen gives the formula of the cell, and Z beside it."""
    formula = block.get("_chemical_formula_sum", ["?"])[0]
    parts = re.findall(r"([A-Z][a-z]?)\s*(\d*\.?\d*)", formula)
    if formula in ".?" or not parts:
        return
    told: dict[int, float] = {}
    for symbol, count in parts:
        told[_NUMBERS[symbol]] = told.get(_NUMBERS[symbol], 0.0) + float(count or 1)
    held = Counter(numbers)
    ratios = [held[kind] / count for kind, count in told.items()]
    ratio = min(ratios)
    if set(told) != set(held) or max(ratios) - ratio > 1e-6:
        raise ValueError("formula")
    units = block.get("_cell_formula_units_z", ["?"])[0]
    if units not in ".?" and abs(ratio - _number(units)) > 1e-6 and abs(ratio - 1) > 1e-6:
        raise ValueError("Z")


def _symmetry(block: dict[str, list[str]], cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and translations, all of them isometries of the cell, that form a group."""
    listed = [block[tag] for tag in _OPERATORS if tag in block]
    named = _named(block)
    if not listed:
        if any("symop" in tag or "symmetry_equiv" in tag for tag in block):
            raise ValueError("operators under other tags")
        return _of_named(named, cell)
    rotations, translations = map(np.array, zip(*map(_operator, listed[0]), strict=True))
    keys = set(zip(map(bytes, rotations.astype(np.int8)), map(tuple, _twelfths(translations).tolist()), strict=True))
    if len(listed) > 1 or not _fit(rotations, cell) or not _is_closed(rotations, translations, keys):
        raise ValueError("no group of isometries")
    number = spglib.get_spacegroup_type_from_symmetry(rotations, translations, lattice=cell, symprec=1e-3)
    if named is not None and number is not None and number.number not in {group.number for group in named}:
        raise ValueError("operators of another group")
    return rotations, translations


def _named(block: dict[str, list[str]]) -> list[settings.Group] | None:
    """The settings that fit all that is said of the group; None where nothing is."""
    found: list[settings.Group] = list(settings.table())
    told = False
    for tags, fitting in ((_HALL, _with_symbol), (_NAMES, _with_name), (_GROUP, _with_number), (_CODE, _with_code)):
        for value in (block[tag][0] for tag in tags if tag in block):
            if value not in ".?":
                found, told = [group for group in found if fitting(group, value)], True
    if told and not found:
        raise ValueError("no such group")
    return found if told else None


def _of_named(named: list[settings.Group] | None, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if named is None:
        return np.eye(3)[None], np.zeros((1, 3))
    fitting = [group for group in named if _fit(settings.operations(group.hall)[0], cell)]
    kinds = {frozenset(settings.operators(group.hall)) for group in fitting}
    if len(kinds) != 1:
        raise ValueError("several settings are meant" if kinds else "the cell is not of this group")
    return settings.operations(fitting[0].hall)


def _with_symbol(group: settings.Group, value: str) -> bool:
    # Marks of quotation mean something here: 3 2" is not 3 2.
    return re.sub(r"[\s_]", "", group.symbol).lower() == re.sub(r"[\s_]", "", value).lower()


def _with_name(group: settings.Group, value: str) -> bool:
    name, _, suffix = value.partition(":")
    return _bare(name) in _spellings(group.hall) and suffix.strip().upper() in ("", group.origin_or_axes, group.choice)


@cache
def _spellings(hall: int) -> frozenset[str]:
    group = settings.table()[hall - 1]
    names = {_bare(name) for name in group.names}
    if group.number >= 195:
        names |= {name.replace("-3", "3") for name in names}
    return frozenset(names)


def _with_number(group: settings.Group, value: str) -> bool:
    return group.number == int(value)


def _with_code(group: settings.Group, value: str) -> bool:
    return value.lower() in (group.code, group.choice.lower())


def _bare(name: str) -> str:
    return re.sub(r"[\s_()'\"]", "", name).lower()


def _operator(text: str) -> tuple[np.ndarray, np.ndarray]:
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    components = text.lower().replace(" ", "").split(",")
    if len(components) != 3:
        raise ValueError("operator")
    for row, component in enumerate(components):
        terms = [found for found in _TERM.finditer(component) if found[0]]
        if "".join(found[0] for found in terms) != component or not terms:
            raise ValueError("operator")
        for sign, number, divisor, axis in (found.groups() for found in terms):
            value = (-1 if sign == "-" else 1) * float(number or 1) / float(divisor or 1)
            if axis:
                rotation[row, "xyz".index(axis)] += value
            else:
                translation[row] += value
    return rotation, translation


def _fit(rotations: np.ndarray, cell: np.ndarray) -> bool:
    metric = cell @ cell.T
    lengths = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    moved = np.swapaxes(rotations, 1, 2) @ metric @ rotations
    return bool((np.abs(moved - metric) / lengths).max() < _FITS)


def _twelfths(translations: np.ndarray) -> np.ndarray:
    return np.round(translations * 24).astype(int) % 24


def _is_closed(rotations: np.ndarray, translations: np.ndarray, keys: set[Any]) -> bool:
    for rotation, translation in zip(rotations, translations, strict=True):
        products = (rotation @ rotations).astype(np.int8)
        shifts = _twelfths(translations @ rotation.T + translation)
        if not keys.issuperset(zip(map(bytes, products), map(tuple, shifts.tolist()), strict=True)):
            return False
    return (np.eye(3, dtype=np.int8).tobytes(), (0, 0, 0)) in keys
