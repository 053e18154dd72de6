"""Symmetry operations and disorder of CIF: under whatever tags they stand, they are applied or refused."""

import warnings

import numpy as np
import pytest
from pymatgen.io.cif import CifParser
from support import cif_texts as cif

from empnn.data.cif import atoms_from_text
from empnn.data.plain_cif import PlainCrystals
from empnn.errors import CrystalError
from empnn.notes import notes

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
