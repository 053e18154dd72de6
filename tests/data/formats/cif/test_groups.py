"""Space groups of CIF in all their settings, by name, Hall symbol, number, code and operators.

spglib's database of 530 settings, and pymatgen's of symbols, tell what is right: the reader has its own from gemmi.
"""

import warnings

import numpy as np
import pytest
import spglib
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.groups import SYMM_DATA, SpaceGroup

from empnn.data.formats.cif.crystals import atoms_from_text
from empnn.errors import CrystalError

pytestmark = pytest.mark.filterwarnings("ignore:.*:Warning:pymatgen", "ignore:.*:Warning:spglib")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    SETTINGS = [spglib.get_spacegroup_type(number) for number in range(1, 531)]
    DATABASE = {setting: spglib.get_symmetry_from_database(setting.hall_number) for setting in SETTINGS}
SITE = (0.1234, 0.0377, 0.2717)
"""Far from all special positions of all groups in the cells below."""
NAME, HALL = "_symmetry_space_group_name_H-M", "_space_group_name_Hall"
NUMBER, CODE = "_space_group_IT_number", "_space_group_IT_coordinate_system_code"
TWO_ORIGINS = {setting.number for setting in SETTINGS if setting.choice[:1] == "1"}


def cell_of(setting):
    """Lattice parameters that have the symmetry of a setting and no more."""
    number, unique = setting.number, setting.choice.lstrip("-")[:1]
    if number < 3:
        return 21, 25, 29, 81, 95, 103
    if number < 16:
        return (21, 25, 29, *(104.5 if axis == unique else 90 for axis in "abc"))
    if setting.choice == "R":
        return 21, 21, 21, 75.3, 75.3, 75.3
    lengths = (21, 25, 29) if number < 75 else (21, 21, 29) if number < 195 else (21, 21, 21)
    return (*lengths, 90, 90, 120 if 143 <= number < 195 else 90)


def block(cell, said, sites=(("Na", SITE),), columns=()):
    """A CIF of sites, and what is said of its group by tag; a list makes a loop."""
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", *(f"_cell_{tag} {value}" for tag, value in zip(tags, cell, strict=True))]
    for tag, value in said.items():
        lines += ["loop_", tag, *map(_quoted, value)] if isinstance(value, list) else [f"{tag} {_quoted(value)}"]
    lines += [
        "loop_",
        *(f"_atom_site_{tag}" for tag in ("label", "type_symbol", "fract_x", "fract_y", "fract_z", *columns)),
    ]
    lines += [" ".join(map(str, (f"{kind}{i}", kind, *rest))) for i, (kind, *rest) in enumerate(map(_flat, sites))]
    return "\n".join(lines) + "\n"


def _flat(site):
    kind, place, *rest = site
    return (kind, *place, *rest)


def _quoted(value):
    return f"\n;{value}\n;\n" if "'" in str(value) or '"' in str(value) else f"'{value}'"


def images(setting, site=SITE):
    """Where the operations of a setting take a site."""
    return DATABASE[setting]["rotations"] @ np.array(site) + DATABASE[setting]["translations"]


def assert_images(text, expected):
    """The atoms of the CIF are at these places, one at each, up to lattice vectors."""
    frac = atoms_from_text(text).get_scaled_positions()
    apart = np.abs((frac[:, None] - expected + 0.5) % 1 - 0.5).max(-1)
    assert len(frac) == len(expected), text
    assert sorted(apart.argmin(1).tolist()) == list(range(len(expected))), text
    assert apart.min(1).max() < 1e-6, text


def as_written(rotation, translation):
    parts = []
    for row, shift in zip(rotation.tolist(), translation.tolist(), strict=True):
        terms = "".join(
            f"{'+' if factor > 0 else '-'}{axis}" for factor, axis in zip(row, "xyz", strict=True) if factor
        )
        parts.append(f"{terms.lstrip('+')}{shift:+.5g}" if shift else terms.lstrip("+"))
    return ", ".join(parts)


def code_of(setting):
    """The code of the CIF dictionary for what spglib calls the choice."""
    if 16 <= setting.number < 75:
        return setting.choice if setting.choice.strip("12") else f"{setting.choice}abc"
    return setting.choice.lower() or "1"


@pytest.mark.parametrize("first", range(0, 530, 53))
def test_every_setting_is_read_in_every_way_that_tells_it(first):
    for setting in SETTINGS[first : first + 53]:
        operators = [*map(as_written, DATABASE[setting]["rotations"], DATABASE[setting]["translations"])]
        ways = [
            {HALL: setting.hall_symbol},
            {NUMBER: setting.number, CODE: code_of(setting)},
            {NAME: setting.international_full, CODE: code_of(setting), "_symmetry_Int_Tables_number": setting.number},
            {"_symmetry_equiv_pos_as_xyz": operators[::-1], NAME: setting.international_short},
        ]
        for said in ways:
            assert_images(block(cell_of(setting), said), images(setting))


