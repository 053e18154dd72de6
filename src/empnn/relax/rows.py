"""A row for each structure of a run, refused or not: what became of it and what changed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from empnn.files import replacing
from empnn.relax.changes import COLUMNS, GROUPS, columns

THEN = ("then", "then_status", "then_energy_per_atom_before", "then_energy_per_atom", "then_steps", "then_volume")
"""The cells that tell what an oracle made of the answer: its name, how far it got, and where that ended."""
_DIGITS = 6


def row_of(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a row, from what became of a structure as the JSON interface says it."""
    changed = columns(outcome["change"] or {})
    predicted = (outcome["errors"] or {}).items()
    errors = {f"error_{name}": value for name, value in predicted if value is not None}
    said = {"warnings": "; ".join(outcome["warnings"]), "message": outcome["message"]}
    told = outcome.get("then") or {}
    then = {"then": told.get("oracle"), **{f"then_{name}": value for name, value in told.items()}}
    reached = {name: then[name] for name in THEN if then.get(name) is not None}
    identity = {name: outcome[name] for name in ("file", "index", "id", "status")}
    return {**identity, **changed, **errors, **reached, **said}


def write_csv(
    path: Path, outcomes: Iterable[Mapping[str, Any]], errors: Iterable[str], relaxed_on: bool = False
) -> None:
    """A table of all structures, in the order of the input.

    Args:
        path: The file.
        outcomes: What became of each, as the JSON interface says it.
        errors: Names of the errors that the model predicts.
        relaxed_on: Whether an oracle relaxed on from there.

    Raises:
        OSError: If the file cannot be written.
    """
    predicted = [f"error_{name}" for name in errors]
    reached = THEN if relaxed_on else ()
    names = ["file", "index", "id", "status", *COLUMNS, *GROUPS, *predicted, *reached, "warnings", "message"]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        table = csv.DictWriter(handle, names)
        table.writeheader()
        table.writerows({name: _rounded(value) for name, value in row_of(one).items()} for one in outcomes)


def _rounded(value: Any) -> Any:
    return round(value, _DIGITS) if isinstance(value, float) else value
