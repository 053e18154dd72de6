"""The settings of space groups that the names, Hall symbols, numbers and codes of a CIF can mean.

A name tells the axes, and with a suffix the origin; a Hall symbol tells both. A number tells neither, so it never
stands in for a name that is not understood.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import gemmi
import numpy as np

from empnn.errors import CrystalError

_GROUPS = ("_space_group_", "_symmetry_", "_magnetic_space_group_")
_NOT_GIVEN = ("", ".", "?")
_NUMBER = ("it_number", "int_tables_number")
_CODE = "coordinate_system_code"
_MUTE = ("patterson", "schoenflies", "_ref", "magn", "ssg")
"""In tags of names that tell no setting."""
_ONLY_OPERATORS = ("magn", "ssg")
"""In those of magnetic and superspace groups, for which nothing else stands in."""
_NO_SYMMETRY = ("p1", "1", "p1.1", "1.1")

_BEHIND = re.compile(r"(.+?)(?:[:(,]+(.*?)\)*|(hr|o[12]|[szhr]))")
"""A symbol, and a code or words behind a colon or in brackets, or the letters that databases put there."""
_WORDS = (
    (r"(?:origin|choice|setting|o)*([12])", r"\1"),
    (r"s", "1"),
    (r"z|originat(?:-1|-3m?|2/m|cent\w*)", "2"),
    (r"hr", ""),
    (r"(h)ex\w*|(r)homb\w*", r"\1\2"),
    (r"(?:unique)?axis([abc])|([abc])-?unique(?:axis)?", r"\1\2"),
    (r"(?:no\.?|number|#)?(\d+)", r"#\1"),
)
"""What stands behind symbols, as codes; a number is marked."""
_TURNED = {"ba-c": "y,x,-z", "cab": "z,x,y", "-cba": "-z,y,x", "bca": "y,z,x", "a-cb": "x,-z,y"}
"""Coordinates along the axes of a code, of those along a, b, c."""
_REVERSED = {"b": "z,-y,x", "c": "y,x,-z", "a": "-x,z,y"}
"""The same for a monoclinic cell, by its unique axis, whose other two axes are exchanged."""
_MONOCLINIC, _ORTHORHOMBIC, _TRIGONAL, _CUBIC = range(3, 16), range(16, 75), range(143, 168), range(195, 231)
_WITH_E = (39, 41, 64, 67, 68)
"""Groups with a double glide plane across the axis of the centred face, which newer tables call e."""


class Setting(NamedTuple):
    """A space group in one of its settings.

    Attributes:
        number: In International Tables; 0 for a Hall symbol of a setting that is not known.
        name: Hermann-Mauguin symbol with a suffix, or the Hall symbol.
        origin: 1 or 2 where there are two, H or R where there are two kinds of axes.
        axes: Code of its axes, empty for those that are usual.
        hall: Hall symbol.
    """

    number: int
    name: str
    origin: str
    axes: str
    hall: str

    @property
    def operators(self) -> frozenset[str]:
        """Its operators, each as x,y,z with translations from 0 to 1."""
        return _operators(self.hall)

    @property
    def group(self) -> gemmi.GroupOps:
        """The same for gemmi."""
        return gemmi.symops_from_hall(self.hall)


class _Said(NamedTuple):
    """What one item says, and the settings it can mean; if not exact, any of their groups."""

    words: str
    settings: tuple[Setting, ...]
    exact: bool = True

    def allows(self, setting: Setting) -> bool:
        if self.exact and setting.number:
            return setting.operators in [other.operators for other in self.settings]
        return _is_of_these(setting.group, setting.number, self.settings)


def settings_meant(items: Iterable[dict[str, list[str]]]) -> tuple[Setting, ...]:
    """The settings that agree with all that is said of the space group, the usual one first; none if nothing is said.

    Args:
        items: Values by tag in lower case, as of loops and pairs.

    Raises:
        CrystalError: If there are names and none is understood, or if two items contradict each other.
    """
    given = _given(items)
    said = _by_names(given) + _by_numbers(given)
    if not said:
        unknown = [v for tag, v in given if ("name" in tag or "number" in tag) and not _is_p1(v)]
        if unknown:
            raise _unknown(unknown[0])
        return ()
    groups = {setting.number for setting in said[0].settings}
    codes = [_Said(f"setting {v}", in_code(v, groups)) for tag, v in given if tag.endswith(_CODE) and 0 not in groups]
    first, *others = sorted(said + codes, key=lambda one: not one.exact)
    meant = first.settings
    for other in others:
        agreed = tuple(filter(other.allows, meant))
        if not agreed:
            raise CrystalError(
                f"its space group is given as {first.words} and as {other.words}, which contradict each other; "
                "correct one of them or list its operators"
            )
        meant = agreed
    return meant


def contradicted(items: Iterable[dict[str, list[str]]], group: gemmi.GroupOps) -> str:
    """Which name or number the operators of a group contradict, in words; empty if none, or no name is understood."""
    found = gemmi.find_spacegroup_by_ops(group)
    given = _given(items)
    try:
        said = _by_names(given) + _by_numbers(given)
    except CrystalError:
        return ""
    wrong = [one.words for one in said if not _is_of_these(group, found.number if found else 0, one.settings)]
    return f"its symmetry operators are not those of its space group {wrong[0]}" if wrong else ""


def named(name: str) -> tuple[Setting, ...]:
    """The settings that a Hermann-Mauguin symbol, in any spelling, can mean; none if it is not understood."""
    for symbol, code in _taken_apart(_plain(name)):
        found = _spelled().get(symbol) or _spelled().get(_short(symbol), ())
        if code.startswith("#"):
            found = tuple(setting for setting in found if setting.number == int(code[1:]))
        elif code:
            coded = [setting.operators for setting in in_code(code, {setting.number for setting in found})]
            found = tuple(setting for setting in found if setting.operators in coded)
        if found:
            return found
    return numbered(name)


def numbered(number: str) -> tuple[Setting, ...]:
    """The settings of a group that International Tables list, standard first; none if there is no such group."""
    return _by_number().get(int(number), ()) if number.isdecimal() else ()


def of_hall(symbol: str) -> tuple[Setting, ...]:
    """The setting of a Hall symbol; none if it is not understood."""
    try:
        group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(symbol))
    except (ValueError, RuntimeError):
        return ()
    return (Setting(0, symbol, "", "", symbol) if group is None else _setting(group),)


def in_code(code: str, numbers: Iterable[int]) -> tuple[Setting, ...]:
    """The settings of these groups that an `IT_coordinate_system_code` means; none if it is no code of theirs."""
    return tuple(setting for number in sorted(numbers) for setting in _by_code(number).get(code.lower(), ()))


def _given(items: Iterable[dict[str, list[str]]]) -> list[tuple[str, str]]:
    given = [(tag.rstrip("_"), values[0].strip()) for columns in items for tag, values in columns.items() if values]
    return [(tag, value) for tag, value in given if tag.startswith(_GROUPS) and value not in _NOT_GIVEN]


def _by_numbers(given: list[tuple[str, str]]) -> list[_Said]:
    found = [_Said(f"number {value}", numbered(value), exact=False) for tag, value in given if tag.endswith(_NUMBER)]
    return [said for said in found if said.settings]


def _by_names(given: list[tuple[str, str]]) -> list[_Said]:
    """What names and Hall symbols say; Hall symbols, which leave nothing open, first."""
    said, unknown = [], []
    for tag, value in sorted(given, key=lambda item: "_hall" not in item[0]):
        if any(map(tag.__contains__, _ONLY_OPERATORS)) and ("name" in tag or "number" in tag) and not _is_p1(value):
            raise _unknown(value)
        if "name" in tag and not any(map(tag.__contains__, _MUTE)):
            found = (of_hall(value) or named(value)) if "_hall" in tag else (named(value) or of_hall(value))
            said += [_Said(repr(value), found)] if found else []
            unknown += [] if found else [value]
    if unknown and not said:
        raise _unknown(unknown[0])
    return said


def _unknown(name: str) -> CrystalError:
    return CrystalError(f"unknown space group {name!r}; list its operators or write all atoms in P 1")


def _is_p1(name: str) -> bool:
    return name.replace(" ", "").lower() in _NO_SYMMETRY


def _plain(name: str) -> str:
    """A symbol as it is typed: no spaces, marks of subscripts and brackets of screws, and - for a bar over a digit."""
    text = re.sub(r"(\d)\s*[\u0304\u0305]", r"-\1", name.replace("\xaf", "-"))
    text = re.sub(r"\\(?:overline|bar|=)|[\u0304\u0305\u2010-\u2015\u2212]", "-", unicodedata.normalize("NFKC", text))
    text = re.sub(r"</?su[bp]>|[_~^${}]", "", text.lower().removeprefix("hall:"))
    return "".join(re.sub(r"(?<=[2346])\(([1-5])\)", r"\1", text).split())


def _taken_apart(plain: str) -> Iterator[tuple[str, str]]:
    """The symbol as a whole, then its part before a suffix with the suffix as a code."""
    yield plain, ""
    if parts := _BEHIND.fullmatch(plain):
        words = parts[2] or parts[3] or ""
        yield parts[1], next((re.sub(p, code, words) for p, code in _WORDS if re.fullmatch(p, words)), words)


def _short(symbol: str) -> str:
    """The short symbol of a full one, in which the axes across planes are not written."""
    if "-3" in symbol:
        return re.sub(r"[24][123]?/", "", symbol)
    is_full = symbol.count("/") == 3 or symbol[1:2] in ("4", "6")
    return re.sub(r"(?<![46])21?/", "", symbol) if is_full else symbol


@functools.cache
def _spelled() -> dict[str, tuple[Setting, ...]]:
    """All that gemmi knows by their symbols, typed in small letters without spaces."""
    spelled: dict[str, tuple[Setting, ...]] = {}
    for setting in map(_setting, gemmi.spacegroup_table()):
        for form in {"".join(tokens).lower() for tokens in _forms(setting)}:
            spelled[form] = (*spelled.get(form, ()), setting)
    return spelled


def _forms(setting: Setting) -> Iterator[list[str]]:
    symbol = setting.name.partition(":")[0].split()
    yield symbol
    if setting.number in _MONOCLINIC:
        yield [part for part in symbol if part != "1"]
    if setting.number in _WITH_E:
        centred = 1 + "ABC".index(symbol[0])
        yield [*symbol[:centred], "e", *symbol[centred + 1 :]]
    if setting.number in _CUBIC:
        yield [part.replace("-3", "3") for part in symbol]
    if setting.origin == "H":
        yield ["H", *symbol[1:]]


@functools.cache
def _by_number() -> dict[int, tuple[Setting, ...]]:
    found: dict[int, tuple[Setting, ...]] = {}
    for setting in map(_setting, gemmi.spacegroup_table_itb()):
        found[setting.number] = (*found.get(setting.number, ()), setting)
    return found


@functools.cache
def _by_code(number: int) -> dict[str, tuple[Setting, ...]]:
    """The settings of a group by codes; those that are not tabulated turn the standard, mostly into itself."""
    found: dict[str, tuple[Setting, ...]] = {}
    settings = _by_number().get(number, ())
    for setting in settings:
        for code in _codes(setting):
            found[code] = (*found.get(code, ()), setting)
    for setting in settings:
        if number in _ORTHORHOMBIC and not setting.axes:
            for axes, turn in _TURNED.items():
                for code in {setting.origin + axes, (setting.origin or "1") + axes}:
                    found.setdefault(code, (_turned(setting, axes, turn),))
        elif number in _MONOCLINIC and setting.axes[0] != "-":
            code = f"-{setting.axes[0]}{setting.axes[1:] or 1}"
            found.setdefault(code, (_turned(setting, code, _REVERSED[setting.axes[0]]),))
    return found


def _codes(setting: Setting) -> set[str]:
    origin, axes = setting.origin.lower(), setting.axes
    if setting.number in _MONOCLINIC:
        return {axes, axes.rstrip("123"), axes.rstrip("123") + (axes.lstrip("-abc") or "1"), "1"}
    if setting.number in _ORTHORHOMBIC:
        return {first + last for first in ("", origin or "1") for last in ("", axes or "abc")} - {""}
    return {origin or "1", "abc", "h" if setting.number in _TRIGONAL and not origin else origin or "1"}


def _turned(setting: Setting, axes: str, turn: str) -> Setting:
    return Setting(setting.number, f"{setting.name} ({axes})", setting.origin, axes, f"{setting.hall} ({turn})")


def _setting(group: gemmi.SpaceGroup) -> Setting:
    return Setting(group.number, group.xhm(), group.ext.strip("\0"), group.qualifier, group.hall)


@functools.lru_cache(maxsize=2048)
def _operators(hall: str) -> frozenset[str]:
    return frozenset(operator.wrap().triplet() for operator in gemmi.symops_from_hall(hall))


def _is_of_these(group: gemmi.GroupOps, number: int, settings: tuple[Setting, ...]) -> bool:
    """Whether a group is that of one of the settings or, if a number is not known, of its class."""
    numbers = [setting.number for setting in settings]
    if number and all(numbers):
        return number in numbers
    return _crystal_class(group) in [_crystal_class(setting.group) for setting in settings]


def _crystal_class(group: gemmi.GroupOps) -> list[tuple[float, float]]:
    """The rotations of a group by determinant and trace, which no change of axes or origin alters."""
    turns = np.array([operator.rot for operator in group.sym_ops]) / gemmi.Op.DEN
    return sorted(zip(np.linalg.det(turns).round().tolist(), turns.trace(axis1=1, axis2=2).tolist(), strict=True))
