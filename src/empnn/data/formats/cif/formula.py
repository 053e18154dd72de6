"""The formula and the number of formula units that a CIF states, held against the atoms that it lists."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

import gemmi
from ase.data import chemical_symbols

SYMBOLS = frozenset({*chemical_symbols[1:], "D"})
_SUM = "_chemical_formula_sum"
_FORMULAS = (_SUM, "_chemical_formula_structural", "_chemical_formula_moiety")
"""What Z may count the units of."""
_UNITS = "_cell_formula_units_Z"
_ROUNDED = 0.03
"""How far, in atoms per formula, a number that is no whole one may be off: 0.98 stands for 1, and 0.33 for 1/3."""
_EXACT = 1e-6

_COUNT = r"(\d+\.?\d*|\.\d+)?"
_PAIR = re.compile("(?=([A-Z]{2}))")
_WORD = re.compile(rf"[A-Z]{{1,2}}{_COUNT}")
_TOKEN = re.compile(rf"([A-Z][a-z]?|[(\[)\]]){_COUNT}")
_NOT_COUNTED = re.compile(r"~|(?<=\d)\(\d+\)|(?<=[)\]])n\b|(?:(?<=[\s)\]])\d+)?[+-]\d*")
"""Marks of subscripts, uncertainties, units that repeat, charges."""
_DOT_BETWEEN_UNITS = re.compile(r"\.\d+[A-Za-z([]")

Formula = Mapping[str, float]
"""Atoms by element."""


def parsed(text: str) -> Formula:
    """The atoms of a formula as people write it, `C2 H6 O`, `SI O2`, `Ca(OH)2`; none if it is not clear."""
    plain = _NOT_COUNTED.sub("", text).strip()
    if plain.isupper() and SYMBOLS.intersection(pair.title() for pair in _PAIR.findall(plain)):
        words = plain.split()
        # CO2 alone may be of one element or of two.
        plain = plain.title() if len(words) > 1 and all(map(_WORD.fullmatch, words)) else "?"
    if _TOKEN.sub("", plain).strip() or _DOT_BETWEEN_UNITS.search(plain):
        return {}
    groups: list[dict[str, float]] = [{}]
    for part, count in _TOKEN.findall(plain):
        if part in "([":
            groups.append({})
            continue
        inner = groups.pop() if part in ")]" else {part: 1.0}
        if not groups:
            return {}
        for symbol, number in inner.items():
            groups[-1][symbol] = groups[-1].get(symbol, 0.0) + number * float(count or 1)
    found = {symbol: number for symbol, number in groups[-1].items() if number > 0}
    return found if len(groups) == 1 and SYMBOLS.issuperset(found) else {}


def stated_elements(block: gemmi.cif.Block) -> frozenset[str]:
    """The elements of the block's formula; none if there is no formula, or one that is not understood."""
    return frozenset(parsed(_text(block, _SUM)))


def contradiction(block: gemmi.cif.Block, symbols: list[str], attached: float) -> str | None:
    """What the atoms of a cell lack or have too many of by the block's own account, in words; None if they agree.

    Any number of formula units is fine where Z does not say how many. Z may count units of the sum, the structural or
    the moiety formula, or of the smallest one where the sum is that of the whole cell.

    Args:
        block: The CIF block.
        symbols: The elements of all atoms in the cell.
        attached: Hydrogen atoms said to be attached to those listed, and not listed themselves.
    """
    held = _with_hydrogen({symbol: float(number) for symbol, number in Counter(symbols).items()})
    text = _text(block, _SUM)
    formula = _with_hydrogen(parsed(text))
    if not formula:
        return f"{attached:g} H missing, which are attached to its atoms but have no coordinates" if attached else None
    units = gemmi.cif.as_number(block.find_value(_UNITS) or "?")
    times, apart = _closest(held, formula, units)
    if apart:
        without = f" ({attached:g} attached ones have no coordinates)" if attached else ""
        return f"its atoms contradict its formula {text!r}: {_in_words(apart)}{without}"
    smallest_units = math.gcd(*Counter(symbols).values())
    if not units > 0 or (times == 1 and smallest_units == units):
        return None
    for other in filter(None, (_with_hydrogen(parsed(_text(block, tag))) for tag in _FORMULAS)):
        count, wrong = _closest(held, other, units)
        if not wrong and math.isclose(count, units, rel_tol=_ROUNDED):
            return None
    apart = _apart(held, formula, units)
    return f"its atoms are {times:.4g} times its formula {text!r} where Z is {units:g}: {_in_words(apart)}"


def _text(block: gemmi.cif.Block, tag: str) -> str:
    return " ".join(gemmi.cif.as_string(block.find_value(tag) or "").split())


def _with_hydrogen(formula: Formula) -> Formula:
    """The same with deuterium counted as hydrogen."""
    named = {symbol: number for symbol, number in formula.items() if symbol != "D"}
    return {**named, "H": named.get("H", 0.0) + formula["D"]} if "D" in formula else named


def _closest(held: Formula, formula: Formula, units: float) -> tuple[float, dict[str, float]]:
    """How many formulas come closest to the atoms, Z or else more if several do, and what is left apart."""
    candidates = [held[symbol] / number for symbol, number in formula.items() if symbol in held] or [1.0]
    apart = {times: _apart(held, formula, times) for times in candidates}
    best = min(candidates, key=lambda times: (len(apart[times]), not math.isclose(times, units), -times))
    return best, apart[best]


def _apart(held: Formula, formula: Formula, times: float) -> dict[str, float]:
    """Atoms over those of so many formulas, negative if some are missing, for the elements that disagree."""
    apart = {}
    for symbol in sorted({*held, *formula}):
        here, there = held.get(symbol, 0.0), formula.get(symbol, 0.0)
        if abs(here / times - there) > (_EXACT if there.is_integer() else _ROUNDED):
            apart[symbol] = here - times * there
    return apart


def _in_words(apart: Formula) -> str:
    return ", ".join(
        f"{round(abs(over), 2):g} {symbol} {'too many' if over > 0 else 'missing'}" for symbol, over in apart.items()
    )
