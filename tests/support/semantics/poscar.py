"""POSCARs that no longer say what they said."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms

from support import book
from support.drafts import PoscarDraft, poscar_draft
from support.rewriting.sources import Source
from support.semantics.changes import Change, Changed, by

_PROSE = (
    *("fcc Cu bulk", "made by hand", "I am a crystal", "No comment", "C", "H He", "", "POSCAR", "system: NaCl"),
    "F C C",
)
_LOGICALS = (
    *("T T F", "t f t", ".TRUE. .FALSE. .T.", "true false false", ".f. .f. .f.", "F F F Na", "T T T 1.0"),
    "FALSE T TRUE",
)
_SCALES = (
    *("0", "0.0", "1.0 ! factor", "1.0 1.0 1.0", "1.0 2.0", "-1.0 1.0 1.0", "1,0", "a", "", "1.0 x", "nan"),
    *("1d0", "1.0 Si", "inf"),
)
_MODES = ("Fractional", "Relative", "direct coordinates", "Dir", "S", "", "!Direct", "Reciprocal", "Selective")


def of_poscar(change: Callable[[PoscarDraft, random.Random], tuple[str, bool]]) -> Change:
    """A change of a POSCAR; it says whether anything may come out of it."""

    def changed(source: Source, rng: random.Random) -> Changed:
        draft = poscar_draft(source.atoms)
        numbers = np.repeat([Atoms(symbol).numbers[0] for symbol in draft.symbols or []], draft.counts)
        text, usable = change(draft, rng)
        return text, ((draft.cell, draft.rows, numbers), *by(book.poscar, text)) if usable else ()

    changed.__name__ = change.__name__
    return changed


@of_poscar
def drop_elements(draft: PoscarDraft, rng: random.Random) -> tuple[str, bool]:
    """VASP 4: prose in the comment, or the elements in one form or another."""
    named = " ".join(draft.symbols or [])
    counted = "".join(f"{s}{n}" for s, n in zip(draft.symbols or [], draft.counts, strict=True))
    comment = rng.choice((*_PROSE, named, counted, f"{counted} bulk", f"# {named}", named.lower()))
    return replace(draft, symbols=None, comment=comment).text(), True


@of_poscar
def swap_elements_and_counts(draft: PoscarDraft, rng: random.Random) -> tuple[str, bool]:
    """The counts stand before the elements."""
    lines = draft.text().split("\n")
    lines[5], lines[6] = lines[6], lines[5]
    return "\n".join(lines), True


@of_poscar
def other_elements(draft: PoscarDraft, rng: random.Random) -> tuple[str, bool]:
    """Words that are no elements, or as many as there are not counts."""
    named = list(draft.symbols or [])
    at = rng.randrange(len(named))
    kind = named[at]
    forms = (f"{kind}1", f"{kind}{draft.counts[at]}", f"{kind}O", f"{kind}+", f"{kind} O", kind.lower())
    named[at] = rng.choice((*forms, "X", "Vac", "1"))
    return replace(draft, symbols=named).text(), True


@of_poscar
def other_counts(draft: PoscarDraft, rng: random.Random) -> tuple[str, bool]:
    """Counts that are not those of the rows."""
    counts: list[Any] = list(draft.counts)
    at = rng.randrange(len(counts))
    count = counts[at]
    counts[at] = rng.choice((count + 1, count - 1, -count, float(count), f"{count}*1", "", 0, "1e1"))
    return replace(draft, counts=counts).text(), False


@of_poscar
def halve_flags(draft: PoscarDraft, rng: random.Random) -> tuple[str, bool]:
    """A row has less than three flags."""
    flags = [rng.choice(("T T T", "T F T", "F F F")) for _ in draft.rows]
    flags[rng.randrange(len(flags))] = rng.choice(("T F", "T", "", "T F 0", "T F ?", "1 1 1", "yes no no"))
    return replace(draft, flags=flags).text(), False


@of_poscar
def other_flags(draft: PoscarDraft, rng: random.Random) -> tuple[str, bool]:
    """Flags as Fortran takes them."""
    return replace(draft, flags=[rng.choice(_LOGICALS) for _ in draft.rows]).text(), True


@of_poscar
def other_scale(draft: PoscarDraft, rng: random.Random) -> tuple[str, bool]:
    """No factor, several, or words behind it."""
    return replace(draft, scale=rng.choice(_SCALES)).text(), True


@of_poscar
def other_mode(draft: PoscarDraft, rng: random.Random) -> tuple[str, bool]:
    """Another word, or none, for the kind of coordinates."""
    return replace(draft, mode=rng.choice(_MODES)).text(), True


@of_poscar
def labels_in_rows(draft: PoscarDraft, rng: random.Random) -> tuple[str, bool]:
    """An element behind each row, perhaps another one, with the line of the elements or without."""
    named = [s for s, n in zip(draft.symbols or [], draft.counts, strict=True) for _ in range(n)]
    if rng.random() < 0.5:
        rng.shuffle(named)
    lines = replace(draft, symbols=rng.choice((draft.symbols, None))).text().split("\n")
    first = len(lines) - 1 - len(named)
    return "\n".join([*lines[:first], *(f"{a} {b}" for a, b in zip(lines[first:], named, strict=False)), ""]), True


@of_poscar
def second_structure(draft: PoscarDraft, rng: random.Random) -> tuple[str, bool]:
    """Two in one file, or coordinates with commas, or more rows than announced."""
    text = draft.text()
    last = text.rstrip("\n").split("\n")[-1]
    return rng.choice((text + text, text.replace("  ", ", "), f"{text.rstrip()}\n{last}\n", f"{text}\n{last}\n")), True


CHANGES: Sequence[Change] = (
    *(drop_elements, swap_elements_and_counts, other_elements, other_counts, halve_flags, other_flags, other_scale),
    *(other_mode, labels_in_rows, second_structure),
)
