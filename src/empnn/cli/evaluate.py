"""`empnn evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from empnn.cli.common import Device, Json, Model, Passes, Quiet, print_json, reports_errors
from empnn.errors import ConfigError

DEFAULT_SIGMA = 0.1


@reports_errors
def evaluate(
    data: Annotated[
        str, typer.Option(help="A file of relaxed crystals, or (with --split) a data folder or the name of a set.")
    ],
    model: Model = "mp-20",
    split: Annotated[str, typer.Option(help="Split of a data folder.")] = "val",
    noise: Annotated[float | None, typer.Option(help="Deviation of the strain noise; 0.1 by default.")] = None,
    noise_positions: Annotated[
        float | None,
        typer.Option(help="Deviation of the noise on positions in angstrom; 0.1 by default if the model moves atoms."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    reference: Annotated[
        Path | None, typer.Option(help="True relaxed crystals of --data, in its order; no noise is added then.")
    ] = None,
    passes: Passes = None,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option(help="Also write the result as JSON to this file.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how much of a deformation the model removes, beside doing nothing (equations 11 and 12)."""
    from empnn.data.writing import replacing
    from empnn.evaluate import compare, denoise, load_crystals
    from empnn.nn.cpu import tuned
    from empnn.relax import load

    if reference is not None and (noise is not None or noise_positions is not None):
        raise ConfigError("--noise and --reference exclude each other: with a reference no noise is added")
    relaxer = load(model, device)
    crystals = load_crystals(data, split)
    with tuned(device):
        if reference is None:
            sigma = DEFAULT_SIGMA if noise is None else noise
            result = denoise(relaxer, crystals, sigma, seed, passes, noise_positions)
        else:
            result = compare(relaxer, crystals, load_crystals(reference, split), passes)
    figures = result.as_dict()
    if out is not None:
        with replacing(out) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n")
    if as_json:
        print_json(figures)
    elif not quiet:
        Console(highlight=False).print(_evaluation_table(figures))


def _evaluation_table(figures: dict[str, Any]) -> Table:
    noise = "" if figures["sigma"] is None else f", sigma {figures['sigma']:g}, seed {figures['seed']}"
    table = Table(title=f"{figures['n']:,} structures{noise}, {figures['seconds']:.1f} s", title_justify="left")
    table.add_column("mean absolute error")
    for column in ("do nothing", "relaxed", "improvement", "removed"):
        table.add_column(column, justify="right")
    for name, unit in (("lengths", "Å"), ("angles", "°")):
        values = [figures[key] for key in (f"noise_{name}", f"{name}_mae", f"{name}_improvement")]
        table.add_row(name, *(f"{v:.3f} {unit}" for v in values), f"{figures[f'{name}_removed']:.3f}")
    if "positions_mae" in figures:
        before, after = figures["noise_positions"], figures["positions_mae"]
        row = (f"{before:.3f} Å", f"{after:.3f} Å", f"{before - after:.3f} Å", f"{figures['positions_removed']:.3f}")
        table.add_row("positions", *row)
    return table
