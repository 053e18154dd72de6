"""CIF text to crystals, with gemmi: symmetry expanded, partial occupancy refused; see `writing` for the way back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import numpy as np
from ase import Atoms
from ase.io.jsonio import decode
from scipy.spatial import KDTree

from empnn.ase_atoms import DOUBTS, OXIDATION_STATES, mark_deuterium
from empnn.data.formats.cif.blocks import blocks_from_text, describes_crystal, parts
from empnn.data.formats.cif.formula import contradiction
from empnn.data.formats.cif.names import says_nothing
from empnn.data.formats.cif.own import OWN_TAG, info_in_tags, orientation
from empnn.data.formats.cif.sites import (
    LABELS,
    NOT_GIVEN,
    Species,
    attached_hydrogens,
    charges_of,
    check_alternatives,
    check_site,
    labels_of_sites,
    species_of_sites,
)
from empnn.data.formats.cif.symmetry import (
    IDENTITY,
    SAME_ATOM,
    Operation,
    magnetic_moments,
    operations,
    without_quoted_numbers,
)
from empnn.data.records import Entries, Entry, refuse
from empnn.errors import CrystalError
from empnn.files import open_bytes, text_chunks

SAME_SITE = 0.1
"""A site this close, in angstrom, to the image of another is that image; up to `SAME_ATOM` it is disorder."""

CELL_TAGS = (
    "_cell_length_a",
    "_cell_length_b",
    "_cell_length_c",
    "_cell_angle_alpha",
    "_cell_angle_beta",
    "_cell_angle_gamma",
)
SITE_TAGS = ("type_symbol", "label", "fract_x", "fract_y", "fract_z", "occupancy")
_SAME_CELL = 1e-5
"""How far, in angstrom, the vectors of a cell kept beside its parameters may be from them."""

TWO_SIGNS = "+-"
"""gemmi reads a number with two signs."""
Wanted = Callable[[gemmi.cif.Block], bool]


def entries(path: Path) -> Entries:
    """The data blocks of a file that describe crystals, one after the other; all blocks if none does.

    A mistake in one does not hide the others.
    """
    return _crystals_or_all(partial(_in_file, path))


def entries_of_text(text: str) -> Entries:
    """The data blocks of a text, likewise."""
    return _crystals_or_all(partial(_in_chunks, [text]))


def _crystals_or_all(blocks: Callable[[Wanted], Entries]) -> Entries:
    crystals = blocks(describes_crystal)
    first = next(crystals, None)
    if first is None:
        yield from blocks(lambda block: True)
    else:
        yield first
        yield from crystals


def _in_file(path: Path, wanted: Wanted) -> Entries:
    with open_bytes(path) as handle:
        for entry in _in_chunks(text_chunks(handle), wanted):
            yield entry._replace(share=handle.share)


def _in_chunks(chunks: Iterable[str], wanted: Wanted) -> Entries:
    """The data blocks of a text that are wanted, and refusals of the parts that are no CIF."""
    for part in parts(chunks):
        try:
            yield from map(_entry, filter(wanted, blocks_from_text(part)))
        except CrystalError as error:
            name = part.split(maxsplit=1)[0].partition("_")[2] if part.strip() else ""
            yield Entry(refuse, str(error), name or None)


def atoms_from_text(text: Any) -> Atoms:
    """The first crystal in a CIF.

    Raises:
        CrystalError: If there is none.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str) or not text.strip():
        raise CrystalError("there is no CIF text; fill it in or remove the row")
    blocks = blocks_from_text(text)
    if not blocks:
        raise CrystalError("the CIF has no data block; begin it with data_NAME")
    return atoms_from_block(blocks[0])


def atoms_from_block(block: gemmi.cif.Block) -> Atoms:
    """The crystal of one CIF data block: whole unit cell, coordinates as written, a along x.

    Raises:
        CrystalError: If the block holds no cell or no atoms, a site is partly occupied, disordered or of no known
            element, or the symmetry is not known.
    """
    cell = _cell(block)
    small = _small_structure(block)
    sites = list(small.sites)
    for site in sites:
        check_site(site)
    check_alternatives(block)
    kinds = species_of_sites(block, sites)
    symmetry = operations(block, sites, [kind.symbol for kind in kinds], _rounded_cells(block))
    images = _images(sites, kinds, symmetry.operations, cell)
    of_atoms = [image.site for image in images]
    frac = np.array([image.frac for image in images])
    kept = _kept_beside(block)
    vectors = kept.pop("cell", orientation(block))
    if vectors is not None and _is_of(vectors, cell):
        cell = vectors
    moments = magnetic_moments(block, [sites[i].label for i in of_atoms], [image.by for image in images], cell)
    numbers = np.array([kind.number for kind in kinds])
    atoms = Atoms(numbers=numbers[of_atoms], scaled_positions=frac, cell=cell, pbc=True)
    if any(kind.charge for kind in kinds):
        atoms.set_array(OXIDATION_STATES, charges_of(kinds)[of_atoms])
    labels = labels_of_sites(sites, numbers.tolist())
    if labels is not None:
        atoms.set_array(LABELS, np.array(labels)[of_atoms])
    if moments is not None:
        atoms.set_initial_magnetic_moments(moments)
    symbols = [kinds[i].symbol for i in of_atoms]
    mark_deuterium(atoms, [index for index, symbol in enumerate(symbols) if symbol == "D"])
    if kept:
        atoms = Atoms.fromdict({**atoms.todict(), **kept})
    doubts = symmetry.doubt, contradiction(block, symbols, attached_hydrogens(block, of_atoms))
    if any(doubts):
        atoms.info[DOUBTS] = "; ".join(filter(None, doubts))
    atoms.info.update(info_in_tags(block))
    return atoms


