"""Where trials are kept: a file that needs no server, or a database; what Optuna needs to share it."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from empnn.errors import ConfigError, in_words

UNREACHABLE = (OSError, RuntimeError, OptunaError)
"""What a storage raises that may answer again."""


class WholeLines(JournalFileOpenLock):
    """The lock of a journal; whoever gets it takes off a last line that a full disk or a crash left unfinished."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._journal = Path(path)

    def acquire(self) -> bool:
        """Wait for the lock."""
        got = super().acquire()
        with self._journal.open("rb+") as handle:
            size = end = handle.seek(0, 2)
            while end and handle.seek(end - 1) is not None and handle.read(1) != b"\n":
                end -= 1
            if end < size:
                handle.truncate(end)
        return got


def opened(storage: str) -> BaseStorage:
    """A storage, which is made if it is not there.

    Args:
        storage: A file, or the address of a database (`postgresql://...`).

    Raises:
        ConfigError: If it cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if is_database(storage):
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return RDBStorage(storage)
        except (ImportError, ValueError, SQLAlchemyError, *UNREACHABLE) as error:
            raise ConfigError(f"{shown(storage)}: cannot be opened ({shown(in_words(error))})") from None
    path = str(Path(storage).resolve())
    try:
        return JournalStorage(JournalFileBackend(path, WholeLines(path)))
    except (AssertionError, KeyError, TypeError, ValueError):
        raise ConfigError(f"{storage}: not the storage of a search; choose another `storage`") from None


def is_database(storage: str) -> bool:
    """Whether a storage is the address of a database, not a file."""
    return "://" in storage


def shown(text: str) -> str:
    """The address of a database, or what is said of it, without a password."""
    return re.sub(r"//([^:/@\s]*):[^@\s]*@", r"//\1:***@", text)
