"""`empnn models` and `empnn fields`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from empnn.cli.common import Json, Quiet, print_json, reports_errors
from empnn.terminal import stderr


@reports_errors
def models(
    name: Annotated[str | None, typer.Argument(help="Print the whole card of this model.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the packaged weights with their cards."""
    from empnn.models import card_of, packaged

    cards = {n: card_of(n) for n in ([name] if name else packaged())}
    if as_json or name:
        print_json(cards[name] if name else cards)
        return
    if quiet:
        return
    if not cards:
        stderr().print("no models are packaged; give --model a model folder or a run directory")
        return
    table = Table()
    for column in ("name", "trained on", "removed at sigma 0.1 (lengths / angles)", "licence of the data"):
        table.add_column(column)
    for key, card in cards.items():
        scores = next((r for r in card.get("metrics", []) if r["sigma"] == 0.1), None)
        removed = f"{scores['lengths_removed']:.3f} / {scores['angles_removed']:.3f}" if scores else "-"
        table.add_row(key, card.get("data", "-"), removed, card.get("licence", "-"))
    Console(highlight=False).print(table)


@reports_errors
def fields(quiet: Quiet = False, as_json: Json = False) -> None:
    """List the vector fields: the rows of the paper's Table 2 with their formulas, and the single fields."""
    from empnn.fields import EDGE_FIELDS, TABLE2, TRIPLET_FIELDS

    rows = {key: row.formula for key, row in TABLE2.items()}
    single = {
        "edges": {name: field.formula for name, field in EDGE_FIELDS.items()},
        "triplets": {name: field.formula for name, field in TRIPLET_FIELDS.items()},
    }
    if as_json:
        print_json({"rows": rows, **single})
    elif not quiet:
        table = Table("model.fields", "formulas, u = v / r, primes for the second leg", title="rows of Table 2")
        for key, formula in rows.items():
            table.add_row(key, formula)
        console = Console(highlight=False, markup=False)
        console.print(table)
        for kind, named in single.items():
            console.print(f"single fields on {kind}: {', '.join(named)}")