def cells_from_parameters(parameters: np.ndarray) -> np.ndarray:
    """Cells (structures, 3, 3) of lattice parameters (structures, 6), in angstrom and degrees.

    The orientation is ASE's: a along x, b in the xy plane. A right angle is exactly right.
    """
    lengths, angles = parameters[:, :3], parameters[:, 3:]
    cosines = np.where(angles == 90, 0.0, np.cos(np.deg2rad(angles)))
    cos_alpha, cos_beta, cos_gamma = cosines.T
    sin_gamma = np.where(angles[:, 2] == 90, 1.0, np.sin(np.deg2rad(angles[:, 2])))
    y_of_c = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    cells = np.zeros((len(parameters), 3, 3))
    cells[:, 0, 0] = 1
    cells[:, 1, 0], cells[:, 1, 1] = cos_gamma, sin_gamma
    cells[:, 2, 0], cells[:, 2, 1] = cos_beta, y_of_c
    cells[:, 2, 2] = np.sqrt(np.maximum(1 - cos_beta**2 - y_of_c**2, 0))
    scaled: np.ndarray = cells * lengths[:, :, None]
    return scaled


def closes_a_cell(parameters: Sequence[float]) -> bool:
    """Whether six finite lattice parameters belong to three linearly independent vectors."""
    if not (math.isfinite(sum(parameters)) and max(parameters[3:]) < 180):
        return False
    cos_alpha, cos_beta, cos_gamma = map(math.cos, map(math.radians, parameters[3:]))
    return 1 - cos_alpha**2 - cos_beta**2 - cos_gamma**2 + 2 * cos_alpha * cos_beta * cos_gamma > 0


def _kept_beside(block: gemmi.cif.Block) -> dict[str, Any]:
    """What was kept in JSON beside the crystal; older files have the lattice vectors there, too."""
    text = block.find_value(OWN_TAG)
    if not text:
        return {}
    kept = decode(gemmi.cif.as_string(text))
    if not isinstance(kept, dict):
        raise CrystalError(f"{OWN_TAG} holds no JSON object; remove it")
    if "cell" in kept:
        kept["cell"] = np.asarray(kept["cell"], dtype=float)
    return kept


def _is_of(vectors: np.ndarray, cell: np.ndarray) -> bool:
    """Whether vectors have the lattice parameters of a cell."""
    if vectors.shape != (3, 3):
        return False
    return bool(np.abs(vectors @ vectors.T - cell @ cell.T).max() < _SAME_CELL * np.abs(cell).max())


def number(text: str) -> float:
    """A CIF number without its uncertainty; NaN where there is none."""
    value: float = math.nan if TWO_SIGNS in text else gemmi.cif.as_number(text)
    return value


def _small_structure(block: gemmi.cif.Block) -> gemmi.SmallStructure:
    """The sites of a block, in each of which all three coordinates are written: gemmi takes a missing one for 0."""
    written = block.find("_atom_site_", [f"fract_{axis}" for axis in "xyz"])
    if len(written) == 0:
        raise CrystalError("the CIF block has no atoms with fractional coordinates; add _atom_site_fract_*")
    try:
        small = gemmi.make_small_structure_from_block(without_quoted_numbers(block))
    except (ValueError, RuntimeError) as error:
        raise CrystalError(f"a value in the CIF block cannot be read ({error}); correct it") from None
    if not small.sites:
        raise CrystalError("the CIF block does not name its sites; add a column _atom_site_label")
    if len(small.sites) != len(written):
        raise CrystalError("the CIF block lists some atoms without fractional coordinates; add _atom_site_fract_*")
    for site, row in zip(small.sites, written, strict=True):
        if any(TWO_SIGNS in coordinate for coordinate in row):
            raise CrystalError(f"site {site.label} has no numeric coordinates; correct its position")
    for site, share in zip(small.sites, block.find_values("_atom_site_occupancy"), strict=False):
        # What it cannot read, gemmi takes for 1, which is right for . and ? only.
        if share not in NOT_GIVEN and not math.isfinite(number(share)):
            raise CrystalError(f"site {site.label} has occupancy {share!r}, which is no number; correct it")
    return small


