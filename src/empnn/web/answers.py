"""What is said of the structures of a request: the JSON of the command, and what a page draws and downloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from empnn.bulk.pipeline import REFUSED
from empnn.corruption.strain import fixed_strain, strain_cells
from empnn.crystals import from_atoms, replace_cell
from empnn.data.records import Record, named
from empnn.data.writing import text_of
from empnn.errors import ConfigError, CrystalError
from empnn.relax import Relaxation, Relaxer
from empnn.relax.files import Answer, Detail, How, Relaxing
from empnn.web.limits import Deadline
from empnn.web.texts import ENDINGS

FEW = 100
"""Structures of a request in which space groups are looked for unless it says otherwise."""
STRAINED = "strained"
_DIGITS = 6
"""Decimals of what is drawn."""


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What is said besides what the command says.

    Attributes:
        space_groups: Look for space groups; in up to `FEW` structures if None.
        pictures: Add what a picture of each takes.
        write: The format in which each answer is added as text; None to leave that out.
    """

    space_groups: bool | None = None
    pictures: bool = False
    write: str | None = None


def told(
    relaxer: Relaxer,
    how: How,
    records: Sequence[Record],
    answers: Sequence[Answer],
    extras: Extras,
    deadline: Deadline,
) -> dict[str, Any]:
    """What `empnn relax` says in JSON, and what else is asked for.

    Args:
        relaxer: What has relaxed them.
        how: How it has.
        records: All structures.
        answers: The answers to those that could be read.
        extras: What else is asked for.
        deadline: When the request is given up.

    Raises:
        RequestError: If it takes too long.
    """
    groups = len(records) <= FEW if extras.space_groups is None else extras.space_groups
    work = Relaxing(relaxer, how, Detail(space_groups=groups, written_groups=groups))
    left = iter(answers)
    structures: list[dict[str, Any]] = []
    for record, (outcome, atoms) in zip(records, work.told(records, answers), strict=True):
        deadline.check()
        answer = None if record.atoms is None else next(left)[0]
        added: dict[str, Any] = {}
        if extras.write is not None:
            try:
                added["written"] = None if atoms is None else _text(atoms, extras.write)
            except CrystalError as error:
                outcome, added["written"] = outcome.refused(str(error)), None
        if extras.pictures:
            drawn = answer is not None and outcome.status != REFUSED
            added["picture"] = _picture(answer) if drawn and answer is not None else None
        structures.append(outcome.as_dict(work.said) | added)
    _tell_repeated(structures)
    return _counted("relaxed", structures)


def strained(records: Sequence[Record], sigma: float, seed: int) -> dict[str, Any]:
    """The structures, in extxyz, with cells strained by exp(A) at random, as `empnn evaluate` does it.

    Args:
        records: All structures.
        sigma: Deviation of the nine entries of A.
        seed: What tells one noise from another.
    """
    structures = []
    for record, strain in zip(records, fixed_strain(len(records), sigma, seed), strict=True):
        message, written = record.error, None
        try:
            atoms = named(record)
            if atoms is not None:
                cell = strain_cells(from_atoms(atoms).cell, strain[None])[0].numpy()
                written = _text(replace_cell(atoms, cell), "extxyz")
        except CrystalError as error:
            message = str(error)
        status = REFUSED if written is None else STRAINED
        said = {"file": record.file, "index": record.index, "id": record.id, "status": status, "message": message}
        structures.append({**said, "written": written})
    return _counted(STRAINED, structures)


def _tell_repeated(structures: list[dict[str, Any]]) -> None:
    """Warn of an identifier that another structure of the request had before; the command tells of them at its end."""
    seen: set[str] = set()
    for structure in structures:
        if structure["id"] in seen:
            structure["warnings"] = [*structure["warnings"], "another before it has the same identifier"]
        elif structure["id"] is not None:
            seen.add(structure["id"])


def _counted(done: str, structures: list[dict[str, Any]]) -> dict[str, Any]:
    skipped = sum(structure["status"] == REFUSED for structure in structures)
    return {done: len(structures) - skipped, "skipped": skipped, "structures": structures}


def _text(atoms: Any, kind: str) -> str:
    """A structure in one of `ENDINGS`.

    Raises:
        CrystalError: If the format cannot hold it.
    """
    try:
        return text_of([atoms], ENDINGS[kind])
    except ConfigError as error:
        raise CrystalError(str(error).partition(": ")[2]) from None


def _picture(answer: Relaxation[Atoms]) -> dict[str, Any]:
    """What is drawn of a crystal before and after: cells and their trajectory in angstrom, fractional coordinates."""
    (before, frac_before, numbers), (after, frac_after, _) = answer.before_and_after()
    arrays = {
        "cell_before": before,
        "cell_after": after,
        "frac_before": frac_before,
        "frac_after": frac_after,
        "trajectory": answer.trajectory,
    }
    return {"numbers": numbers.tolist(), **{name: np.round(a, _DIGITS).tolist() for name, a in arrays.items()}}
