"""The models that a server offers, by their names; each is loaded when it is asked for the first time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from empnn import models
from empnn.errors import ConfigError, printable
from empnn.names import respelled, suggestion
from empnn.relax import Relaxer, load


class Offered:
    """Models by name. Whoever asks for one gives a name of these, never a path.

    Args:
        given: Names or folders, the first of which is the default; all that are packaged if empty.
        device: Where they compute.

    Raises:
        ConfigError: If one does not exist, or two have one name.
    """

    def __init__(self, given: Sequence[str] = (), device: str = "auto") -> None:
        others = [name for name in models.packaged() if name != models.DEFAULT]
        self._folders: dict[str, str] = {}
        for path in given or [models.DEFAULT, *others]:
            name = Path(models.name_of(path)).name
            if name in self._folders:
                raise ConfigError(f"`model`: two are called {printable(name)}; rename a folder")
            self._folders[name] = path
        self._device = device
        self._loaded: dict[str, Relaxer] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """What they are called, the default first."""
        return list(self._folders)

    @property
    def moving_atoms(self) -> list[str]:
        """Those that move atoms within the cell too."""
        return [name for name, folder in self._folders.items() if models.config_of(folder).moves_atoms]

    def cards(self) -> dict[str, dict[str, Any]]:
        """The card of each."""
        return {name: models.card_of(folder) for name, folder in self._folders.items()}

    def __getitem__(self, name: str) -> Relaxer:
        """The model of a name in any spelling.

        Raises:
            ConfigError: If there is none.
        """
        known = name if name in self._folders else respelled(name, self.names)
        if known is None:
            nearest = suggestion(name, self.names)
            raise ConfigError(f"no model {printable(name[:80])}; there are {', '.join(self.names)}{nearest}")
        with self._lock:
            if known not in self._loaded:
                self._loaded[known] = load(self._folders[known], self._device)
            return self._loaded[known]