class _Image(NamedTuple):
    """Where an operation takes a site."""

    site: int
    frac: list[float]
    by: Operation


def _images(
    sites: list[gemmi.SmallStructure.Site], kinds: list[Species], listed: list[Operation], cell: np.ndarray
) -> list[_Image]:
    """The images of all sites, site by site. A site that is listed, and the image of another too, is one atom.

    Raises:
        CrystalError: If sites of several species lie in one place, one is listed twice, or nearly so.
    """
    names = [f"{site.label} ({kind.symbol})" for site, kind in zip(sites, kinds, strict=True)]

    def new(images: list[_Image], known: list[_Image]) -> list[_Image]:
        repeated = set()
        for i, j, distance in _close_pairs([image.frac for image in images], [image.frac for image in known], cell):
            first, second = sorted((images[i].site, known[j].site))
            if first == second or (images is known and i < j):
                continue
            if kinds[first] != kinds[second] or images[i].by == IDENTITY or distance > SAME_SITE:
                raise CrystalError(
                    f"sites {names[first]} and {names[second]} overlap ({distance:.3f} angstrom apart): disordered, or "
                    "one too many; order the structure before relaxing it"
                )
            repeated.add(i)
        return [image for i, image in enumerate(images) if i not in repeated]

    as_listed = [_Image(index, site.fract.tolist(), IDENTITY) for index, site in enumerate(sites)]
    new(as_listed, as_listed)
    others = new([image for site in as_listed for image in _orbit(site, listed, cell)[1:]], as_listed)
    return sorted(as_listed + new(others, others), key=lambda image: image.site)


def _orbit(site: _Image, listed: list[Operation], cell: np.ndarray) -> list[_Image]:
    """The images of a site, the site itself first and as written; on a special position they coincide."""
    images = [site, *(_Image(site.site, operation.apply(site.frac), operation) for operation in listed)]
    frac = np.array([image.frac for image in images])
    apart = frac[:, None] - frac
    are_one = np.linalg.norm((apart - np.round(apart)) @ cell, axis=-1) <= SAME_ATOM
    kept: list[int] = []
    for index in range(len(images)):
        if not are_one[index, kept].any():
            kept.append(index)
    return [images[index] for index in kept]


def _close_pairs(
    first: list[list[float]], second: list[list[float]], cell: np.ndarray
) -> Iterator[tuple[int, int, float]]:
    """Pairs of a point of one set and one of another within the distance of one atom, and that distance."""
    # No two points so close are further apart along any coordinate. In a basis too skewed or flat, rounding finds no
    # nearest image: `empnn.checks` searches there.
    reach = SAME_ATOM * np.linalg.norm(np.linalg.inv(cell), axis=0).max()
    if not first or not second or reach >= 0.5:
        return
    here, there = (KDTree(np.mod(points, 1) % 1, boxsize=1) for points in (first, second))
    found = here.query_ball_tree(there, reach, p=np.inf)
    i = np.repeat(np.arange(len(found)), [len(near) for near in found])
    j = np.array([index for near in found for index in near], dtype=int)
    between = np.array(first)[i] - np.array(second)[j]
    distances = np.linalg.norm((between - np.round(between)) @ cell, axis=1)
    close = distances <= SAME_ATOM
    yield from zip(i[close].tolist(), j[close].tolist(), distances[close].tolist(), strict=True)


def _cell(block: gemmi.cif.Block) -> np.ndarray:
    written = [block.find_value(tag) for tag in CELL_TAGS]
    if not all(written):
        raise CrystalError("the CIF block has no unit cell; add _cell_length_* and _cell_angle_*")
    values = [number(text) for text in written]
    for tag, text, value in zip(CELL_TAGS, written, values, strict=True):
        if not 0 < value < np.inf:
            raise CrystalError(f"{tag} is {text}; correct the cell")
    if not closes_a_cell(values):
        raise CrystalError(f"the cell angles {', '.join(f'{x:g}' for x in values[3:])} close no cell; correct them")
    cell: np.ndarray = cells_from_parameters(np.array([values]))[0]
    return cell


def _rounded_cells(block: gemmi.cif.Block) -> np.ndarray:
    """The cell as written, then with one parameter after the other larger by half a unit of its last digit (7, 3, 3).

    A parameter of less than three digits, such as 5 or 90, is taken for one of three.
    """
    written = [Decimal(block.find_value(tag).partition("(")[0]) for tag in CELL_TAGS]
    halves = [0.5 * 10.0 ** min(int(value.as_tuple().exponent), value.adjusted() - 2) for value in written]
    return cells_from_parameters(np.array(written, dtype=float) + np.vstack([np.zeros(6), np.diag(halves)]))


def _entry(block: gemmi.cif.Block) -> Entry:
    return Entry(atoms_from_block, block, block.name or None, cif=block, stem_says_more=says_nothing(block))
