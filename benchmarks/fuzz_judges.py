"""Whether a damaged file was refused in words, or read as an independent parser reads it."""

import io
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any

import ase.data
import ase.io
import numpy as np
from ase import Atoms
from fuzzing import NAMES, Case
from pymatgen.io.cif import CifParser
from pymatgen.io.vasp import Poscar
from scipy.optimize import linear_sum_assignment

from empnn.checks import refusals
from empnn.crystals import from_atoms, from_ragged
from empnn.data import cif, cif_sites, cif_symmetry, plain_cif
from empnn.data.plain_cif import PlainCrystals
from empnn.data.reading import entries, read
from empnn.data.records import Record
from empnn.errors import CrystalError

SAME = 1e-3
"""How far coordinates (modulo 1) and, relatively, lattices may be apart."""

_PARSER_SECONDS = 10

Reading = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Cell, fractional coordinates and atomic numbers."""


@dataclass
class Verdict:
    """What became of a case.

    Attributes:
        outcome: `refused`, the names of the parsers that agree, `explained: why`, or `FAILURE: what`.
        detail: What a failure is about.
        seconds: How long our reading took.
    """

    outcome: str
    detail: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the case is a finding."""
        return self.outcome.startswith("FAILURE")


def judge(case: Case, folder: Path, on_phase: Callable[[bool], None] = lambda ours: None) -> Verdict:
    """Read the case, and compare what was read with what other parsers make of it.

    Args:
        case: The damaged file.
        folder: Where to put it.
        on_phase: Told when our own reading begins and ends.
    """
    path = folder / NAMES[case.kind]
    path.write_bytes(case.content)
    started = time.perf_counter()
    on_phase(True)
    try:
        records = list(read(path))
        accepted = [record.atoms for record in records if _accepted(record)]
        trouble = next(filter(None, (_wordless(record.error) for record in records)), "") or _fast_path(case.kind, path)
    except Exception as error:
        # Whatever escapes is what is being looked for.
        return Verdict("FAILURE: escaped", f"{type(error).__name__}: {error}")
    finally:
        on_phase(False)
    seconds = time.perf_counter() - started
    if trouble:
        return Verdict("FAILURE: words", trouble, seconds)
    if not accepted:
        return Verdict("refused", str(records[0].error), seconds)
    verdict = _compared(case, [_reading(atoms) for atoms in accepted])
    verdict.seconds = seconds
    return verdict


def _accepted(record: Record) -> bool:
    """Whether a crystal passes the checks; a refusal becomes the record's error."""
    if record.atoms is None:
        return False
    try:
        (reason,) = refusals(from_atoms(record.atoms))
    except CrystalError as error:
        reason = str(error)
    if reason is not None:
        object.__setattr__(record, "error", reason)
    return reason is None


def _wordless(error: str | None) -> str:
    if error is None:
        return ""
    bad = "; " not in error or "\n" in error or "\r" in error or len(error) > 400 or not error.isprintable()
    return error if bad or "Traceback" in error else ""


def _fast_path(kind: str, path: Path) -> str:
    """Where the fast path takes a CIF up, the ordinary path must read the same."""
    if kind != "cif":
        return ""
    for entry in entries(path):
        plain = PlainCrystals()
        if not plain.add(entry.cif):
            continue
        record = entry.record("", 0)
        if record.atoms is None and refusals(from_ragged(*plain.arrays()))[0] is None:
            return f"the fast path reads what the ordinary one refuses: {record.error}"
        if record.atoms is None:
            continue
        cells, frac, numbers, _ = plain.arrays()
        cell, expected, kinds = _reading(record.atoms)
        scale = max(1.0, float(np.abs(cell).max()), float(np.abs(expected).max()))
        if not (np.array_equal(numbers, kinds) and np.allclose(cells[0], cell, rtol=0, atol=1e-9 * scale)):
            return "the fast path reads another cell or other elements"
        apart = frac - expected
        if not np.allclose(apart, 0, rtol=0, atol=1e-9 * scale * max(1.0, _condition(cell))):
            return "the fast path reads other coordinates"
    return ""


def _condition(cell: np.ndarray) -> float:
    return float(np.linalg.cond(cell)) / 10


def _compared(case: Case, ours: list[Reading]) -> Verdict:
    text = _decoded(case.content)
    agreeing = _agreeing(case.kind, text, ours, same)
    if agreeing:
        return Verdict("+".join(agreeing))
    for name, (kinds, rewrite) in EXPLANATIONS.items():
        if case.kind in kinds and _agreeing(case.kind, rewrite(text), ours, same):
            return Verdict(f"explained: {name}")
    if case.kind == "cif" and _agreeing(case.kind, text, ours, same_once_merged):
        return Verdict(f"explained: {MERGED}")
    everything = reduce(lambda changed, rewrite: rewrite(changed), _rewrites(case.kind), text)
    if _agreeing(case.kind, everything, ours, same_once_merged):
        return Verdict("explained: several of these together")
    return Verdict("FAILURE: nonsense", f"{len(ours)} accepted, e.g. {ours[0][2].tolist()[:20]}")


