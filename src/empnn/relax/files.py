"""Relaxing files of crystals: what `empnn relax` does with each structure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ase import Atoms

from empnn.ase_atoms import with_input_results, with_results_kept
from empnn.bulk.pipeline import REFUSED, Outcome, Work, marked, outcome_of
from empnn.data.records import Record
from empnn.relax import Relaxations, Relaxer


class Relaxing(Work):
    """Relaxes structures, and says in each what became of it and where it comes from.

    Args:
        relaxer: The network.
        passes: Applications of the network; the model's own number if None.
        batch_atoms: Atoms per batch.
        keep_failed: Write refused structures that could be read, unchanged.
        fix: What stays: `cell` or `positions`.

    Raises:
        ConfigError: If that cannot stay, or nothing else is relaxed.
    """

    def __init__(
        self, relaxer: Relaxer, passes: int | None, batch_atoms: int, keep_failed: bool, fix: str | None = None
    ) -> None:
        relaxer.check_fix(fix)
        self.relaxer = relaxer
        self.passes = passes
        self.batch_atoms = batch_atoms
        self.keep_failed = keep_failed
        self.fix = fix
        options = {"passes": passes, "keep_failed": keep_failed, "fix": fix}
        self.settings: dict[str, Any] = {"weights": relaxer.digest(), **options}
        self._ids: set[int] = set()

    def __call__(self, records: Sequence[Record]) -> Iterator[tuple[Outcome, Atoms | None]]:
        """Relax some structures together."""
        readable = [with_input_results(record.atoms) for record in records if record.atoms is not None]
        result: Relaxations[Atoms] = self.relaxer.relax(
            readable, passes=self.passes, batch_atoms=self.batch_atoms, fix=self.fix, progress=False
        )
        results = zip(result.structures, result.status, result.warnings, strict=True)
        for record in records:
            repeated = self._repeats(record.id)
            if record.atoms is None:
                yield outcome_of(record, REFUSED, message=record.error), None
                continue
            atoms, status, warnings = next(results)
            if atoms is None:
                message = status.removeprefix(f"{REFUSED}: ")
                failed = marked(record, with_results_kept(record.atoms).copy(), REFUSED) if self.keep_failed else None
                yield outcome_of(record, REFUSED, message=message), failed
            else:
                warnings = warnings + repeated
                yield outcome_of(record, status, warnings), marked(record, atoms, status, warnings)

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
