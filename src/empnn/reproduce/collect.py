"""Filling a table with what there is."""

from __future__ import annotations

from typing import Any

from empnn.errors import ConfigError
from empnn.reproduce.plan import Budget, cells_of, rows_of
from empnn.reproduce.scoring import Scoring, oracle_score, packaged_reconstruction, reconstruction_score, score
from empnn.reproduce.tables import Table

DFT = "dft"


def collect(
    name: str,
    budget: Budget,
    preset: str,
    sets: tuple[str, ...],
    how: Scoring,
    relaxers: list[str],
    limit: int,
) -> Table:
    """A table, its rows in the paper's order; cells whose runs are not done are left out.

    Args:
        name: The table.
        budget: How much was trained.
        preset: The settings of the runs.
        sets: The sets.
        how: What is scored on.
        relaxers: Oracles that stand in for the paper's row of DFT.
        limit: Crystals that they relax.
    """
    cells: dict[str, dict[str, dict[str, Any]]] = {row: {} for row in rows_of(name)}
    every = cells_of(name, budget, preset, sets)
    for cell in every:
        found = score(cell, how)
        if found is not None:
            cells[cell.row][cell.data] = found
    done = [figures for row in cells.values() for figures in row.values()]
    for oracle in relaxers if name == "table2" else ():
        cells[f"{DFT} ({oracle}, {limit})"] = {data: oracle_score(data, oracle, limit, how) for data in sets}
    if name == "table3":
        for data in sets:
            packaged = packaged_reconstruction(data)
            if packaged is not None:
                cells["empnn"][data] = reconstruction_score(data, packaged, how)
    if not any(cells.values()):
        raise ConfigError(f"{name}: nothing is trained yet in {how.storage}")
    about = {
        "preset": preset,
        "budget": f"{budget.name} ({budget.fraction:g} of the paper's training)",
        "split": how.split,
        "cells done": f"{len(done)} of {len(every)}",
    }
    if diverged := sum(figures.get("diverged", 0) for figures in done):
        about["runs diverged"] = str(diverged)
    return Table(name, about, {row: found for row, found in cells.items() if found or (row == DFT and not relaxers)})
