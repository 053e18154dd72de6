"""Relaxing files of crystals: what `empnn relax` does with each structure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ase import Atoms

from empnn.ase_atoms import SYMMETRIZED, with_input_results, with_results_kept
from empnn.bulk.pipeline import REFUSED, Done, Outcome, Work, marked, outcome_of
from empnn.data.records import Record
from empnn.relax.changes import COLUMNS, GROUPS, Change, columns
from empnn.relax.notable import MOST_ATOMS, Notable
from empnn.relax.passes import DEFAULT_BATCH_ATOMS, FAR, check_passes
from empnn.relax.relaxer import Relaxer
from empnn.relax.results import Relaxation, Relaxations
from empnn.relax.symmetrize import check_tolerance

KEPT = ("volume_change", "strain", "displacement", *GROUPS)
"""What of what changed is written into each structure, where not everything is."""
DIGITS = 6
"""Decimals of figures that are written into structures."""


@dataclass(frozen=True, kw_only=True)
class Detail:
    """How much is said of what changed.

    Attributes:
        space_groups: Look for space groups before and after, which takes as long as relaxing or longer.
        written_groups: Write them into each structure too.
        columns: Write everything into each structure, for formats that are tables.
        pictures: Note what a picture takes of so many structures that were changed most, and of so many doubtful ones.
    """

    space_groups: bool = False
    written_groups: bool = False
    columns: bool = False
    pictures: int = 0


_LITTLE = Detail()


@dataclass(frozen=True, kw_only=True)
class How:
    """How structures are relaxed; see `Relaxer.relax`.

    Attributes:
        passes: Applications of the network; see `Relaxer.relax` for None.
        batch_atoms: Atoms per batch.
        keep_failed: Write refused structures that could be read, unchanged.
        fix: What stays: `cell` or `positions`.
        symmetrize: Tolerance in angstrom of the operations that are made exact; None to leave answers as they are.
    """

    passes: int | None = None
    batch_atoms: int = DEFAULT_BATCH_ATOMS
    keep_failed: bool = False
    fix: str | None = None
    symmetrize: float | None = None


Answer = tuple[Relaxation[Any], Change | None]
"""A relaxed crystal and what changed; None if it was refused."""

THEN = "empnn_then"
"""How the info begins that tells what an oracle made of the network's answer."""


