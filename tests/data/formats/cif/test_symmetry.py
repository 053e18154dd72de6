"""Symmetry operations and disorder of CIF: under whatever tags they stand, they are applied or refused."""

import warnings

import numpy as np
import pytest
import spglib
from pymatgen.core.operations import SymmOp
from pymatgen.io.cif import CifParser
from support import cif_texts as cif

from empnn.checks.notes import notes
from empnn.data.formats.cif.crystals import atoms_from_text
from empnn.data.formats.cif.plain import PlainCrystals
from empnn.errors import CrystalError

OPERATION = "_space_group_symop_magn_operation"
CENTERING = "_space_group_symop_magn_centering"


def along_axes(atoms):
    """Moments in components along the lattice vectors."""
    return atoms.get_initial_magnetic_moments() @ np.linalg.inv(atoms.cell.array) * atoms.cell.lengths()


@pytest.mark.parametrize(
    "text",
    [
        cif.MAGNETIC,
        cif.MAGNETIC.replace("magn_operation.", "magn_operation_").replace("magn_centering.", "magn_centering_"),
        cif.MAGNETIC.replace("symop_magn_", "symop.magn_").replace("operation.", "operation_"),
        cif.MAGNETIC.replace(OPERATION, OPERATION.upper()).replace("moment.", "moment_"),
    ],
)
def test_magnetic_operations_give_the_atoms_and_moments_that_pymatgen_finds(text):
    atoms = atoms_from_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = CifParser.from_str(cif.MAGNETIC).parse_structures(primitive=False)[0]
    assert len(atoms) == len(expected) == 16
    apart = atoms.get_scaled_positions()[:, None] - expected.frac_coords[None]
    distance = np.abs(apart - np.round(apart)).max(-1)
    match = distance.argmin(axis=1).tolist()
    assert sorted(match) == list(range(16))
    assert distance.min(axis=1).max() < 1e-6
    assert [expected[i].specie.Z for i in match] == atoms.numbers.tolist()
    moments = [expected[i].properties["magmom"].get_moment_relative_to_crystal_axes(expected.lattice) for i in match]
    assert along_axes(atoms) == pytest.approx(np.array(moments), abs=1e-6)
    assert notes(atoms) == ["magnetic moments are ignored"]


def test_a_single_magnetic_operation_is_read():
    loops = cif.MAGNETIC.split("loop_\n")
    text = f"{loops[0]}{OPERATION}.xyz x,y,z,+1\nloop_\n{loops[3]}"
    assert len(atoms_from_text(text)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (cif.BY_OPERATORS.replace("_symmetry_equiv_pos_as_xyz", "_space_group_symop_ssg_operation_algebraic"), "_ssg_"),
        (cif.BY_OPERATORS.replace("_equiv_pos_as_xyz", "_equiv.position"), "_symmetry_equiv_position are not"),
        (cif.P1 + "loop_\n_my_SymOp_matrix\n1\n2\n", "_my_symop_matrix are not understood"),
        (cif.P1 + f"{CENTERING}_xyz 'x, y, z+1/2, -1'\n", "lack x,y,z"),
        (cif.MAGNETIC.replace("-x,-y,-z,+1", "-x,-y,-z,2"), "a symmetry operator cannot be read"),
        (cif.MAGNETIC.split("loop_")[0] + "loop_" + cif.MAGNETIC.split("loop_")[3], 'unknown space group "C_P 2\'"'),
        (
            cif.BY_SYMBOL.replace("_symmetry_space_group_name", "_space_group_magn.name"),
            "unknown space group 'F m -3 m'",
        ),
    ],
)
def test_symmetry_that_is_not_understood_is_refused(text, message):
    assert not PlainCrystals().add(text)
    with pytest.raises(CrystalError) as caught:
        atoms_from_text(text)
    assert message in str(caught.value)


def test_operators_under_newer_tags_are_applied():
    text = cif.BY_OPERATORS.replace("_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz")
    assert len(atoms_from_text(text)) == len(atoms_from_text(cif.BY_OPERATORS)) == 12


def disordered(groups, assemblies):
    """The CIF with these disorder groups and assemblies beside its two sites."""
    first, second = (f"{group} {assembly}\n" for group, assembly in zip(groups, assemblies, strict=True))
    tags = "_atom_site_occupancy\n_atom_site_disorder_group\n_atom_site_disorder_assembly\n"
    text = cif.BY_SYMBOL.replace("_atom_site_occupancy\n", tags)
    return text.replace("0 0 0 1\n", f"0 0 0 1 {first}").replace("0.5 1.\n", f"0.5 1. {second}")


