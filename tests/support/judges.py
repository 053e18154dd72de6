"""Whether a damaged file was refused in words, or read as an independent parser reads it.

The judges share no constants with the readers that they judge; symmetry is spglib's and pymatgen's.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path

import numpy as np
from ase import Atoms

from empnn.checks.refusals import refusals
from empnn.crystals import from_arrays, from_atoms
from empnn.data.formats.cif.plain import PlainCrystals
from empnn.data.reading import entries, read
from empnn.data.records import Record
from empnn.errors import CrystalError
from support import book
from support.fuzzing import NAMES, Case
from support.parsers import readings
from support.readings import Reading, reading_of, same, same_once_merged


@dataclass
class Verdict:
    """What became of a case.

    Attributes:
        outcome: `refused`, `doubted`, the names of the parsers that agree, `as written` where what is right is known,
            `explained: why`, `disputed: ...` or `FAILURE: what`.
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
    """Read the case, and compare what was read with what is right, or with what other parsers make of it.

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
        judged = [accepted(record) for record in records]
        trouble = next(filter(None, map(_wordless, records, judged)), "") or _fast_path(case.kind, path)
    except Exception as error:
        # Whatever escapes is what is being looked for.
        return Verdict("FAILURE: escaped", f"{type(error).__name__}: {error}")
    finally:
        on_phase(False)
    seconds = time.perf_counter() - started
    sure = [atoms for atoms, why in judged if atoms is not None and not why]
    if trouble:
        return Verdict("FAILURE: words", trouble, seconds)
    if not sure:
        doubted = any(atoms is not None for atoms, _ in judged)
        return Verdict("doubted" if doubted else "refused", judged[0][1], seconds)
    verdict = _compared(case, [reading_of(atoms) for atoms in sure])
    if case.kind == "poscar" and not verdict.failed and (trouble := _other_flags(_decoded(case.content), sure[0])):
        verdict = Verdict("FAILURE: flags", trouble)
    verdict.seconds = seconds
    return verdict


def accepted(record: Record) -> tuple[Atoms | None, str]:
    """The crystal of a record if it passes the checks, and why it does not, or what is doubtful about it as read."""
    if record.atoms is None:
        return None, str(record.error)
    try:
        (reason,) = refusals(from_atoms(record.atoms))
    except CrystalError as error:
        reason = str(error)
    if reason is not None:
        return None, reason
    return record.atoms, "; ".join(_doubts(record))


def _doubts(record: Record) -> list[str]:
    doubt = record.atoms.info.get("empnn_doubts") if record.atoms is not None else None
    return [str(doubt)] if doubt else []


def _wordless(record: Record, judged: tuple[Atoms | None, str]) -> str:
    """A refusal that is not `what is wrong; what to do` on one line."""
    atoms, error = judged
    if atoms is not None:
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
        cells, frac, numbers, _ = plain.arrays()
        if record.atoms is None:
            # Whoever loads a set refuses what overlaps afterwards.
            sound = refusals(from_arrays(cells[0], frac, numbers)) == [None]
            return f"the fast path reads what the ordinary one refuses: {record.error}" if sound else ""
        cell, expected, kinds = reading_of(record.atoms)
        scale = max(1.0, float(np.abs(cell).max()), float(np.abs(expected).max()))
        if not (np.array_equal(numbers, kinds) and np.allclose(cells[0], cell, rtol=0, atol=1e-9 * scale)):
            return "the fast path reads another cell or other elements"
        apart = frac - expected
        if not np.allclose(apart, 0, rtol=0, atol=1e-9 * scale * max(1.0, float(np.linalg.cond(cell)) / 10)):
            return "the fast path reads other coordinates"
    return ""


def _compared(case: Case, ours: list[Reading]) -> Verdict:
    text = _decoded(case.content)
    if case.right is not None:
        if all(any(same(mine, right) for right in case.right) for mine in ours):
            return Verdict("as written")
        return Verdict("FAILURE: not what is written", _told(ours))
    theirs = readings(case.kind, text)
    agreeing = _agreeing(theirs, ours, same)
    if agreeing:
        if "book" in theirs and "book" not in agreeing and not _agreeing(theirs, ours, same_once_merged, "book"):
            return Verdict(f"disputed: {'+'.join(agreeing)} agrees, the book does not", _told(ours))
        return Verdict("+".join(agreeing))
    if explained := _explained(case.kind, text, ours):
        return Verdict(f"explained: {explained}")
    if not theirs:
        return Verdict("FAILURE: no judge reads it", _told(ours))
    together = all(
        any(same(one, other) for other in theirs[name]) for name in theirs for one in next(iter(theirs.values()))
    )
    return Verdict(
        f"FAILURE: {'silent difference' if together else 'no judge agrees'}", f"{list(theirs)}; {_told(ours)}"
    )


def _told(ours: list[Reading]) -> str:
    return f"{len(ours)} accepted, e.g. {ours[0][2].tolist()[:20]}"


def _agreeing(
    theirs: dict[str, list[Reading]], ours: list[Reading], alike: Callable[[Reading, Reading], bool], *names: str
) -> list[str]:
    """The parsers that find in the text every crystal that we found."""
    return [name for name in names or theirs if all(any(alike(mine, other) for other in theirs[name]) for mine in ours)]


def _explained(kind: str, text: str, ours: list[Reading]) -> str:
    for name, (kinds, rewrite) in EXPLANATIONS.items():
        if kind in kinds and _agreeing(readings(kind, rewrite(text)), ours, same):
            return name
    if kind == "cif" and _agreeing(readings(kind, text), ours, same_once_merged):
        return MERGED
    rewrites = [rewrite for kinds, rewrite in EXPLANATIONS.values() if kind in kinds]
    everything = reduce(lambda changed, rewrite: rewrite(changed), rewrites, text)
    return "several of these together" if _agreeing(readings(kind, everything), ours, same_once_merged) else ""


def _other_flags(text: str, atoms: Atoms) -> str:
    """Where VASP would hold other coordinates than the constraints do."""
    try:
        book.poscar(text)
    except (ValueError, LookupError, ArithmeticError):
        return ""
    held = np.zeros((len(atoms), 3), dtype=bool)
    for constraint in atoms.constraints:
        held[constraint.index] |= getattr(constraint, "mask", np.ones(3, dtype=bool))
    try:
        meant = book.poscar_flags(text)
    except (ValueError, KeyError):
        return "flags that VASP cannot read"
    return "" if np.array_equal(held, meant) else f"holds {held.astype(int).tolist()}, not {meant.astype(int).tolist()}"


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


_ATOM_ROW = re.compile(r"(?m)^[ \t]*[A-Za-z]\S*[ \t].*\d.*$")

_TAGS = {
    tag.lower(): tag
    for tag in (
        *("data_", "loop_", *(f"_cell_length_{axis}" for axis in "abc"), "_symmetry_equiv_pos_site_id"),
        *(f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")),
        *(f"_atom_site_{name}" for name in ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")),
        *("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz", "_atom_site_symmetry_multiplicity"),
        *("_symmetry_Int_Tables_number", "_space_group_IT_number", "_symmetry_space_group_name_H-M"),
        "_space_group_name_H-M_alt",
    )
}

MERGED = "images of one site within 0.3 angstrom are one atom, which the others keep apart or refuse"


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
    "names of columns in other letters": (
        ("extxyz",),
        lambda text: re.sub(r"(?i)(?<=[:=])(species|pos)(?=:[A-Z]:\d)", lambda found: found[0].lower(), text),
    ),
    "columns told in marks are not told at all": (
        ("extxyz",),
        _replacing(r"""["'{\[(]Properties=[^\s"'}\]]+["'}\])]""", ""),
    ),
    "D is hydrogen": (("extxyz", "poscar"), _replacing(r"(?m)^( *)D\b", r"\1H")),
}
"""Harmless departures from the rules that both other parsers stumble on: where they read the text,
rewritten so that they do not, as we read it as it is, the case is explained."""