def _agreeing(kind: str, text: str, ours: list[Reading], alike: Callable[[Reading, Reading], bool]) -> list[str]:
    """The parsers that find in the text every crystal that we found."""
    agreeing = []
    for name, parser in _PARSERS[kind].items():
        theirs = list(_read_by(parser, text, _PIECES[kind]))
        if theirs and all(any(alike(mine, other) for other in theirs) for mine in ours):
            agreeing.append(name)
    return agreeing


def _rewrites(kind: str) -> list[Callable[[str], str]]:
    return [rewrite for kinds, rewrite in EXPLANATIONS.values() if kind in kinds]


def same(first: Reading, second: Reading) -> bool:
    """Whether two readings are one crystal: metric, species, coordinates modulo 1, in any order of the atoms."""
    (cell, frac, numbers), (other_cell, other_frac, other_numbers) = first, second
    if len(numbers) != len(other_numbers) or sorted(numbers.tolist()) != sorted(other_numbers.tolist()):
        return False
    metric, other_metric = cell @ cell.T, other_cell @ other_cell.T
    if not np.allclose(metric, other_metric, rtol=SAME, atol=SAME * np.sqrt(np.abs(metric).max())):
        return False
    if _apart(frac - other_frac).max() < SAME and np.array_equal(numbers, other_numbers):
        return True
    costs = _apart(frac[:, None] - other_frac[None]) + (numbers[:, None] != other_numbers[None])
    return bool(costs[linear_sum_assignment(costs)].max() < SAME)


def same_once_merged(mine: Reading, other: Reading) -> bool:
    """The same crystal once atoms of one element within 0.3 angstrom are one, as the images of one site are to us."""
    cell, frac, numbers = other
    kept: list[int] = []
    for index in range(len(numbers)):
        apart = frac[kept] - frac[index]
        close = np.linalg.norm((apart - np.round(apart)) @ cell, axis=1) <= cif.SAME_ATOM
        if not (close & (numbers[kept] == numbers[index])).any():
            kept.append(index)
    return same(mine, (cell, frac[kept], numbers[kept]))


def _apart(difference: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.abs(difference - np.round(difference)), nan=1.0).max(-1)


def _reading(atoms: Atoms) -> Reading:
    cell = np.asarray(atoms.cell.array)
    return cell, np.linalg.solve(cell.T, atoms.positions.T).T, atoms.numbers


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


Parser = Callable[[str], list[Reading]]


def _read_by(parser: Parser, text: str, pieces: Callable[[str], list[str]]) -> Iterator[Reading]:
    """What a parser makes of the text and, for it stops at the first mistake, of each of its pieces."""
    for part in [text, *pieces(text)]:
        try:
            with _bounded():
                found = parser(part)
        except Exception:  # noqa: S112 - the other parsers raise whatever they like
            continue
        yield from found


@contextmanager
def _bounded() -> Iterator[None]:
    """Other parsers get some seconds, and their warnings are nobody's concern here."""
    before = signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(_PARSER_SECONDS)
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
    parser = CifParser(io.StringIO(text), occupancy_tolerance=cif_sites.MAX_OCCUPANCY)
    return [_of_pymatgen(s) for s in parser.parse_structures(primitive=False, check_occu=True, on_error="ignore")]


def _cif_by_ase(text: str) -> list[Reading]:
    found = ase.io.read(io.BytesIO(text.encode("latin-1", "replace")), ":", format="cif", fractional_occupancies=True)
    kept = []
    for atoms in found:
        occupancies = atoms.info.get("occupancy", {})
        if any(share < 1 - SAME for site in occupancies.values() for share in site.values()):
            raise ValueError("partial occupancy")
        kept.append(_reading(atoms))
    return kept


def _poscar_by_pymatgen(text: str) -> list[Reading]:
    return [_of_pymatgen(Poscar.from_str(text).structure)]


def _poscar_by_ase(text: str) -> list[Reading]:
    return [_reading(atoms) for atoms in ase.io.read(io.StringIO(text), ":", format="vasp")]


def _extxyz_by_ase(text: str) -> list[Reading]:
    return [_reading(atoms) for atoms in ase.io.read(io.StringIO(text), ":", format="extxyz")]