def test_alternatives_are_refused():
    with pytest.raises(CrystalError, match="site Cl1 is in disorder group 2, others are in 1; order"):
        atoms_from_text(disordered("12", ".?"))


@pytest.mark.parametrize(("groups", "assemblies"), [("11", ".."), ("1.", ".."), ("?2", "A."), ("12", "AB")])
def test_one_disorder_group_that_is_full_is_no_disorder(groups, assemblies):
    assert len(atoms_from_text(disordered(groups, assemblies))) == 8


def with_operators(cell, *operators, site="Na1 Na .1234 .0377 .2717"):
    """A CIF of one site in a cell, all as text, with these operators."""
    parameters = "".join(f"{tag} {value}\n" for tag, value in zip(CELL_TAGS, cell.split(), strict=True))
    loop = "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f'"{operator}"\n' for operator in operators)
    tags = "".join(f"_atom_site_{tag}\n" for tag in ("label", "type_symbol", "fract_x", "fract_y", "fract_z"))
    return f"data_x\n{parameters}{loop}loop_\n{tags}{site}\n"


CELL_TAGS = [f"_cell_length_{axis}" for axis in "abc"] + [
    f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")
]
SITE = [0.1234, 0.0377, 0.2717]
MOMENT = [f"crystalaxis_{axis}" for axis in "xyz"]
CUBE, QUARTZ, FOURFOLD = "5.1 5.1 5.1 90 90 90", "4.913 4.913 5.405 90 90 120", ("x,y,z", "-y,x,z", "-x,-y,z", "y,-x,z")


@pytest.mark.parametrize(
    "operator",
    [
        *("-x,-y,z+1/2", "-X,-Y,1/2+Z", " - x , - y , z + 1 / 2 ", "-x,-y,z+0.5", "-x,-y,.5+z", "-x,-y,z-1/2"),
        *("-x,-y,3/2+z", "-1x,-1*y,+z+12/24", "\u2212x,\u2212y,z+.50", "0-x,2x-y-2x,z+1/4+1/4", "-x/1,-y,z+1/2"),
    ],
)
def test_an_operator_means_the_same_however_it_is_written(operator):
    atoms = atoms_from_text(with_operators(CUBE, "x,y,z", operator))
    assert atoms.get_scaled_positions() % 1 == pytest.approx(np.array([SITE, [0.8766, 0.9623, 0.7717]]))


@pytest.mark.parametrize(
    ("third", "other"), [("0.3333", "0.6667"), (".333", ".667"), ("0.33", "0.67"), ("0.33", "0.66")]
)
def test_decimals_stand_for_fractions(third, other):
    atoms = atoms_from_text(with_operators(QUARTZ, "x,y,z", f"-y,x-y,z+{third}", f"y-x,-x,z+{other}"))
    assert np.diff(np.sort(atoms.get_scaled_positions()[:, 2])) == pytest.approx([1 / 3, 1 / 3], abs=1e-9)
    assert "empnn_doubts" not in atoms.info


def test_a_translation_by_a_fifth_is_one():
    fifths = [f"x,y,z+{n}/5" for n in range(5)]
    atoms = atoms_from_text(with_operators(CUBE, *fifths))
    assert np.sort(atoms.get_scaled_positions()[:, 2]) == pytest.approx(
        [0.0717, 0.2717, 0.4717, 0.6717, 0.8717], abs=1e-9
    )


@pytest.mark.parametrize(
    "operator",
    ["-x,-y", "-x,-y,w", "-x,-y,z,1/2", "--x,y,z", "x/0,y,z", "x y,y,z", "x,,z", "1/2x,y,2", f"x,y,z+{'9' * 400}"],
)
def test_operators_that_are_none_are_refused(operator):
    with pytest.raises(CrystalError, match="symmetry operator"):
        atoms_from_text(with_operators(CUBE, "x,y,z", operator))


