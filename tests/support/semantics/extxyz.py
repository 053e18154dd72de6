"""Frames of extended XYZ that no longer say what they said."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from support import book
from support.drafts import FrameDraft, frame_draft, words
from support.rewriting.sources import Source
from support.semantics.changes import Change, Changed, by

_OCCUPIED = '"_JSON {\\"0\\": {\\"%s\\": %s}}"'
_RENAMED = (
    *(("pos", name) for name in ("positions", "coords", "xyz", "POS", "frac_pos", "scaled_positions", "R")),
    *(("species", name) for name in ("element", "symbols", "Species", "type", "atom_types", "numbers", "label")),
)
_PROPERTIES = (
    *("species:S:1:pos:R:2", "species:S:1:pos:S:3", "species:R:1:pos:R:3", "species:S:1:pos:I:3", "species:S:1"),
    *("pos:R:3:species:S:1", "species:S:1:pos:R:3:force:R:3", "species:S:1:pos:R", "pos:R:3", "Z:I:1:pos:R:3"),
    "id:I:1:pos:R:3",
)
_MEANINGFUL = (
    *("move_mask", "forces", "masses", "momenta", "magmoms", "tags", "numbers", "frac", "id", "occupancy", "labels"),
    *("arrays", "constraints", "positions", "cell"),
)
_WORDS = (("L", "T", 3), ("L", "F", 1), ("R", "0.5", 3), ("R", "-1", 1), ("I", "2", 1), ("S", "a", 1))
_NO_NUMBERS = (["nan", "0", "0"], ["1e400", "0", "0"], ["0,5", "0", "0"], ["T", "0", "0"], ["1/3", "0", "0"])
_SIX, _NINE = '"0.1 0.1 0.1 0 0 0"', '"1 0 0 0 1 0 0 0 1"'
_KEYS = {
    "stress": (_SIX, _NINE, "[[1, 0, 0], [0, 1, 0], [0, 0, 1]]", "0.5", '"a b"', "T", '"1 2 3"'),
    "virial": (_SIX, _NINE, "[1, 0, 0, 0, 1, 0]", "0.5", '"1 2"'),
    "pbc": ('"T T F"', '"F F F"', "T", "F", '"1 1 1"', "xyz", '"T T"', "[T, T, T]", '"true true true"', ""),
    "energy": ("-1.5", '"-1.5 eV"', "nan", "T", "[1, 2]"),
    "REF_energy": ("-1.5",),
    "Origin": ('"0 0 0"', '"1 1 1"'),
    "constraints": ("T", '"_JSON [{\\"name\\": \\"FixAtoms\\"}]"'),
    "numbers": ("5", '"1 2 3"'),
    "positions": ('"1 2 3"', "[[0, 0, 0]]"),
    "cell": ('"1 0 0 0 1 0 0 0 1"', "7"),
    "move_mask": ("T",),
    "arrays": ("5", '"_JSON {}"'),
    "empnn_aside": ("5", '"_JSON {}"', '"_JSON {\\"info\\": 3}"', '"_JSON {\\"arrays\\": {\\"positions\\": [1]}}"'),
    "empnn_status": ("relaxed",),
}


def of_frame(change: Callable[[FrameDraft, Source, random.Random], tuple[FrameDraft, bool]]) -> Change:
    """A change of a frame of extended XYZ; it says whether anything may come out of it."""

    def changed(source: Source, rng: random.Random) -> Changed:
        draft, usable = change(frame_draft(source.atoms), source, rng)
        text = draft.text()
        return text, (source.reading(), *by(book.extxyz, text)) if usable else ()

    changed.__name__ = change.__name__
    return changed


@of_frame
def occupied(draft: FrameDraft, source: Source, rng: random.Random) -> tuple[FrameDraft, bool]:
    """ASE's mark of occupancy, whole or partial."""
    symbol = str(source.atoms.symbols[0])
    share = rng.choice(("1.0", "0.5", '0.75, \\"Ni\\": 0.25', "1", "0.999999"))
    columns = [*draft.columns, ("spacegroup_kinds", "I", [["0"]] * len(draft))]
    whole = share.startswith(("1", "0.9"))
    return replace(draft, keys={**draft.keys, "occupancy": _OCCUPIED % (symbol, share)}, columns=columns), whole


@of_frame
def renamed_columns(draft: FrameDraft, source: Source, rng: random.Random) -> tuple[FrameDraft, bool]:
    """Other names for species and positions."""
    return draft.renamed(*rng.choice(_RENAMED)), True


@of_frame
def other_widths(draft: FrameDraft, source: Source, rng: random.Random) -> tuple[FrameDraft, bool]:
    """Kinds and widths of columns that the rows do not have."""
    return replace(draft, properties=rng.choice(_PROPERTIES)), True


