"""Work that fails as machines do; to be imported by the processes that it is sent to."""

import os
import resource
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from empnn.bulk.pipeline import Conversion, Done
from empnn.data.records import Record

DEADLY = "deadly"
"""The identifier of a crystal that kills the process that works on it."""


class Deadly(Conversion):
    """Converts, unless a crystal is deadly."""

    def __call__(self, records: Sequence[Record]) -> Done:
        if any(record.id == DEADLY for record in records):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(records)


class Slow(Conversion):
    """Converts, a record in so many seconds, and says in a folder which process is at it."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds

    def __call__(self, records: Sequence[Record]) -> Done:
        (self.folder / str(os.getpid())).touch()
        time.sleep(self.seconds * len(records))
        return super().__call__(records)


class Full(Conversion):
    """Converts on a disk on which no file can grow beyond so many bytes."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, records: Sequence[Record]) -> Done:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.most, resource.RLIM_INFINITY))
        return super().__call__(records)
