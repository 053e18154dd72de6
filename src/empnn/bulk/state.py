"""What outputs that can be resumed share: a lock, the settings they were begun with, words on how to go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from empnn.errors import ConfigError, CrystalError
from empnn.files import replacing

try:
    import fcntl
except ImportError:  # Windows, where two processes that write one output are not kept apart
    fcntl = None  # type: ignore[assignment]

_GO_ON = "the same command with `resume` goes on from here"
_SETTINGS = "settings.json"


def locked(folder: Path, output: Path) -> IO[str]:
    """The lock of a folder of state, which is made if need be; held until it is closed.

    Raises:
        ConfigError: If another process holds it.
        OSError: If the folder cannot be written; the output is named.
    """
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror})", str(output)) from None
    if fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise ConfigError(f"{output}: another process is writing it; wait or choose another") from None
    return lock


def keep_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write down what decides the content of an output."""
    with replacing(folder / _SETTINGS) as temporary:
        temporary.write_text(json.dumps(settings))


def check_settings(folder: Path, settings: dict[str, Any], output: Path) -> None:
    """Refuse to go on with what was begun otherwise.

    Raises:
        ConfigError: If other settings were kept; none are fine.
    """
    begun = folder / _SETTINGS
    if begun.exists() and json.loads(begun.read_text()) != json.loads(json.dumps(settings)):
        raise other_settings(output)


def other_settings(output: Path) -> ConfigError:
    """What to say of an output that was begun otherwise."""
    return ConfigError(
        f"{output}: it was begun with other inputs, options or weights; "
        "give the same, or leave out `resume` to begin again"
    )


def say_how_to_go_on(error: BaseException) -> None:
    """Add to an error that what was done is kept."""
    if isinstance(error, KeyboardInterrupt):
        error.args = (_GO_ON,)
    elif isinstance(error, OSError):
        error.strerror = f"{error.strerror}; once that is mended, {_GO_ON}"
    elif isinstance(error, CrystalError | ConfigError):
        error.args = (f"{error}; {_GO_ON}",)


def fingerprint(paths: Sequence[Path]) -> list[list[Any]]:
    """What tells that input files are still the same: name, size and time of the last change."""
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths if path.is_file()]
