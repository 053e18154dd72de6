"""What `empnn relax` tells of what changed when everything is done: the last lines, and a report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from empnn.errors import ConfigError

if TYPE_CHECKING:
    from empnn.bulk.folder import Folder
    from empnn.bulk.pipeline import Outcome
    from empnn.bulk.shards import Shard
    from empnn.bulk.spans import Place

CSV, HTML = ".csv", ".html"
DRAWN = 6
"""Of the most doubtful and of those that were changed most, how many are drawn."""


def check_report(report: Path, inputs: Iterable[Path], output: Path | Folder | Shard | Place) -> None:
    """Make sure, before anything is done, that a report can be written.

    Raises:
        ConfigError: If it cannot, or is an input or the output, too.
    """
    from empnn.data.naming import STREAM
    from empnn.data.reading import files_of
    from empnn.files import check_outputs

    if report.suffix.lower() not in (CSV, HTML):
        raise ConfigError(f"{report}: the name tells no kind of report; use {HTML} or {CSV}")
    given = [file for path in inputs for file in files_of(path)]
    check_outputs([output if isinstance(output, Path) and str(output) != STREAM else None, report], given)


class Changes:
    """What changed over all structures; of single ones it keeps no more than what is drawn.

    Use as a context manager.

    Args:
        report: The file of the report, if there is to be one; its ending tells the kind.
        facts: What is relaxed by which model, in a line.
        oracle: The name of what relaxes on from there, if anything does.
    """

    def __init__(self, report: Path | None, facts: str, oracle: str | None = None) -> None:
        from empnn.bulk.identifiers import Identifiers
        from empnn.relax.notable import Notable
        from empnn.relax.summary import Overall

        self.report = report
        self.pictures = DRAWN if report is not None and report.suffix.lower() == HTML else 0
        self._facts = facts
        self._overall = Overall(oracle=oracle)
        self._notable = Notable(self.pictures)
        self._identifiers = Identifiers()

    def __enter__(self) -> Changes:
        self._identifiers.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._identifiers.__exit__(*error)

    def add(self, outcome: Outcome) -> None:
        """Take what became of a structure."""
        self._overall.add(outcome)
        if outcome.message is None:
            self._identifiers.add(outcome.id)
        if outcome.picture is not None:
            self._notable.add(outcome)

    def lines(self) -> Iterator[str]:
        """What changed, in words, and which identifiers are no use to tell structures apart."""
        yield from self._overall.lines()
        count, names = self._identifiers.repeated()
        if count:
            more = f" and {count - len(names):,} more" if count > len(names) else ""
            yield f"identifiers that occur more than once: {', '.join(names)}{more}"

    def write(self, lines: Iterable[str]) -> None:
        """Write the report, if there is to be one.

        Args:
            lines: What became of each structure, as the JSON interface says it.

        Raises:
            OSError: If it cannot be written.
        """
        if self.report is None:
            return
        from empnn.relax.rows import write_csv
        from empnn.viz.report import write_page

        outcomes = map(json.loads, lines)
        if self.pictures:
            write_page(self.report, outcomes, self._overall, self._notable, self._facts)
        else:
            write_csv(self.report, outcomes, self._overall.predicted, relaxed_on=self._overall.oracle is not None)
