"""Parsed data sets on disk, keyed by the content of the file they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from empnn import crystals
from empnn.checks import refusals
from empnn.crystals import CrystalBatch
from empnn.data.folders import cache_folder
from empnn.data.reading import Record, read
from empnn.data.writing import replacing
from empnn.errors import ConfigError, CrystalError

CACHE_VERSION = "2"

_TENSORS = ("cell", "frac", "numbers", "batch")


@dataclass(frozen=True)
class CrystalSet:
    """Crystals with their identifiers and the records that were refused.

    Attributes:
        crystals: The structures that could be read, in file order.
        ids: One identifier per structure.
        refused: `file[index] (id): what; what to do` for each of the others.
    """

    crystals: CrystalBatch
    ids: tuple[str, ...]
    refused: tuple[str, ...]


def load_file(path: str | Path) -> CrystalSet:
    """All crystals of a file, parsed once and then taken from the cache.

    Raises:
        ConfigError: If the file does not exist or holds no usable crystal.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; check the path")
    cached = cache_folder() / f"{_content_key(path)}-v{CACHE_VERSION}.safetensors"
    loaded = _load_cached(cached)
    if loaded is None:
        loaded = _parse(path)
        _store(cached, loaded)
    return replace(loaded, refused=tuple(f"{path}{line}" for line in loaded.refused))


def _content_key(path: Path) -> str:
    """Digest of the content and of the suffixes, which decide how it is parsed."""
    try:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    digest.update("".join(path.suffixes).lower().encode())
    return digest.hexdigest()[:32]


def _parse(path: Path) -> CrystalSet:
    """Read a file; the lines about refused structures lack its name, for the same content may lie elsewhere."""
    batches, records, lines = [], [], {}
    for record in read(path):
        try:
            batches.append(_converted(record))
            records.append(record)
        except CrystalError as error:
            lines[record.index] = f"{record.label.removeprefix(record.file)}: {error}"
    loaded = CrystalBatch.cat(batches)
    reasons = refusals(loaded)
    for record, reason in zip(records, reasons, strict=True):
        if reason is not None:
            lines[record.index] = f"{record.label.removeprefix(record.file)}: {reason}"
    refused = tuple(lines[index] for index in sorted(lines))
    kept = [position for position, reason in enumerate(reasons) if reason is None]
    if not kept:
        raise ConfigError(f"{path}{refused[0]}" + (f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""))
    ids = tuple(records[position].id or str(records[position].index) for position in kept)
    return CrystalSet(loaded.select(kept), ids, refused)


def _converted(record: Record) -> CrystalBatch:
    if record.atoms is None:
        raise CrystalError(record.error)
    return crystals.from_atoms(record.atoms)


def _store(path: Path, loaded: CrystalSet) -> None:
    """Write the cache; a cache that cannot be written costs time, not the run."""
    tensors = {name: getattr(loaded.crystals, name).contiguous() for name in _TENSORS}
    metadata = {"ids": json.dumps(loaded.ids), "refused": json.dumps(loaded.refused)}
    metadata["checksum"] = _checksum(tensors, metadata["ids"], metadata["refused"])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors, metadata))
    except OSError:
        return


def _load_cached(path: Path) -> CrystalSet | None:
    """The cached set, or None if there is none or it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in _TENSORS}
        if metadata["checksum"] != _checksum(tensors, metadata["ids"], metadata["refused"]):
            return None
        return CrystalSet(CrystalBatch(**tensors), _strings(metadata["ids"]), _strings(metadata["refused"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _checksum(tensors: dict[str, torch.Tensor], *texts: str) -> str:
    """Digest of what is cached: safetensors notices a file cut short, but not a wrong byte."""
    digest = hashlib.sha256("\n".join(texts).encode())
    for name in _TENSORS:
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def _strings(text: str) -> tuple[str, ...]:
    values: Sequence[str] = json.loads(text)
    return tuple(values)