def _extxyz_by_hand(text: str) -> list[Reading]:
    """The lattice and the columns of species and positions, taken literally; independent of ASE."""
    lines = [line for line in text.split("\n") if line.strip()]
    count, comment = int(lines[0]), lines[1]
    cell = np.array(_key(comment, "Lattice").replace(",", " ").split(), dtype=float).reshape(3, 3)
    fields = _key(comment, "Properties").split(":")
    width = dict(zip(fields[::3], map(int, fields[2::3]), strict=True))
    start = {name: sum(list(width.values())[:index]) for index, name in enumerate(width)}
    rows = [line.split() for line in lines[2 : 2 + count]]
    numbers = np.array([ase.data.atomic_numbers[row[start["species"]].capitalize()] for row in rows])
    positions = np.array([row[start["pos"] : start["pos"] + 3] for row in rows], dtype=float)
    return [_reading(Atoms(numbers, positions=positions, cell=cell, pbc=True))]


def _key(comment: str, name: str) -> str:
    quoted = re.search(rf"""(?:^|\s){name}\s*=\s*(?:"([^"]*)"|'([^']*)'|(\S+))""", comment)
    if quoted is None:
        raise ValueError(name)
    return next(group for group in quoted.groups() if group is not None)


def _cif_pieces(text: str) -> list[str]:
    return re.split(r"(?mi)^(?=data_)", text)[1:]


def _extxyz_pieces(text: str) -> list[str]:
    lines = text.split("\n")
    starts = [index for index, line in enumerate(lines) if line.strip().isdecimal()]
    return ["\n".join(lines[i:j]).rstrip() + "\n" for i, j in zip(starts, [*starts[1:], len(lines)], strict=True)]


_PARSERS: dict[str, dict[str, Callable[[str], list[Reading]]]] = {
    "cif": {"pymatgen": _cif_by_pymatgen, "ase": _cif_by_ase},
    "poscar": {"pymatgen": _poscar_by_pymatgen, "ase": _poscar_by_ase},
    "extxyz": {"hand": _extxyz_by_hand, "ase": _extxyz_by_ase},
}
_PIECES: dict[str, Callable[[str], list[str]]] = {
    "cif": _cif_pieces,
    "poscar": lambda text: [],
    "extxyz": _extxyz_pieces,
}

_ATOM_ROW = re.compile(r"(?m)^[ \t]*[A-Za-z]\S*[ \t].*\d.*$")

MERGED = "images of one site within 0.3 angstrom are one atom, which the others keep apart or refuse"

_TAGS = {
    tag.lower(): tag
    for tag in (
        *("data_", "loop_", *cif.CELL_TAGS, *plain_cif.PLAIN_SITE_TAGS),
        *(*cif_symmetry.OPERATOR_TAGS, *cif_symmetry.GROUP_NUMBERS),
        *("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt", "_symmetry_equiv_pos_site_id"),
    )
}


def _usual_letters(text: str) -> str:
    """CIF's tags and, in practice, elements mean the same in capitals and small letters."""
    text = re.sub(r"(?mi)^\s*(_\S+|data_|loop_)", lambda found: _TAGS.get(found[0].strip().lower(), found[0]), text)
    return _ATOM_ROW.sub(lambda row: re.sub(r"[A-Za-z]+", lambda word: word[0].capitalize(), row[0]), text)


def _replacing(pattern: str, new: str) -> Callable[[str], str]:
    return partial(re.sub, pattern, new)


EXPLANATIONS: dict[str, tuple[tuple[str, ...], Callable[[str], str]]] = {
    "stop_ ends a loop, as in STAR": (("cif",), _replacing(r"(?m)^\s*stop_\s*$", "")),
    "global_ begins a block, as in STAR": (("cif",), _replacing(r"(?m)^\s*global_\s*$", "data_global")),
    "text before the first data block": (("cif",), _replacing(r"(?ims)\A.*?^(?=data_)", "")),
    "empty lines between atoms": (("extxyz",), _replacing(r"\n(?:[ \t]*\n)+", "\n")),
    "an occupancy that is not given (. or ?) is 1": (("cif",), _replacing(r"(?m)[ \t][.?][ \t]*$", " 1")),
    "tags of a loop on one line": (("cif",), _replacing(r"(?m)^([ \t]*_\S+)[ \t]+(?=_)", "\\1\n")),
    "an element with a label behind _": (("cif",), _replacing(r"(?m)^([ \t]*[A-Z][a-z]?)_\w+", r"\1")),
    "tags and elements in other letters": (("cif",), _usual_letters),
    "D is hydrogen": (("extxyz", "poscar"), _replacing(r"(?m)^( *)D\b", r"\1H")),
}
"""Harmless departures from the rules that both other parsers stumble on: where they read the text,
rewritten so that they do not, as we read it as it is, the case is explained."""
