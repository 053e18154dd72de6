"""What is done with texts from outside, in a process that can be ended: crystals read, and written in other formats."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ase import Atoms

from empnn.data.reading import read_texts
from empnn.data.records import Record, named
from empnn.data.writing import text_of
from empnn.errors import ConfigError, CrystalError
from empnn.processes import Report
from empnn.web.limits import TOO_LARGE, Limits, RequestError

Texts = Sequence[tuple[str, str]]
"""What each is called, and the text."""

ENDINGS = {"cif": "cif", "poscar": "vasp", "extxyz": "extxyz", "json": "json"}
"""The formats that are written, and how the names of their files end."""
ZIP = "zip"
_MEMORY = 4 * 2**30
"""Bytes that a process may use: a few characters can ask for an array of any size."""
_NO_NAME = re.compile(r"[^\w+.-]+|^\.+")


def work(report: Report, what: str, *arguments: Any) -> Any:
    """What a process does when it is asked to: `read` or `write`, or `nothing` but getting ready."""
    _bound_memory()
    return _WORK[what](*arguments)


def records(texts: Texts, limits: Limits) -> list[Record]:
    """The structures in texts; one with too many atoms is refused and does not hide the others.

    Raises:
        RequestError: If there are too many.
    """
    found: list[Record] = []
    atoms = 0
    for record in read_texts(texts):
        if len(found) == limits.structures:
            raise _too_many(f"{limits.structures:,} structures")
        size = 0 if record.atoms is None else len(record.atoms)
        if size > limits.atoms:
            error = f"its {size:,} atoms are more than the {limits.atoms:,} taken here; run empnn on your own machine"
            record, size = replace(record, atoms=None, error=error), 0
        atoms += size
        if atoms > limits.all_atoms:
            raise _too_many(f"{limits.all_atoms:,} atoms")
        found.append(record)
    return found


def converted(texts: Texts, limits: Limits, kind: str, answers: str | None) -> bytes:
    """A file of all structures in texts, in one of `ENDINGS`; or a zip of files in all of them.

    Args:
        texts: The texts.
        limits: What is taken on.
        kind: The format.
        answers: JSON to be put beside the files in a zip.

    Raises:
        RequestError: If there are too many structures, one cannot be read, or the format cannot hold them.
    """
    found = records(texts, limits)
    for record in found:
        if record.atoms is None:
            raise RequestError(422, f"{record.label}: {record.error}")
    structures = list(filter(None, map(named, found)))
    try:
        if kind != ZIP:
            return text_of(structures, ENDINGS[kind]).encode()
        return _zipped(found, structures, answers)
    except CrystalError as error:
        raise RequestError(422, str(error)) from None
    except ConfigError as error:
        raise RequestError(422, str(error).partition(": ")[2]) from None


def _zipped(found: Sequence[Record], structures: list[Atoms], answers: str | None) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in _files(found, structures):
            archive.writestr(name, text)
        if answers is not None:
            archive.writestr("answers.json", answers)
    return packed.getvalue()


def _files(found: Sequence[Record], structures: list[Atoms]) -> Iterator[tuple[str, str]]:
    """Names and texts: a file of all in each format, and a POSCAR of each."""
    for ending in ENDINGS.values():
        if ending != ENDINGS["poscar"]:
            yield f"crystals.{ending}", text_of(structures, ending)
    taken: set[str] = set()
    for number, (record, atoms) in enumerate(zip(found, structures, strict=True)):
        name = _NO_NAME.sub("_", record.id or str(record.name))[:80]
        name = f"{name}-{number:04d}" if name in taken else name
        taken.add(name)
        yield f"poscar/{name}.vasp", text_of([atoms], ENDINGS["poscar"])


_WORK: dict[str, Callable[..., Any]] = {"read": records, "write": converted, "nothing": lambda: None}


def _too_many(what: str) -> RequestError:
    return RequestError(TOO_LARGE, f"more than {what}; send them in several requests")


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits.
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY if most < 0 else min(_MEMORY, most), most))