class Relaxing(Work):
    """Relaxes structures, and says in each what became of it, what changed and where it comes from.

    Args:
        relaxer: The network.
        how: How it is applied.
        detail: How much is said of what changed.

    Raises:
        ConfigError: If what is to stay cannot, nothing else is relaxed, or a number is out of range.
    """

    name = "relax"
    said: Sequence[str] = ("change", "errors")

    def __init__(self, relaxer: Relaxer, how: How | None = None, detail: Detail = _LITTLE) -> None:
        how = how or How()
        relaxer.check_fix(how.fix)
        if how.passes is not None:
            check_passes(how.passes)
        check_tolerance(how.symmetrize)
        self.relaxer = relaxer
        self.how = how
        self.detail = detail
        decisive = {name: value for name, value in asdict(how).items() if name != "batch_atoms"}
        self.settings: dict[str, Any] = {"weights": relaxer.digest(), **decisive, "columns": detail.columns}
        self.settings["written_groups"] = detail.written_groups
        if how.passes is None:
            self.settings["far"] = [*FAR, sorted(relaxer.elements)]
        self._notable = Notable(detail.pictures)

    def __call__(self, records: Sequence[Record]) -> Done:
        """Relax some structures together."""
        yield from self.told(records, answered(self.relaxer, given(records), self.how))

    def told(self, records: Sequence[Record], answers: Iterable[Answer]) -> Done:
        """What became of each, and what is written, of the answers to those that could be read."""
        results = iter(answers)
        for record in records:
            if record.atoms is None:
                yield outcome_of(record, REFUSED, message=record.error), None
                continue
            one, change = next(results)
            if one.structures is None or change is None:
                message = one.status.removeprefix(f"{REFUSED}: ")
                yield outcome_of(record, REFUSED, message=message), self._failed(record)
            else:
                outcome = self._outcome(record, one, dict(vars(change)), one.warnings)
                told = {f"error_{name}": value for name, value in (outcome.errors or {}).items()}
                atoms = marked(record, one.structures, outcome.status, outcome.warnings, told)
                if one.symmetrized is not None:
                    atoms.info[SYMMETRIZED] = one.symmetrized
                yield outcome, with_change(atoms, self._written(outcome), self.detail.columns)

    def _written(self, outcome: Outcome) -> dict[str, Any]:
        """What is written of what changed: what else is asked for than the output does not change it."""
        kept = outcome.change or {}
        return {name: value for name, value in kept.items() if self.detail.written_groups or name not in GROUPS}

    def _failed(self, record: Record) -> Atoms | None:
        """A structure that was refused as it was read, if it is to be written."""
        if record.atoms is None or not self.how.keep_failed:
            return None
        return with_change(marked(record, with_results_kept(record.atoms).copy(), REFUSED), {})

    def passed(self, outcome: Outcome) -> None:
        """Remember what was worth a picture."""
        if outcome.picture is not None:
            self._notable.add(outcome)

    def _outcome(self, record: Record, one: Relaxation[Any], change: dict[str, Any], warnings: list[str]) -> Outcome:
        """What became of a structure that was relaxed."""
        if self.detail.space_groups:
            change |= zip(GROUPS, one.space_groups(), strict=True)
        errors = None if one.errors is None else one.errors.as_dict()
        outcome = replace(outcome_of(record, one.status, warnings), change=change, errors=errors)
        drawn = len(one.structures) <= MOST_ATOMS and self._notable.add(outcome)
        return replace(outcome, picture=_picture(one)) if drawn else outcome


def given(records: Sequence[Record]) -> list[Atoms]:
    """The crystals of those that could be read, as they are given to a network."""
    return [_as_given(record.atoms) for record in records if record.atoms is not None]


def answered(relaxer: Relaxer, crystals: list[Atoms], how: How) -> list[Answer]:
    """Relax crystals together."""
    result: Relaxations[Atoms] = relaxer.relax(
        crystals,
        passes=how.passes,
        batch_atoms=how.batch_atoms,
        fix=how.fix,
        symmetrize=how.symmetrize,
        progress=False,
    )
    return list(zip(result, result.change, strict=True))


def with_change(atoms: Atoms, change: dict[str, Any], everything: bool = False) -> Atoms:
    """Say in the structure itself what changed, in the place of what an earlier run said.

    Args:
        atoms: The relaxed structure, which is changed.
        change: What changed, by name; empty if nothing is known.
        everything: Not only what is worth a place in every format (`KEPT`).
    """
    for name in (*COLUMNS, *GROUPS):
        atoms.info.pop(f"empnn_{name}", None)
    for name, value in columns(change).items():
        if value is not None and (everything or name in KEPT):
            atoms.info[f"empnn_{name}"] = round(value, DIGITS) if isinstance(value, float) else value
    return atoms


def _picture(one: Relaxation[Any]) -> dict[str, Any]:
    """What a picture of a crystal before and after takes, in JSON types."""
    (before, frac_before, numbers), (after, frac_after, _) = one.before_and_after()
    arrays = (before, after, frac_before, frac_after, numbers)
    names = ("cell_before", "cell_after", "frac_before", "frac_after", "numbers")
    return {name: array.tolist() for name, array in zip(names, arrays, strict=True)}


def _as_given(atoms: Atoms) -> Atoms:
    """The crystal with its results named as those of the input, and without what an earlier run told of its answer."""
    stale = [key for key in atoms.info if key == SYMMETRIZED or str(key).startswith(THEN)]
    if stale:
        atoms = with_results_kept(atoms).copy()
        for key in stale:
            del atoms.info[key]
    return with_input_results(atoms)