@of_frame
def numbers_and_species(draft: FrameDraft, source: Source, rng: random.Random) -> tuple[FrameDraft, bool]:
    """Atomic numbers beside the species, perhaps of other elements."""
    numbers = source.atoms.numbers.tolist()
    shifted = rng.choice((numbers, [number % 90 + 1 for number in numbers]))
    return replace(draft, columns=[*draft.columns, ("Z", "I", [[str(number)] for number in shifted])]), True


@of_frame
def other_lattice(draft: FrameDraft, source: Source, rng: random.Random) -> tuple[FrameDraft, bool]:
    """A lattice in another form, under another name, or of other size."""
    rows = source.atoms.cell.array
    flat = [f"{x:.12g}" for x in rows.ravel()]
    nested = ", ".join(f"[{', '.join(f'{x:.12g}' for x in row)}]" for row in rows)
    parameters = " ".join(f"{x:.9f}" for x in source.atoms.cell.cellpar())
    forms = (
        *(f'"{" ".join(flat[:3])}"', f'"{" ".join(flat[:6])}"', f'"{" ".join(flat)} 0"', f'"{",".join(flat)}"', ""),
        *(f"[{nested}]", f'"[{nested}]"', f"_JSON [{nested}]", f'"{parameters}"', "T"),
        *('"a b c d e f g h i"', '"nan 0 0 0 1 0 0 0 1"'),
    )
    name = rng.choice(("Lattice", "Lattice", "Lattice", "lattice", "Cell", "cell", "LATTICE"))
    keys = {key: value for key, value in draft.keys.items() if key != "Lattice"}
    return replace(draft, keys={name: rng.choice(forms), **keys}), True


@of_frame
def other_keys(draft: FrameDraft, source: Source, rng: random.Random) -> tuple[FrameDraft, bool]:
    """Stress, virial, periodicity and names of energies in the dialects there are."""
    keys = rng.sample(list(_KEYS), 2)
    return replace(draft, keys={**draft.keys, **{key: rng.choice(_KEYS[key]) for key in keys}}), True


@of_frame
def more_columns(draft: FrameDraft, source: Source, rng: random.Random) -> tuple[FrameDraft, bool]:
    """Columns of constraints, velocities, masses and names that mean something to some program."""
    columns = list(draft.columns)
    for name in rng.sample(_MEANINGFUL, 2):
        kind, word, width = rng.choice(_WORDS)
        columns.insert(rng.randint(0, len(columns)), (name, kind, [[word] * width] * len(draft)))
    return replace(draft, columns=columns), True


@of_frame
def other_species(draft: FrameDraft, source: Source, rng: random.Random) -> tuple[FrameDraft, bool]:
    """Labels, charges, numbers or groups for an element."""
    species = [list(row) for row in draft.columns[0][2]]
    at = rng.randrange(len(species))
    kind, number = species[at][0], source.atoms.numbers[at]
    labels = (f"{kind}1", f"{kind}+", f"{kind}2-", f"{kind}_a", f"{kind}/O", kind.lower(), kind.upper(), str(number))
    species[at] = [rng.choice((*labels, "OW", "X", "Vac", "H2O", "NH4", "?", "0", "T", "M"))]
    return replace(draft, columns=[("species", "S", species), *draft.columns[1:]]), True


@of_frame
def repeated_rows(draft: FrameDraft, source: Source, rng: random.Random) -> tuple[FrameDraft, bool]:
    """An atom stands there twice, perhaps as another element."""
    at = rng.randrange(len(draft))
    columns = [(name, kind, [*rows, rows[at]]) for name, kind, rows in draft.columns]
    if rng.random() < 0.5:
        columns[0][2][-1] = ["N"]
    return replace(draft, columns=columns), True


@of_frame
def other_length(draft: FrameDraft, source: Source, rng: random.Random) -> tuple[FrameDraft, bool]:
    """Positions that are no numbers, or lengths in nanometres."""
    if rng.random() < 0.5:
        rows = words(source.atoms.positions)
        rows[0] = rng.choice(_NO_NUMBERS)
        return replace(draft, columns=[draft.columns[0], ("pos", "R", rows)]), False
    rows = words(source.atoms.positions / 10)
    keys = {**draft.keys, "Lattice": f'"{" ".join(f"{x / 10:.9g}" for x in source.atoms.cell.array.ravel())}"'}
    return replace(draft, keys=keys, columns=[draft.columns[0], ("pos", "R", rows)]), False


CHANGES: Sequence[Change] = (
    *(occupied, renamed_columns, other_widths, numbers_and_species, other_lattice, other_keys, more_columns),
    *(other_species, repeated_rows, other_length),
)
