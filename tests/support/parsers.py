"""What other programs make of a text: pymatgen, ASE where our reader does not call it, and the readers by the book."""

import io
import re
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ase.io
import numpy as np
from pymatgen.io.cif import CifParser
from pymatgen.io.vasp import Poscar

from support import book
from support.readings import SAME, Reading, reading_of

_SECONDS = 10
_MAX_OCCUPANCY = 1.05

Parser = Callable[[str], list[Reading]]


def readings(kind: str, text: str) -> dict[str, list[Reading]]:
    """The crystals that each of the other programs finds in the text and, for it may stop at a mistake, its pieces."""
    found = {name: _in_whole_or_pieces(parser, kind, text) for name, parser in PARSERS[kind].items()}
    return {name: crystals for name, crystals in found.items() if crystals}


def _in_whole_or_pieces(parser: Parser, kind: str, text: str) -> list[Reading]:
    whole = _read_by(parser, text)
    pieces = _PIECES[kind](text) if kind in _PIECES else []
    return whole + [one for piece in pieces if len(pieces) > 1 or not whole for one in _read_by(parser, piece)]


def _read_by(parser: Parser, text: str) -> list[Reading]:
    try:
        with _bounded():
            return parser(text)
    except Exception:  # the other parsers raise whatever they like
        return []


@contextmanager
def _bounded() -> Iterator[None]:
    """Other parsers get some seconds, and their warnings are nobody's concern here."""
    before = signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(_SECONDS)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _give_up(signum: int, frame: object) -> None:
    raise TimeoutError("the other parser hangs")


def _of_pymatgen(structure: Any) -> Reading:
    if not structure.is_ordered:
        raise ValueError("disordered")
    return structure.lattice.matrix, structure.frac_coords, np.array([site.specie.Z for site in structure])


def _cif_by_pymatgen(text: str) -> list[Reading]:
    parser = CifParser(io.StringIO(text), occupancy_tolerance=_MAX_OCCUPANCY)
    return [_of_pymatgen(s) for s in parser.parse_structures(primitive=False, check_occu=True, on_error="ignore")]


def _cif_by_ase(text: str) -> list[Reading]:
    found = ase.io.read(io.BytesIO(text.encode("latin-1", "replace")), ":", format="cif", fractional_occupancies=True)
    kept = []
    for atoms in found:
        occupancies = atoms.info.get("occupancy", {})
        if any(share < 1 - SAME for site in occupancies.values() for share in site.values()):
            raise ValueError("partial occupancy")
        kept.append(reading_of(atoms))
    return kept


def _poscar_by_pymatgen(text: str) -> list[Reading]:
    return [_of_pymatgen(Poscar.from_str(text).structure)]


def _cif_pieces(text: str) -> list[str]:
    return re.split(r"(?mi)^(?=data_)", text)[1:]


def _extxyz_pieces(text: str) -> list[str]:
    lines = text.split("\n")
    starts = [index for index, line in enumerate(lines) if line.strip().isdecimal()]
    return ["\n".join(lines[i:j]).rstrip() + "\n" for i, j in zip(starts, [*starts[1:], len(lines)], strict=True)]


PARSERS: dict[str, dict[str, Parser]] = {
    "cif": {"book": book.cif, "pymatgen": _cif_by_pymatgen, "ase": _cif_by_ase},
    "poscar": {"book": book.poscar, "pymatgen": _poscar_by_pymatgen},
    "extxyz": {"book": book.extxyz},
    "json": {"book": book.pymatgen_json},
}
"""Who can judge a kind of file; our own readers of POSCAR and extxyz stand on ASE, that of JSON on pymatgen."""

_PIECES: dict[str, Callable[[str], list[str]]] = {"cif": _cif_pieces, "extxyz": _extxyz_pieces}
