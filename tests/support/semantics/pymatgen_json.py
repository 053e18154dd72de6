"""Pymatgen's JSON that no longer says what it said."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from support import book
from support.rewriting.sources import Source
from support.semantics.changes import Change, Changed, by

_NO_ELEMENTS = ("X", "Qq", "Vac", "", None, 7, "{0}O", "H2O", "0+")
_PROPERTIES = (None, [], {"magmom": None}, {"a": [1, 2]}, {"selective_dynamics": None}, {"occupancy": 0.5})
_STATES = ({"oxidation_state": 2}, {"oxidation_state": None}, {"oxidation_state": "x"}, {"spin": 5})
_CLASSES = ("IStructure", "Lattice", "Element", "os.system", None, 5)


def of_json(change: Callable[[dict[str, Any], random.Random], tuple[Any, bool]]) -> Change:
    """A change of pymatgen's dictionary; it says whether anything may come out of it."""

    def changed(source: Source, rng: random.Random) -> Changed:
        described, usable = change(json.loads(source.structure.to_json()), rng)
        text = json.dumps(described)
        return text, (source.reading(), *by(book.pymatgen_json, text)) if usable else ()

    changed.__name__ = change.__name__
    return changed


@of_json
def other_sites(described: dict[str, Any], rng: random.Random) -> tuple[Any, bool]:
    """Species and places that are none."""
    site = rng.choice(described["sites"])
    kind = site["species"][0]["element"]
    half = [{"element": kind, "occu": 0.5}, {"element": "Pu", "occu": 0.5}]
    names = [name.format(kind) if isinstance(name, str) else name for name in _NO_ELEMENTS]
    unusable: tuple[dict[str, Any], ...] = (
        *({"species": [{"element": kind, "occu": occu}]} for occu in (0.5, 0, -1, 1.5, "half", None)),
        *({"species": [{"element": name, "occu": 1}]} for name in names),
        *({"species": species} for species in ([], None, half)),
        *({"abc": abc} for abc in ([float("nan"), 0, 0], [0, 0], None, "0 0 0", [1e400, 0, 0])),
    )
    usable: tuple[dict[str, Any], ...] = (
        *({"species": [{"element": kind, "occu": 1, **more}]} for more in _STATES),
        *({"label": label} for label in (None, 7, "", "O'1", "X")),
        *({"properties": properties} for properties in _PROPERTIES),
    )
    change, fine = rng.choice(((rng.choice(unusable), False), (rng.choice(usable), True)))
    site.update(change)
    return described, fine


@of_json
def fewer_keys(described: dict[str, Any], rng: random.Random) -> tuple[Any, bool]:
    """A key is missing, or null."""
    holder = rng.choice((described, described["lattice"], rng.choice(described["sites"])))
    key = rng.choice(list(holder))
    if rng.random() < 0.5:
        del holder[key]
    else:
        holder[key] = None
    return described, True


@of_json
def other_lattice(described: dict[str, Any], rng: random.Random) -> tuple[Any, bool]:
    """A lattice in another form, or one that contradicts itself."""
    lattice = described["lattice"]
    matrix = lattice["matrix"]
    forms: tuple[Any, ...] = (
        {**lattice, "matrix": [x for row in matrix for x in row]},
        {**lattice, "matrix": matrix[:2]},
        {**lattice, "matrix": [[str(x) for x in row] for row in matrix]},
        {**lattice, "a": 2 * lattice["a"]},
        {**lattice, "pbc": rng.choice(([True, True, False], None, [], "TTT"))},
        {key: value for key, value in lattice.items() if key != "matrix"},
        *(matrix, None, "cubic", 5.0),
    )
    described["lattice"] = rng.choice(forms)
    return described, True


@of_json
def other_documents(described: dict[str, Any], rng: random.Random) -> tuple[Any, bool]:
    """Structures in documents of other shapes, and of other classes."""
    text = json.dumps(described)
    forms: tuple[Any, ...] = (
        *(
            {"a": described, "b": described},
            [[described]],
            [described, None],
            [None],
            [],
            {},
            "",
            5,
            None,
            text,
            [text],
        ),
        *({"structure": text}, {"structure": [described]}, {"structures": [described]}, {"structure": None}),
        *({**described, "@class": "Molecule"}, {**described, "@class": rng.choice(_CLASSES), "@module": "os"}),
        *({**described, "charge": "x"}, {**described, "charge": 2}, {**described, "properties": {"a": None}}),
        *({**described, "sites": described["sites"] * 2}, {**described, "sites": []}, {**described, "sites": {}}),
        {"id": {"a": 1}, "structure": described},
        {"material_id": ["x"], "structure": described, "cell": 5, "numbers": 3},
    )
    return rng.choice(forms), True


CHANGES: Sequence[Change] = (other_sites, fewer_keys, other_lattice, other_documents)
