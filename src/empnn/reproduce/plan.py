"""Which runs a table is made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from empnn.errors import ConfigError
from empnn.reproduce.paper import SETS, SIGMAS, TABLE1, TABLE2, TABLE3
from empnn.training.config import load_config
from empnn.training.options import Config

RECONSTRUCTED = ("carbon_24", "mp_20")
FF = "ff"
FIELDS = "ketbra-e"
"""Those of Table 1, of which the paper does not say what they are."""
PRESETS = ("paper", "pegnn")
LEARNING_RATES = ("1e-4", "3e-5", "1e-5")
WEIGHT_LIMITS = ("null", "0.01")


@dataclass(frozen=True)
class Budget:
    """How much is trained.

    Attributes:
        name: What it is called.
        fraction: Of the crystals that the paper's schedule shows a network, 32,768 steps of 256.
        settings: What differs from the preset.
        searches: Whether the paper's grid is searched for each cell of a table; the development set chooses.
    """

    name: str
    fraction: float
    settings: tuple[str, ...]
    searches: bool


FULL = Budget("full", 1.0, ("train.validate_every=512",), searches=True)
SMALL = Budget(
    "small",
    1 / 32,
    (
        *("train.steps=4096", "train.batch_size=64", "train.validate_every=512"),
        *("train.learning_rate=1e-3", "train.decay=true", "train.warmup_steps=100"),
    ),
    searches=False,
)
BUDGETS = {budget.name: budget for budget in (FULL, SMALL)}
"""`full` is the paper's. `small` shows a thirty-second part of the crystals, the same to every row, in smaller steps at
a higher rate that falls: rows compare with each other, and all tables take less than 8 hours on two cores."""


@dataclass(frozen=True)
class Run:
    """One network to train.

    Attributes:
        name: Its folder in the storage.
        preset: The configuration that it builds on.
        data: The set it is trained on.
        overrides: What else it is told.
    """

    name: str
    preset: str
    data: str
    overrides: tuple[str, ...]

    def config(self, storage: Path) -> Config:
        """The configuration, with its run directory."""
        return load_config(self.preset, [f"data.name={self.data}", *self.overrides, f"train.out={storage / self.name}"])


@dataclass(frozen=True)
class Cell:
    """One row of a table for one set.

    Attributes:
        table: The table.
        row: Its row.
        data: The set.
        runs: The network, or those of which the development set chooses one.
    """

    table: str
    row: str
    data: str
    runs: tuple[Run, ...]


def sets_of(table: str) -> tuple[str, ...]:
    """The sets of a table, in the paper's order."""
    return RECONSTRUCTED if table == "table3" else SETS


def cells_of(table: str, budget: Budget, preset: str = PRESETS[0], sets: tuple[str, ...] | None = None) -> list[Cell]:
    """The cells of a table that take training, for all its sets or some.

    `grad-*` and `gradsym-*` are the same function (`empnn.fields`), so both rows have the same runs. The packaged
    networks for reconstruction have runs of their own; what Table 3 takes here is the baseline.

    Raises:
        ConfigError: If there is no such table, preset or set.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset {preset} does not exist; use one of {', '.join(PRESETS)}")
    sets = sets_of(table) if sets is None else sets
    if wrong := [name for name in sets if name not in sets_of(table)]:
        raise ConfigError(f"{wrong[0]}: not a set of {table}; use {', '.join(sets_of(table))}")
    if table == "table3":
        rows: dict[str, tuple[str, ...]] = {FF: ("model.name=ff", "noise.mix.strain=0", "noise.mix.cube=1")}
    elif table == "table1":
        rows = {loss: (f"loss.name={loss}", f"model.fields={FIELDS}", *_noise(table)) for loss in TABLE1}
    elif table == "table2":
        rows = {row: (*_row(row), *_noise(table)) for row in TABLE2 if row != "dft"}
    else:
        raise ConfigError(f"{table} takes no training; tables are table1, table2 and table3")
    return [
        Cell(table, row, data, tuple(_runs(table, row, data, overrides, budget, preset)))
        for row, overrides in rows.items()
        for data in sets
    ]


def rows_of(table: str) -> list[str]:
    """The rows of a table, in the paper's order."""
    return list({"table1": TABLE1, "table2": TABLE2, "table3": TABLE3}[table])


def _row(row: str) -> tuple[str, ...]:
    """`gradsym-*` is `grad-*`."""
    return ("model.name=ff",) if row == FF else (f"model.fields={row.replace('gradsym', 'grad')}",)


def _noise(table: str) -> tuple[str, ...]:
    sigma = SIGMAS[table]
    return f"noise.sigma={sigma}", f"train.validate_sigma={sigma}"


def _runs(table: str, row: str, data: str, overrides: tuple[str, ...], budget: Budget, preset: str) -> list[Run]:
    name = f"{preset}-{budget.name}/{table}/{data}/{row.replace('gradsym', 'grad')}"
    settings = ("data.calibration_fraction=0", *overrides, *budget.settings)
    if not budget.searches:
        return [Run(name, preset, data, settings)]
    # The baseline weighs no fields.
    limits = WEIGHT_LIMITS[:1] if row == FF else WEIGHT_LIMITS
    return [
        Run(
            f"{name}/rate-{rate}-limit-{limit}",
            preset,
            data,
            (*settings, f"train.learning_rate={rate}", f"model.weight_limit={limit}"),
        )
        for rate, limit in product(LEARNING_RATES, limits)
    ]
