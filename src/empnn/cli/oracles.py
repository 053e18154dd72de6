"""The options of whatever computes energies: of `empnn energy`, and of what relaxes with an oracle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from empnn.errors import ConfigError

if TYPE_CHECKING:
    from empnn.energy.oracle import OracleRelaxation

Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="Option of the oracle, as cutoff=800 or kpoint_density=4."),
]
Fmax = Annotated[
    float | None,
    typer.Option(
        help="Forces at which the oracle is done: eV/angstrom on atoms, eV of virial per atom; 0.02 by default."
    ),
]
Steps = Annotated[int | None, typer.Option(help="Steps after which the oracle gives up; 200 by default.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes of the oracle, with one thread each.")]
StoreFolder = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of the oracle's results; `energies` in the cache folder by default."),
]


def parsed_options(given: list[str] | None) -> dict[str, Any]:
    """KEY=VALUE as a dictionary; values are YAML, and 1e3 is a number.

    Raises:
        ConfigError: If one is not of that form.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    options: dict[str, Any] = {}
    for text in given or []:
        key, equals, _ = text.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"--option {text}: give KEY=VALUE, as in cutoff=800")
        try:
            values: Any = OmegaConf.to_container(OmegaConf.from_dotlist([text]), resolve=True)
        except (YAMLError, OmegaConfBaseException):
            raise ConfigError(f"--option {text}: the value cannot be read; give a number or [7,7,7]") from None
        options |= values
    return options


def relaxation_of(mode: str, fmax: float | None, steps: int | None) -> OracleRelaxation:
    """What is relaxed, with the limits that were given."""
    from empnn.energy.oracle import OracleRelaxation

    limits: dict[str, Any] = {"fmax": fmax, "steps": steps}
    return OracleRelaxation(mode=mode, **{name: value for name, value in limits.items() if value is not None})
