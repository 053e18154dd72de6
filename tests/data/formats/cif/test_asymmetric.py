"""A crystal that was made symmetric, as CIF: group, operators and asymmetric unit, and every reader finds it again."""

import warnings
from typing import Any

import ase.io
import gemmi
import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.cell import Cell
from ase.constraints import FixAtoms
from ase.geometry import get_duplicate_atoms
from ase.spacegroup import crystal
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from support.relaxing import triclinic

from empnn.ase_atoms import SYMMETRIZED, mark_deuterium
from empnn.bulk.pipeline import Conversion, process
from empnn.data.formats.cif import atoms_from_text, losses, named_text_from_atoms
from empnn.data.formats.cif.asymmetric import asymmetric_unit
from empnn.data.reading import read
from empnn.data.writing import writer

# spglib warns of how it will report errors one day.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
QUARTZ = {"cellpar": [4.916, 4.916, 5.405, 90, 90, 120], "spacegroup": 152}


def quartz() -> Atoms:
    return crystal(["Si", "O"], [(0.4697, 0, 1 / 3), (0.4135, 0.2669, 0.4524)], **QUARTZ)


def basis(atoms: Atoms, change: Any) -> Atoms:
    """The same atoms by other lattice vectors, rows of `change`, of either handedness."""
    cell = np.array(change) @ atoms.cell.array
    turned = Atoms(atoms.numbers, positions=atoms.positions, cell=cell, pbc=True)
    turned.wrap()
    return turned


def moved(atoms: Atoms) -> Atoms:
    """With the origin nowhere in particular, turned, atoms out of the cell."""
    atoms = atoms.copy()
    atoms.positions += [0.31, -4.2, 9.7]
    atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    return atoms


def rutile() -> Atoms:
    return crystal(
        ["Ti", "O"], [(0, 0, 0), (0.3053, 0.3053, 0)], spacegroup=136, cellpar=[4.594, 4.594, 2.959] + [90] * 3
    )


def calcite() -> Atoms:
    places = [(0, 0, 0), (0, 0, 0.25), (0.257, 0, 0.25)]
    return crystal(["Ca", "C", "O"], places, spacegroup=167, cellpar=[4.99, 4.99, 17.06, 90, 90, 120])


def rhombohedral() -> Atoms:
    atoms = basis(calcite(), np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3)
    get_duplicate_atoms(atoms, cutoff=0.1, delete=True)
    return atoms


def monoclinic() -> Atoms:
    """P 1 21/n 1, which is not the standard setting of its group."""
    operators = [(1, 1, 1, 0), (-1, -1, -1, 0), (-1, 1, -1, 0.5), (1, -1, 1, 0.5)]
    places = [[x * 0.2754 + shift, y * 0.0395 + shift, z * 0.7083 + shift] for x, y, z, shift in operators]
    cell = Cell.fromcellpar([5.15, 5.21, 5.32, 90, 99.2, 90])
    return Atoms("Zr4O2", scaled_positions=[*places, [0, 0, 0], [0.5] * 3], cell=cell, pbc=True)


CRYSTALS = {
    "fcc, primitive": (lambda: bulk("NaCl", "rocksalt", a=5.64), "F m -3 m", 8, False),
    "fcc, conventional": (lambda: bulk("NaCl", "rocksalt", a=5.64, cubic=True), "F m -3 m", 8, True),
    "diamond, primitive": (lambda: bulk("C", "diamond", a=3.567), "F d -3 m:2", 8, False),
    "bcc, primitive": (lambda: bulk("Fe", "bcc", a=2.866), "I m -3 m", 2, False),
    "hcp": (lambda: bulk("Mg", "hcp", a=3.21, c=5.21), "P 63/m m c", 2, True),
    "quartz": (quartz, "P 31 2 1", 9, True),
    "quartz, left-handed basis": (lambda: basis(quartz(), [[0, 1, 0], [1, 0, 0], [0, 0, 1]]), "P 31 2 1", 9, None),
    "quartz, all axes turned over": (lambda: basis(quartz(), -np.eye(3, dtype=int)), "P 31 2 1", 9, True),
    "rutile": (rutile, "P 42/m n m", 6, True),
    "rutile, c first": (lambda: basis(rutile(), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]), "P 42/m n m", 6, False),
    "rutile, supercell": (lambda: rutile().repeat((2, 1, 1)), "P 42/m n m", 6, False),
    "calcite": (calcite, "R -3 c:H", 30, True),
    "calcite, primitive": (rhombohedral, "R -3 c:R", 10, True),
    "monoclinic": (monoclinic, "P 1 21/n 1", 6, True),
}  # fmt: skip


def readings(path):
    """The crystal as four readers have it, with all atoms of the cell."""
    small = gemmi.read_small_structure(str(path))
    cell = Cell.fromcellpar(small.cell.parameters)
    sites = small.get_all_unit_cell_sites()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "pymatgen": Structure.from_file(path),
            "ase": AseAtomsAdaptor.get_structure(ase.io.read(path)),
            "gemmi": Structure(
                cell.array, [site.element.name for site in sites], [site.fract.tolist() for site in sites]
            ),
            "ours": AseAtomsAdaptor.get_structure(next(read(path)).atoms),
        }


