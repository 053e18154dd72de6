"""`empnn models` and `empnn fields`: what there is to choose from."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from empnn.cli.common import Json, Quiet, json_document, print_json, reports_errors
from empnn.terminal import stderr

_LEGEND = """\
strained: % removed of the errors of lengths / angles, cells strained at random
decorated: % removed of strains / displacements, candidates from prototypes
both of crystals that the model has not seen; empnn models NAME has the rest"""

_SHORT_LIST = re.compile(r"\[\n[^\[\]{}]*\n *\]")
"""A list in a JSON document that holds neither lists nor mappings; texts there hold no line breaks."""


@reports_errors
def models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Print the whole card of this model.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show what each packaged model is for, what it is not for, how good it is and how large."""
    from empnn.models import DEFAULT, card_of, config_of, find, packaged, size_of

    cards = {n: card_of(n) for n in ([name] if name else packaged())}
    if as_json or name:
        sys.stdout.write(_SHORT_LIST.sub(_in_a_line, json_document(cards[name] if name else cards)))
        return
    if quiet:
        return
    if not cards:
        stderr().print("no models are packaged; give --model a model folder or a run directory")
        return
    table = Table(caption=_LEGEND, caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    for column in ("for", "not for", "moves"):
        table.add_column(column)
    for column in ("strained", "decorated", "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for key, card in cards.items():
        words = [card.get(entry, "") for entry in ("for", "not_for")]
        moved = "cell,\natoms" if config_of(key).moves_atoms else "cell"
        figures = [_strained(card), _decorated(card), f"{size_of(find(key)) / 1e6:.1f}"]
        shown = f"{key}\n(default)" if key == DEFAULT else key.replace("-reconstruct", "-\nreconstruct")
        table.add_row(shown, *words, moved, *figures)
    Console(highlight=False, markup=False).print(table)


def _in_a_line(found: re.Match[str]) -> str:
    return re.sub(r"\n *", " ", found[0]).replace("[ ", "[").replace(" ]", "]")


def _strained(card: dict[str, Any]) -> str:
    """What is removed of lengths and angles at sigma 0.1, in per cent."""
    scores = next((row for row in card.get("metrics", []) if row["sigma"] == 0.1), None)
    return "" if scores is None else _per_cent(scores["lengths_removed"], scores["angles_removed"])


def _decorated(card: dict[str, Any]) -> str:
    """What is removed of strains and displacements of decorated candidates, in per cent."""
    scores = card.get("decorated")
    return "" if scores is None else _per_cent(scores["strain_removed"], scores["positions_removed"])


def _per_cent(*fractions: float) -> str:
    return " / ".join(f"{100 * fraction:.0f}" for fraction in fractions)


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
