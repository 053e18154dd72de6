"""A search from its plan to a table and a picture, by as many processes as take part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from empnn.data.sets import locate_all
from empnn.errors import ConfigError
from empnn.files import check_parent, replacing
from empnn.search.attempt import Attempt, LostError
from empnn.search.board import Board
from empnn.search.picture import picture
from empnn.search.plan import Plan
from empnn.search.results import DONE, RUNNING, Row, rows, run_folder, write_table
from empnn.search.runs import run_trial
from empnn.search.storage import is_database

TABLE, PICTURE = "trials.csv", "trials.png"
FOLDER = "sweeps"
"""Where searches lie that were given no place."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """What a search found so far.

    Attributes:
        rows: The trials, the best first.
        importances: How much each dimension had to do with the best scores, once enough trials are through.
        folder: Where runs, table and picture lie.
    """

    rows: list[Row]
    importances: dict[str, float]
    folder: Path

    @property
    def best(self) -> Row | None:
        """The best of those that came to their end."""
        return next((row for row in self.rows if row.status == DONE), None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "folder": str(self.folder),
            "best": None if self.best is None else self.best.as_dict(),
            "importances": self.importances,
            "trials": [row.as_dict() for row in self.rows],
        }


def places(plan: Plan, storage: str | None, folder: Path | None) -> tuple[str, Path]:
    """The storage of a search and the folder of its runs: beside the file and of its name, if nothing else is said.

    Raises:
        ConfigError: If a database is to be the storage and no folder is given, or the two would be one.
    """
    if storage is None:
        storage = str(Path(FOLDER) / f"{plan.name}.journal") if folder is None else f"{folder}.journal"
    if folder is None:
        if is_database(storage):
            raise ConfigError("the runs need a place beside the database; give `folder`")
        folder = Path(storage).with_suffix("")
    if not is_database(storage) and Path(storage).resolve() == folder.resolve():
        raise ConfigError(f"{storage}: needs a suffix, for the runs lie in the folder without; use {storage}.journal")
    return storage, folder


def sweep(
    plan: Plan, storage: str, folder: Path, tell: Tell, quiet: bool = False, share: tuple[int, int] = (0, 1)
) -> Found:
    """Run trials until there is nothing to do that no other process does; each trial counts once.

    Any number of processes and machines may be at it at the same time. Whoever comes takes up what dead ones left
    unfinished, from the last checkpoint of the run if the folder is the same.

    Args:
        plan: The search.
        storage: A file, or the address of a database.
        folder: For the runs, the table and the picture.
        tell: Gets a line for each trial that begins or ends.
        quiet: Show no progress.
        share: (i, n): every n-th trial only, from the i-th on, for those who have no storage in common.

    Raises:
        ConfigError: If the storage, the folder or the data cannot be used.
    """
    _check_data(plan)
    for place in [folder] if is_database(storage) else [Path(storage), folder]:
        place.parent.mkdir(parents=True, exist_ok=True)
        check_parent(place)
    board = Board(storage, plan, folder.name, share)
    folder.mkdir(exist_ok=True)
    for key in plan.unlike:
        tell(f"{key}: changes what the score is measured on; compare within one value of it")
    while (attempt := board.next()) is not None:
        trial = attempt.begun.place
        tell(f"trial {trial}: {_begins(attempt)}")
        try:
            with attempt:
                said = run_trial(plan, attempt, run_folder(folder, trial), quiet)
        except LostError:
            said = "another process took it over"
        tell(f"trial {trial}: {said}")
        _write(plan, board, folder)
    return _write(plan, board, folder)


def _check_data(plan: Plan) -> None:
    """Refuse a search whose data are not there, before it lays claim to a storage."""
    data = plan.first.data
    if data.pairs is None:
        locate_all(data.path, data.name)


def _begins(attempt: Attempt) -> str:
    values = ", ".join(f"{key}={_short(value)}" for key, value in attempt.begun.parameters.items())
    return values if attempt.begun.after is None else f"{values}; taken up, for {attempt.begun.after}"


def _short(value: Any) -> str:
    return "null" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _write(plan: Plan, board: Board, folder: Path) -> Found:
    """The table and the picture of what is known by now."""
    found = Found(rows(board.records(), folder), board.importances(), folder)
    write_table(found.rows, list(plan.dimensions), folder / TABLE)
    done, running = (sum(row.status == status for row in found.rows) for status in (DONE, RUNNING))
    counts = f"{len(found.rows)} trials, {done} done{f', {running} running' if running else ''}"
    with replacing(folder / PICTURE) as temporary:
        picture(found.rows, plan.dimensions, found.importances, temporary, f"{folder.name}: {counts}")
    return found
