"""Space groups of CIF in all their settings, by name, Hall symbol, number, code and operators.

Right is what spglib's database of 530 settings says, where the standard one of each group is first, and what pymatgen
makes of symbols; the reader has its tables from gemmi.
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
    if isinstance(value, int):
        return value
    return f"\n;{value}\n;\n" if "'" in value or '"' in value else f"'{value}'"


def images(setting, site=SITE):
    """Where the operations of a setting take a site."""
    return DATABASE[setting]["rotations"] @ np.array(site) + DATABASE[setting]["translations"]


def assert_images(text, expected):
    """The atoms of the CIF are at these places, one at each, up to lattice vectors; returns them."""
    atoms = atoms_from_text(text)
    frac = atoms.get_scaled_positions()
    apart = np.abs((frac[:, None] - expected + 0.5) % 1 - 0.5).max(-1)
    assert len(frac) == len(expected), text
    assert sorted(apart.argmin(1).tolist()) == list(range(len(expected))), text
    assert apart.min(1).max() < 1e-6, text
    return atoms


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
        ways = [
            {HALL: setting.hall_symbol},
            {NUMBER: setting.number, CODE: code_of(setting)},
            {NAME: setting.international_full, CODE: code_of(setting), "_symmetry_Int_Tables_number": setting.number},
        ]
        if setting.hall_number % 4 == 0:
            operators = [*map(as_written, DATABASE[setting]["rotations"], DATABASE[setting]["translations"])]
            ways.append({"_symmetry_equiv_pos_as_xyz": operators[::-1], NAME: setting.international_short})
        for said in ways:
            assert_images(block(cell_of(setting), said), images(setting))


@pytest.mark.parametrize("first", range(1, 231, 46))
def test_a_number_alone_is_the_standard_setting_which_is_doubtful_if_there_are_two_origins(first):
    for number in range(first, first + 46):
        standard = next(setting for setting in SETTINGS if setting.number == number)
        atoms = assert_images(block(cell_of(standard), {NUMBER: number}), images(standard))
        doubt = atoms.info.get("empnn_doubts", "")
        assert ("and nothing tells which; the first was taken" in doubt) == (number in TWO_ORIGINS)


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
        "Fd-3m", Lattice.cubic(8.08), ["Mg", "Al", "O"], [[0] * 3, [5 / 8] * 3, [0.3874] * 3]
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
        "I4_1/amd", Lattice.tetragonal(3.7842, 9.5146), ["Ti", "O"], [[0, 0, 0], [0, 0, 0.2081]]
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


MONOCLINIC = 6.1, 7.3, 8.2, 90, 104.5, 90


@pytest.mark.parametrize(
    "name",
    [
        *("P2(1)/n", "P 2(1)/n", "P 1 2(1)/n 1", "P 1 21/n 1", "P21/n", "p21/n", "P 21/N", "P 2_1/n", "P12_1/n1"),
        *("P_1_21/n_1", "P 2 _1 / n", "P2_{1}/n", "P2$_1$/n", "P2\u2081/n", "P 2~1~/n", "P2<sub>1</sub>/n"),
        *("P 21/n (No. 14)", "P 21/n (14)", "P21/n:b2", "P 1 21/n 1 :b2", "P 21/n (unique axis b)", "-P 2yn"),
    ],
)
def test_a_name_means_its_setting_however_it_is_spelled_and_whatever_number_is_beside_it(name):
    setting = next(setting for setting in SETTINGS if setting.number == 14 and setting.choice == "b2")
    sites = [("K", (0.12, 0.21, 0.33))]
    for said in ({NAME: name}, {NAME: name, NUMBER: 14}, {"_space_group_name_H-M_alt": name, NUMBER: "14"}):
        assert_images(block(MONOCLINIC, said, sites), images(setting, sites[0][1]))


@pytest.mark.parametrize(
    ("number", "choice", "names"),
    [
        (227, "1", ["F d -3 m S", "Fd-3mS", "F d 3 m :1", "Fd-3m O1", "F 41/d -3 2/m (origin choice 1)"]),
        (227, "2", ["F d -3 m Z", "FD-3MZ", "F d -3 m:2", "Fd\u03053m (2)", "Fd\\bar{3}m:2", "F d \\=3 m Z"]),
        (227, "2", ["F d \u22123 m (origin at -3m)", "Fd3\u0304m:2", "F d -3 m (Setting 2)"]),
        (129, "2", ["P 4/n m m Z", "P 4/n 21/m 2/m :2", "P4/nmm (origin 2)"]),
        (48, "1", ["P n n n S", "P 2/n 2/n 2/n :1"]),
        (166, "H", ["R -3 m H", "R -3 m:h", "R-3mH", "H -3 m", "R -3 2/m (hexagonal axes)", "R -3 m HR", "R -3 m"]),
        (166, "R", ["R -3 m R", "R -3 m :R", "R 3 m HR".replace("3", "-3"), "R -3 m (rhombohedral axes)", "R_-3_m"]),
        (64, "", ["C m c a", "C m c e", "Cmce", "C 2/m 2/c 21/a", "C 2/m 2/c 2_1/e"]),
        (15, "-c1", ["B 2/b", "B 1 1 2/b", "B2/b"]),
        (14, "c3", ["P 21/b", "P 1 1 2(1)/b", "P1121/b"]),
        (10, "c", ["P 2/m", "P2/m", "P 1 1 2/m", "P 2/m:c"]),
    ],
)
def test_suffixes_of_databases_and_people_and_short_symbols(number, choice, names):
    setting = next(setting for setting in SETTINGS if (setting.number, setting.choice) == (number, choice))
    for name in names:
        atoms = assert_images(block(cell_of(setting), {NAME: name}), images(setting))
        assert "empnn_doubts" not in atoms.info


@pytest.mark.parametrize(
    "said",
    [
        {NUMBER: 14, CODE: "b2"},
        {NUMBER: 14, CODE: "B2", HALL: "?"},
        {"_symmetry_Int_Tables_number": 14, "_symmetry_IT_coordinate_system_code": "b2"},
        {"_space_group.IT_number": 14, "_space_group.IT_coordinate_system_code": "b2"},
        {"_space_group.name_H-M_alt": "P 21/n", "_space_group.IT_number": 14},
        {NAME: "P 21/n", HALL: "not known", NUMBER: 14},
        {NAME: "P 21/n", NUMBER: 0},
        {NAME: "14", CODE: "b2"},
        {NAME: ".", HALL: "-P 2yn (x,y,z)", "_space_group_name_H-M_ref": "P 1 21/c 1"},
        {NAME: "P 21/n", "_space_group_name_Schoenflies": "C2h^5"},
    ],
)
def test_other_tags_tell_the_setting_too(said):
    setting = next(setting for setting in SETTINGS if setting.number == 14 and setting.choice == "b2")
    assert_images(block(MONOCLINIC, said), images(setting))


def test_codes_turn_the_standard_where_tables_have_no_such_setting():
    """P 21/c with a and c exchanged is P 21/a; P 2 2 21 with a and b exchanged is itself with another origin."""
    for number, code, operators in (
        (14, "-b1", ["x,y,z", "1/2-x,1/2+y,-z", "-x,-y,-z", "1/2+x,1/2-y,z"]),
        (17, "ba-c", ["x,y,z", "-x,-y,1/2+z", "x,-y,1/2-z", "-x,y,-z"]),
    ):
        cell = MONOCLINIC if number == 14 else (5, 6, 7, 90, 90, 90)
        expected = atoms_from_text(block(cell, {"_symmetry_equiv_pos_as_xyz": operators})).get_scaled_positions()
        assert_images(block(cell, {NUMBER: number, CODE: code}), expected)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({NAME: "P 21/q", NUMBER: 14}, "unknown space group 'P 21/q'; list its operators"),
        ({NAME: "Fd-3m (a,b,c)", NUMBER: 14}, "unknown space group 'Fd-3m (a,b,c)'"),
        ({HALL: "-P 2yq", NUMBER: 14}, "unknown space group '-P 2yq'"),
        ({NAME: "P 21/c:2", NUMBER: 14}, "unknown space group 'P 21/c:2'"),
        ({NUMBER: 231}, "unknown space group '231'"),
        ({"_space_group_name_Schoenflies": "C2h^5"}, "unknown space group 'C2h^5'"),
        ({NAME: "P 21/n", NUMBER: 15}, "as 'P 21/n' and as number 15, which contradict each other; correct one"),
        ({NAME: "P 21/n", HALL: "-P 2ybc"}, "as '-P 2ybc' and as 'P 21/n', which contradict"),
        ({NAME: "P 21/n", "_space_group_name_H-M_alt": "P 21/c"}, "as 'P 21/n' and as 'P 21/c', which contradict"),
        ({NAME: "P 1", NUMBER: 14}, "as 'P 1' and as number 14, which contradict"),
        ({NAME: "P 21/n", CODE: "b1"}, "as 'P 21/n' and as setting b1, which contradict"),
        ({NUMBER: 14, CODE: "2"}, "as setting 2 and as number 14, which contradict"),
        ({NUMBER: 14, CODE: "cab"}, "as setting cab and as number 14, which contradict"),
        ({HALL: "-P 2yn (x+1/8,y,z)", NUMBER: 62}, "as '-P 2yn (x+1/8,y,z)' and as number 62, which contradict"),
        ({NAME: "P 1 1 21/n"}, "its cell does not have the symmetry of P 1 1 21/n; correct one of them"),
        ({NAME: "R -3 m"}, "its cell does not have the symmetry of R -3 m:H or R -3 m:R; correct"),
        ({NUMBER: 225}, "its cell does not have the symmetry of F m -3 m; correct"),
    ],
)
def test_names_that_are_not_understood_contradict_others_or_the_cell_are_refused(said, message):
    with pytest.raises(CrystalError) as caught:
        atoms_from_text(block(MONOCLINIC, said))
    assert message in str(caught.value)


def test_a_number_that_leaves_several_settings_for_a_cell_is_refused():
    with pytest.raises(CrystalError, match=r"may be P 1 1 21/a or P 1 1 21/n or P 1 1 21/b, and neither .*; add _"):
        atoms_from_text(block((6.1, 7.3, 8.2, 90, 90, 104.5), {NUMBER: 14}))


SPINEL = {1: [("Mg", [0] * 3), ("Al", [5 / 8] * 3), ("O", [0.3874] * 3)]}
SPINEL[2] = [(kind, [x - 1 / 8 for x in place]) for kind, place in SPINEL[1]]


@pytest.mark.parametrize("origin", [1, 2])
@pytest.mark.parametrize("group", [{NAME: "F d -3 m"}, {NUMBER: 227}, {NAME: "Fd3m", NUMBER: 227}])
def test_the_contents_tell_the_origin(origin, group):
    """By the formula, with Z or not, or multiplicities; without them the first is assumed, with a doubt."""
    sites = SPINEL[origin]
    counted = [(*site, count) for site, count in zip(sites, (8, 16, 32), strict=True)]
    texts = [
        block(
            (8.08,) * 3 + (90,) * 3, {**group, "_chemical_formula_sum": "Al2 Mg O4", "_cell_formula_units_Z": 8}, sites
        ),
        block((8.08,) * 3 + (90,) * 3, {**group, "_chemical_formula_sum": "Mg Al2 O4"}, sites),
        block((8.08,) * 3 + (90,) * 3, group, counted, ["symmetry_multiplicity"]),
        block((8.08,) * 3 + (90,) * 3, group, counted, ["site_symmetry_multiplicity"]),
    ]
    for text in texts:
        atoms = atoms_from_text(text)
        assert "empnn_doubts" not in atoms.info
        assert StructureMatcher().fit(AseAtomsAdaptor.get_structure(atoms), CRYSTALS["spinel"])
    atoms = atoms_from_text(block((8.08,) * 3 + (90,) * 3, group, sites))
    assert atoms.info["empnn_doubts"].startswith("its space group may be F d -3 m:1 or F d -3 m:2, and nothing tells")
    assert StructureMatcher().fit(AseAtomsAdaptor.get_structure(atoms), CRYSTALS["spinel"]) == (origin == 1)


@pytest.mark.parametrize(
    ("said", "doubt"),
    [
        ({NAME: "P 21/c", NUMBER: 14}, ""),
        ({NAME: "a name of my own"}, ""),
        ({NAME: "P 21/c", NUMBER: 15}, "its symmetry operators are not those of its space group number 15"),
        ({NAME: "P n m a"}, "its symmetry operators are not those of its space group 'P n m a'"),
        ({HALL: "P 1"}, "its symmetry operators are not those of its space group 'P 1'"),
    ],
)
def test_operators_count_and_a_name_that_contradicts_them_is_a_doubt(said, doubt):
    operators = ["x,y,z", "1/2-x,1/2+y,1/2-z", "-x,-y,-z", "1/2+x,1/2-y,1/2+z"]
    atoms = atoms_from_text(block(MONOCLINIC, {**said, "_symmetry_equiv_pos_as_xyz": operators}))
    assert len(atoms) == 4
    assert atoms.info.get("empnn_doubts", "") == doubt
