"""Parsed data sets on disk, keyed by the content of the file they came from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from empnn import crystals
from empnn.checks import refusals
from empnn.crystals import CrystalBatch
from empnn.data.reading import Record, read
from empnn.data.writing import replacing
from empnn.errors import ConfigError, CrystalError

CACHE_VERSION = "1"


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


def cache_folder() -> Path:
    """Where parsed files are kept: `EMPNN_CACHE`, or `empnn` in the user's cache directory."""
    if "EMPNN_CACHE" in os.environ:
        return Path(os.environ["EMPNN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "empnn"


def load_file(path: str | Path) -> CrystalSet:
    """All crystals of a file, parsed once and then taken from the cache.

    Raises:
        ConfigError: If the file does not exist or holds no usable crystal.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; check the path")
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    cached = cache_folder() / f"{digest[:32]}-v{CACHE_VERSION}.safetensors"
    loaded = _load_cached(cached)
    if loaded is None:
        loaded = _parse(path)
        _store(cached, loaded)
    return loaded


def _parse(path: Path) -> CrystalSet:
    batches, ids, refused = [], [], []
    for record in read(path):
        try:
            batches.append(_usable(record))
            ids.append(record.id or str(record.index))
        except CrystalError as error:
            refused.append(f"{record.label}: {error}")
    if not batches:
        raise ConfigError(f"{path}: no usable crystal ({refused[0]})")
    return CrystalSet(CrystalBatch.cat(batches), tuple(ids), tuple(refused))


def _usable(record: Record) -> CrystalBatch:
    if record.atoms is None:
        raise CrystalError(record.error)
    batch = crystals.from_atoms(record.atoms)
    refusal = refusals(batch)[0]
    if refusal:
        raise CrystalError(refusal)
    return batch


def _store(path: Path, loaded: CrystalSet) -> None:
    """Write the cache; a cache that cannot be written costs time, not the run."""
    tensors = {name: getattr(loaded.crystals, name) for name in ("cell", "frac", "numbers", "batch")}
    metadata = {"ids": json.dumps(loaded.ids), "refused": json.dumps(loaded.refused)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata)
    except OSError:
        return


def _load_cached(path: Path) -> CrystalSet | None:
    """The cached set, or None if there is none or it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            ids, refused = (_strings(metadata[name]) for name in ("ids", "refused"))
        return CrystalSet(CrystalBatch(**tensors), ids, refused)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _strings(text: str) -> tuple[str, ...]:
    values: Sequence[str] = json.loads(text)
    return tuple(values)
