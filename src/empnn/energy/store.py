"""Results on disk, one file each, found by the content of crystal and settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from empnn.energy.oracle import EnergyOracle, OracleRelaxation, Result, about
from empnn.errors import ConfigError
from empnn.files import replacing

_FORMAT = 1


class Store:
    """A folder of results. Each appears whole or not at all; one that was damaged since counts as missing.

    Args:
        folder: The folder; made when the first result is put there.

    Raises:
        ConfigError: If it is a file.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"`store` {folder}: it is a file; name a folder")
        self.folder = folder
        self.damaged: list[Path] = []
        """Files that were there and could not be used."""

    def get(self, key: str) -> Result | None:
        """A result, or None if there is none or it is damaged."""
        path = self._path(key)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            entry = json.loads(text)
            if entry["checksum"] != _digest(entry["result"]):
                raise ValueError("checksum")
            return Result(**entry["result"])
        except (ValueError, KeyError, TypeError):
            self.damaged.append(path)
            return None

    def put(self, key: str, oracle: EnergyOracle, relaxation: OracleRelaxation, result: Result) -> None:
        """Keep a result, with what it is the result of.

        Raises:
            OSError: If it cannot be written.
        """
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = asdict(result)
        entry = {
            "oracle": about(oracle),
            "relaxation": relaxation.settings,
            "checksum": _digest(content),
            "result": content,
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(entry, allow_nan=False) + "\n", encoding="utf-8")

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def key_of(atoms: Atoms, oracle: EnergyOracle, relaxation: OracleRelaxation) -> str:
    """What a result depends on, as one word: the crystal bit by bit, the oracle with its version and all settings."""
    depends = {"format": _FORMAT, "crystal": _bits(atoms), "oracle": about(oracle), "relaxation": relaxation.settings}
    return _digest(depends)


def crystal_digest(atoms: Atoms) -> str:
    """A word for a crystal bit by bit."""
    return _digest(_bits(atoms))


def _bits(atoms: Atoms) -> list[str]:
    arrays = ((atoms.numbers, np.int64), (atoms.cell.array, np.float64), (atoms.positions, np.float64))
    return [np.ascontiguousarray(values, dtype=kind).tobytes().hex() for values, kind in arrays]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
