"""Relaxing files of crystals: what `empnn relax` does with each structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ase import Atoms

from empnn.ase_atoms import SYMMETRIZED, with_input_results, with_results_kept
from empnn.bulk.pipeline import REFUSED, Done, Outcome, Work, marked, outcome_of
from empnn.data.records import Record
from empnn.relax import Relaxer
from empnn.relax.passes import DEFAULT_BATCH_ATOMS
from empnn.relax.symmetrize import check_tolerance


@dataclass(frozen=True, kw_only=True)
class How:
    """How structures are relaxed; see `Relaxer.relax`.

    Attributes:
        passes: Applications of the network; the model's own number if None.
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


THEN = "empnn_then"
"""How the info begins that tells what an oracle made of the network's answer."""


class Relaxing(Work):
    """Relaxes structures, and says in each what became of it and where it comes from.

    Args:
        relaxer: The network.
        how: How it is applied.

    Raises:
        ConfigError: If what is to stay cannot, nothing else is relaxed, or a tolerance is out of range.
    """

    def __init__(self, relaxer: Relaxer, how: How | None = None) -> None:
        how = how or How()
        relaxer.check_fix(how.fix)
        check_tolerance(how.symmetrize)
        self.relaxer = relaxer
        self.how = how
        decisive = {name: value for name, value in asdict(how).items() if name != "batch_atoms"}
        self.settings: dict[str, Any] = {"weights": relaxer.digest(), **decisive}
        self._ids: set[int] = set()

    def __call__(self, records: Sequence[Record]) -> Done:
        """Relax some structures together."""
        readable = [_as_given(record.atoms) for record in records if record.atoms is not None]
        how = self.how
        answers = self.relaxer.relax(
            readable, passes=how.passes, batch_atoms=how.batch_atoms, fix=how.fix, symmetrize=how.symmetrize
        )
        results = iter(answers)
        for record in records:
            repeated = self._repeats(record.id)
            if record.atoms is None:
                yield outcome_of(record, REFUSED, message=record.error), None
                continue
            answer = next(results)
            if answer.structures is None:
                message = answer.status.removeprefix(f"{REFUSED}: ")
                failed = marked(record, with_results_kept(record.atoms).copy(), REFUSED) if how.keep_failed else None
                yield outcome_of(record, REFUSED, message=message), failed
            else:
                warnings = answer.warnings + repeated
                atoms = marked(record, answer.structures, answer.status, warnings)
                if answer.symmetrized is not None:
                    atoms.info[SYMMETRIZED] = answer.symmetrized
                yield outcome_of(record, answer.status, warnings), atoms

    def passed(self, outcome: Outcome) -> None:
        """Remember the identifier."""
        self._repeats(outcome.id)

    def _repeats(self, identifier: str | None) -> list[str]:
        """A note, no reason for doubt, if the identifier has been seen before.

        Digests are kept, not names: there may be millions.
        """
        if identifier is None:
            return []
        digest = hash(identifier)
        seen = digest in self._ids
        self._ids.add(digest)
        return [f"the identifier {identifier} occurs more than once"] if seen else []


def _as_given(atoms: Atoms) -> Atoms:
    """The crystal with its results named as those of the input, and without what an earlier run told of its answer."""
    stale = [key for key in atoms.info if key == SYMMETRIZED or str(key).startswith(THEN)]
    if stale:
        atoms = with_results_kept(atoms).copy()
        for key in stale:
            del atoms.info[key]
    return with_input_results(atoms)
