"""All oracles by name."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from empnn.energy.oracle import EnergyOracle
from empnn.energy.oracles.calculators import ImportedOracle
from empnn.energy.oracles.chgnet import Chgnet
from empnn.energy.oracles.gpaw import Gpaw
from empnn.energy.oracles.sevennet import SevenNet
from empnn.energy.oracles.vasp_inputs import VaspInputs
from empnn.errors import ConfigError

ORACLES: dict[str, type[Any]] = {
    "chgnet": Chgnet,
    "sevennet": SevenNet,
    "gpaw": Gpaw,
    "vasp-inputs": VaspInputs,
}


def load_oracle(name: str, options: dict[str, Any] | None = None) -> EnergyOracle:
    """An oracle by name, `sevennet:MODEL`, or any ASE calculator by import path `module:Class`.

    Args:
        name: Which.
        options: What it takes besides; see its class.

    Raises:
        ConfigError: If there is none, it is not installed, or an option is unknown or out of range.
    """
    options = dict(options or {})
    known, colon, detail = name.partition(":")
    if known not in ORACLES:
        if colon and known and detail:
            return ImportedOracle(name, options)
        near = difflib.get_close_matches(name, ORACLES, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"oracle {name}: choose {', '.join(ORACLES)} or module:Class of an ASE calculator{hint}")
    accepted = inspect.signature(ORACLES[known]).parameters
    if colon:
        if "model" not in accepted:
            raise ConfigError(f"oracle {name}: {known} has no models to choose from; leave out :{detail}")
        options["model"] = detail
    for option in options:
        if option not in accepted:
            raise ConfigError(f"`options` {option}: {known} takes {', '.join(accepted) or 'no options'}")
    try:
        oracle: EnergyOracle = ORACLES[known](**options)
    except TypeError as error:
        raise ConfigError(f"`options`: {known} cannot use a value ({error}); check the options") from None
    return oracle