def dataset(structure):
    crystal = (structure.lattice.matrix, structure.frac_coords, [site.specie.Z for site in structure])
    return spglib.get_symmetry_dataset(crystal, symprec=1e-4)


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("as_it_is", [True, False])
def test_four_readers_find_the_crystal(tmp_path, name, as_it_is):
    make, group, n_atoms, as_given = CRYSTALS[name]
    given = make() if as_it_is else moved(make())
    given = Atoms(given.numbers, positions=given.positions, cell=given.cell, pbc=True)
    given.info.update({SYMMETRIZED: "x", "material_id": "mp-1"})
    writer(tmp_path / "a.cif")([given])
    block = gemmi.cif.read(str(tmp_path / "a.cif")).sole_block()
    assert block.find_value("_symmetry_space_group_name_H-M") == gemmi.cif.quote(group)
    assert "_empnn_ase" not in block.as_string()
    operators = gemmi.GroupOps([gemmi.Op(op.strip("'")) for op in block.find_values("_symmetry_equiv_pos_as_xyz")])
    assert gemmi.find_spacegroup_by_ops(operators).xhm() == group
    multiplicities = list(map(int, block.find_values("_atom_site_symmetry_multiplicity")))
    assert sum(multiplicities) == n_atoms
    assert len(multiplicities) == len(set(dataset(AseAtomsAdaptor.get_structure(given)).crystallographic_orbits))
    if as_given is not None:
        assert (losses(given) == []) == as_given
    reference = AseAtomsAdaptor.get_structure(given)
    matcher = StructureMatcher(ltol=1e-4, stol=1e-4, angle_tol=0.01, scale=False)
    for reader, structure in readings(tmp_path / "a.cif").items():
        assert len(structure) == n_atoms, reader
        assert matcher.fit(structure, reference), reader
        # The matcher takes mirror images for the same; their groups have different numbers.
        assert dataset(structure).number == dataset(reference).number, reader
        if as_given:
            assert structure.lattice.parameters == pytest.approx(given.cell.cellpar(), abs=1e-6), reader


def test_values_that_symmetry_fixes_are_exact(tmp_path):
    given = moved(bulk("Mg", "hcp", a=3.21, c=5.21))
    given.positions += 1e-7 * np.random.default_rng(0).normal(size=(2, 3))
    given.info[SYMMETRIZED] = "x"
    text = named_text_from_atoms(given)
    lines = text.splitlines()
    assert lines[1].removeprefix("_cell_length_a") == lines[2].removeprefix("_cell_length_b")
    assert lines[4:7] == [
        "_cell_angle_alpha 90.00000000",
        "_cell_angle_beta 90.00000000",
        "_cell_angle_gamma 120.00000000",
    ]
    (site,) = (line.split()[2:5] for line in lines if line.startswith("Mg "))
    assert {float(x) for x in site} <= {0.25, 0.75, 0.33333333, 0.66666667}


def test_kinds_of_atoms_are_told_apart():
    """Oxidation states and deuterium break symmetry, and are written."""
    given = bulk("Fe", "bcc", a=2.866, cubic=True)
    given.info[SYMMETRIZED] = "x"
    assert "'I m -3 m'" in named_text_from_atoms(given)
    given.set_array("oxi_states", np.array([2, 3]))
    text = named_text_from_atoms(given)
    assert "'P m -3 m'" in text
    assert sorted(atoms_from_text(text).arrays["oxi_states"]) == [2, 3]
    hydrogen = mark_deuterium(bulk("H", "bcc", a=2.0, cubic=True), [1])
    hydrogen.info[SYMMETRIZED] = "x"
    assert "\nD H1 " in named_text_from_atoms(hydrogen)
    assert losses(hydrogen) == []


def test_what_has_no_place_is_named(tmp_path):
    given = bulk("NaCl", "rocksalt", a=5.64)
    given.info.update({SYMMETRIZED: "x", "note": [1, 2]})
    given.set_tags([1, 2])
    given.set_masses([22.0, 37.0])
    given.set_constraint(FixAtoms([0]))
    ase.io.write(tmp_path / "in.traj", given)
    outcomes = []
    process([tmp_path / "in.traj"], tmp_path / "out.cif", Conversion(), outcomes.append)
    assert outcomes[0].warnings == [
        "out.cif holds the standard cell of its space group (8 atoms; 2 as given)",
        "out.cif has no place for its arrays beside symmetry (tags, masses), which are lost",
        "out.cif has no place for its constraints beside symmetry (FixAtoms), which are lost",
    ]
    (record,) = read(tmp_path / "out.cif")
    assert len(record.atoms) == 8
    assert list(record.atoms.info["note"]) == [1, 2]


def test_what_is_not_symmetric_is_written_as_it_is():
    for given in (triclinic(), bulk("NaCl", "rocksalt", a=5.64)):
        given.positions[1] += [0.01, 0.02, 0.03]
        given.info[SYMMETRIZED] = "Fm-3m (225)"
        assert asymmetric_unit(given) is None or len(given) == 2
        assert len(atoms_from_text(named_text_from_atoms(given))) == len(given)
    nothing = bulk("NaCl", "rocksalt", a=5.64)
    assert "'P 1'" in named_text_from_atoms(nothing)