@pytest.mark.parametrize("number", range(1, 231))
def test_a_number_alone_is_the_standard_setting_unless_that_has_two_origins(number):
    text = block(cell_of(next(setting for setting in SETTINGS if setting.number == number)), {NUMBER: number})
    if number in TWO_ORIGINS:
        with pytest.raises(CrystalError, match=f"may be .*:1 or .*:2.*; add {CODE} or list its operators"):
            atoms_from_text(text)
    else:
        assert_images(text, np.array([one.operate(SITE) for one in SpaceGroup.from_int_number(number).symmetry_ops]))


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.number in (3, 4, 6, 10, 11) or s.choice in ("R", "H")])
def test_the_cell_tells_the_axes_of_a_number(setting):
    assert_images(block(cell_of(setting), {NUMBER: setting.number}), images(setting))


@pytest.mark.parametrize("symbol", SYMM_DATA["space_group_encoding"])
def test_symbols_mean_what_they_mean_to_pymatgen(symbol):
    group = SpaceGroup(symbol)
    expected = np.array([operation.operate(SITE) for operation in group.symmetry_ops])
    like = next(setting for setting in SETTINGS if setting.number == group.int_number)
    for spelling in {symbol, group.full_symbol, symbol.lower(), symbol.replace("_", " "), group.full_symbol.upper()}:
        codes = ("1", "2") if group.int_number in TWO_ORIGINS else ("",)
        assert any(_is(block(cell_of(like), {NAME: f"{spelling}{code and ':'}{code}"}), expected) for code in codes)


def _is(text, expected):
    try:
        assert_images(text, expected)
    except AssertionError:
        return False
    return True


CRYSTALS = {
    "spinel": Structure.from_spacegroup(
        "Fd-3m", Lattice.cubic(8.08), ["Mg", "Al", "O"], [[1 / 8] * 3, [1 / 2] * 3, [0.2624] * 3]
    ),
    "corundum": Structure.from_spacegroup(
        "R-3c", Lattice.hexagonal(4.759, 12.993), ["Al", "O"], [[0, 0, 0.35216], [0.30624, 0, 0.25]]
    ),
    "baddeleyite": Structure.from_spacegroup(
        "P2_1/c",
        Lattice.monoclinic(5.1505, 5.2116, 5.3173, 99.23),
        ["Zr", "O", "O"],
        [[0.2754, 0.0395, 0.2083], [0.0700, 0.3317, 0.3447], [0.4496, 0.7569, 0.4792]],
    ),
    "perovskite": Structure.from_spacegroup(
        "Pnma",
        Lattice.orthorhombic(5.4423, 7.6401, 5.3796),
        ["Ca", "Ti", "O", "O"],
        [[0.0359, 0.25, 0.9926], [0, 0, 0.5], [0.4840, 0.25, 0.0715], [0.2890, 0.0373, 0.7116]],
    ),
    "anatase": Structure.from_spacegroup(
        "I4_1/amd", Lattice.tetragonal(3.7842, 9.5146), ["Ti", "O"], [[0, 0.75, 0.125], [0, 0.75, 0.3331]]
    ),
    "albite": Structure.from_spacegroup(
        "C2/m",
        Lattice.monoclinic(8.56, 12.96, 7.21, 116.1),
        ["K", "Si", "O", "O"],
        [[0.2840, 0, 0.1373], [0.0097, 0.1850, 0.2233], [0, 0.1459, 0], [0.1793, 0.1269, 0.4024]],
    ),
}


def rewritten(structure, setting):
    """Cell and sites of the same crystal in another setting of its group, with few digits."""
    cell = structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers
    found = spglib.get_symmetry_dataset(cell, hall_number=setting.hall_number)
    lattice = Lattice(np.linalg.inv(found.transformation_matrix).T @ structure.lattice.matrix)
    first = np.unique(found.equivalent_atoms)
    places = structure.frac_coords[first] @ found.transformation_matrix.T + found.origin_shift
    sites = [
        (structure[i].specie.symbol, np.round(place % 1, 5).tolist()) for i, place in zip(first, places, strict=True)
    ]
    return [round(value, 3) for value in lattice.parameters], sites


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_crystal_is_itself_in_every_setting_however_that_is_told(name):
    structure = CRYSTALS[name]
    number = structure.get_space_group_info()[1]
    matcher = StructureMatcher(primitive_cell=False, attempt_supercell=False, scale=False, stol=0.02, ltol=0.01)
    for setting in (setting for setting in SETTINGS if setting.number == number):
        cell, sites = rewritten(structure, setting)
        symbol = setting.international_full
        ways = [
            {NAME: symbol, HALL: setting.hall_symbol},
            {HALL: setting.hall_symbol, NUMBER: number},
            {NAME: f"{symbol} :{setting.choice}" if setting.choice[:1] in ("1", "2", "H", "R") else symbol},
            {NUMBER: number, CODE: code_of(setting), NAME: "?"},
            {
                "_space_group_symop_operation_xyz": [
                    *map(as_written, DATABASE[setting]["rotations"], DATABASE[setting]["translations"])
                ],
                NUMBER: number,
            },
            {"_chemical_formula_sum": structure.formula, "_cell_formula_units_Z": 1, NAME: symbol.replace("_", "")},
        ]
        for said in ways:
            atoms = atoms_from_text(block(cell, said, sites[::-1]))
            per_volume = len(structure) * atoms.get_volume() / structure.volume
            assert len(atoms) == pytest.approx(per_volume, rel=1e-3), (setting, said)
            ours, theirs = (one.get_primitive_structure() for one in (AseAtomsAdaptor.get_structure(atoms), structure))
            assert matcher.fit(ours, theirs), (setting, said)