def test_a_magnetic_operator_with_a_factor_is_applied():
    """b = a / 2 at 120 degrees: x, 2x - y is a reflection of the lattice; the moment is an axial vector."""
    text = with_operators("8.0 4.0 6.0 90 90 120", site="Ho1 Ho .1 .3 .2")
    listed = f"{OPERATION}.id\n{OPERATION}.xyz\n1 x,y,z,+1\n2 -x+1/2,-2x+y,z+1/2,{{}}\n"
    moments = "loop_\n" + "".join(f"_atom_site_moment.{tag}\n" for tag in ("label", *MOMENT)) + "Ho1 1.0 3.0 2.0\n"
    for time, turned in (("+1", [1, -2, -2]), ("-1", [-1, 2, 2])):
        atoms = atoms_from_text(text.replace("_symmetry_equiv_pos_as_xyz\n", listed.format(time)) + moments)
        assert atoms.get_scaled_positions() == pytest.approx(np.array([[0.1, 0.3, 0.2], [0.4, 0.1, 0.7]]))
        assert along_axes(atoms) == pytest.approx(np.array([[1, 3, 2], turned]))
        assert "empnn_doubts" not in atoms.info


@pytest.mark.parametrize(
    ("cell", "operators"),
    [
        ("5 6 7 90 90 103", ("x,y,z", "-x,y,-z", "-x,-y,-z", "x,-y,z")),
        ("5 6 7 90 90.5 90", ("x,y,z", "-x,-y,z")),
        ("5 6 7 90 91 90", ("x,y,z", "x,y,-z")),
        ("5.128 5.128 5.128 55.28 55.28 55.28", ("x,y,z", "-y,x-y,z", "-x+y,-x,z")),
        ("4.013 4.053 5.2 90 90 90", FOURFOLD),
        ("4.1 4.1 5.2 90 90 90.6", FOURFOLD),
        ("4.0 4.1 5.0 90 90 120", ("x,y,z", "-y,x-y,z", "-x+y,-x,z")),
        ("5 5 5 90 90 90", ("x,y,z", "x,2y,z")),
        ("5 5 5 90 90 90", ("x,y,z", "x,y,x")),
        ("5 5 5 90 90 90", ("x,y,z", "x+y,y,z")),
    ],
)
def test_operators_that_are_no_symmetry_of_the_cell_are_refused(cell, operators):
    with pytest.raises(CrystalError, match=r"its symmetry operator '.*' is no symmetry of its cell; correct one"):
        atoms_from_text(with_operators(cell, *operators))


def of_lattice(lattice):
    """The operators of a crystal of one atom, told by spglib, as text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rotations = spglib.get_symmetry((lattice, [[0, 0, 0]], [26]))["rotations"]
    return [SymmOp.from_rotation_and_translation(rotation, (0, 0, 0)).as_xyz_str() for rotation in rotations]


BODY = of_lattice(1.433 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]))
FACE = of_lattice(1.8 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
ORTHO = ("x,y,z", "-x/2-3/2y,x/2-y/2,z", "-x/2+3y/2,-x/2-y/2,z", "1/2+x,1/2+y,z", "1/2-x/2-3/2y,1/2+x/2-y/2,z")


@pytest.mark.parametrize(
    ("cell", "operators", "count"),
    [
        ("2.482 2.482 2.482 109.471 109.471 109.471", BODY, 1),
        ("2.48 2.48 2.48 109.47 109.47 109.47", BODY, 1),
        ("2.48 2.48 2.48 109.5 109.5 109.5", BODY, 1),
        ("2.48 2.48 2.48 109 109 109", BODY, 1),
        ("2.55(1) 2.55(1) 2.55(1) 60 60 60.0", FACE, 1),
        ("4.76 8.24 5 90 90 90", (*ORTHO, "1/2-x/2+3/2y,1/2-x/2-y/2,z"), 6),
        ("4.013 4.021 5.2 90 90 90", FOURFOLD, 4),
    ],
)
def test_cells_of_few_digits_have_their_symmetry(cell, operators, count):
    site = "Fe1 Fe 0 0 0" if count == 1 else "Fe1 Fe .1234 .0377 .2717"
    atoms = atoms_from_text(with_operators(cell, *operators, site=site))
    assert len(atoms) == count
    assert "empnn_doubts" not in atoms.info


@pytest.mark.parametrize("dropped", range(1, 6))
def test_a_list_that_lacks_an_operator_is_doubtful(dropped):
    operators = ["x,y,z", "-y,x-y,z+2/3", "-x+y,-x,z+1/3", "y,x,-z", "x-y,-y,-z+1/3", "-x,-x+y,-z+2/3"]
    doubt = "its symmetry operators form no group, so some are missing or wrong"
    assert "empnn_doubts" not in atoms_from_text(with_operators(QUARTZ, *operators, operators[dropped])).info
    del operators[dropped]
    atoms = atoms_from_text(with_operators(QUARTZ, *operators))
    assert len(atoms) == 5
    assert atoms.info["empnn_doubts"] == doubt
