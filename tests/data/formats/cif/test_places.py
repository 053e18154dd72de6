"""Sites of a CIF in one place: images of each other are one atom, everything else is refused."""

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice
from pymatgen.core.operations import SymmOp
from support import cif_texts as cif
from support.relaxing import run

from empnn.data.formats.cif.crystals import atoms_from_text
from empnn.errors import CrystalError

pytestmark = pytest.mark.filterwarnings("ignore:.*:Warning:spglib")

INVERSION = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x,-y,-z\n"
LATTICES = {
    2: Lattice.from_parameters(10, 12, 14, 80, 95, 100),
    81: Lattice.monoclinic(10, 12, 14, 100),
    290: Lattice.orthorhombic(10, 12, 14),
    419: Lattice.tetragonal(10, 14),
    460: Lattice.hexagonal(12, 14),
    488: Lattice.hexagonal(12, 14),
    517: Lattice.cubic(16),
    525: Lattice.cubic(16),
}
"""By Hall number: P-1, P21/c, Pnma, P42/mnm, R-3c (hexagonal axes), P63/mmc, Pm-3m, Fd-3m:1."""


def everything(hall):
    """All atoms of a crystal of this symmetry, of one special and one general site, and its operators as text."""
    found = spglib.get_symmetry_from_database(hall)
    operators = [
        SymmOp.from_rotation_and_translation(*pair)
        for pair in zip(found["rotations"], found["translations"], strict=True)
    ]
    species, frac = [], []
    for symbol, site in (("Na", [0, 0, 0]), ("O", [0.05, 0.15, 0.22])):
        images = []
        for operator in operators:
            image = operator.operate(site) % 1
            apart = np.array([*images, image + 0.5]) - image
            if np.abs(apart - np.round(apart)).max(axis=1).min() > 1e-6:
                images.append(image)
        species += [symbol] * len(images)
        frac += images
    return species, np.array(frac), [operator.as_xyz_str() for operator in operators]


def listed(lattice, species, frac, operators):
    rows = [f"{s}{i} {s} {x:.4f} {y:.4f} {z:.4f}" for i, (s, (x, y, z)) in enumerate(zip(species, frac, strict=True))]
    loop = "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{operator}'\n" for operator in operators)
    text = cif.sites(*rows, group=None, before=loop)
    for tag, value in zip(cif.CELL, lattice.parameters, strict=True):
        text = cif.with_value(text, tag, f"{value:.6f}")
    return text


@pytest.mark.parametrize("hall", LATTICES)
def test_all_atoms_beside_all_operators_are_the_same_crystal(hall):
    lattice = LATTICES[hall]
    species, frac, operators = everything(hall)
    order = np.random.default_rng(hall).permutation(len(species))
    elsewhere = frac[order] + np.random.default_rng(hall).integers(-1, 2, (len(species), 3))
    atoms = atoms_from_text(listed(lattice, [species[i] for i in order], elsewhere, operators))
    assert atoms.get_chemical_symbols() == [species[i] for i in order]
    assert atoms.get_scaled_positions(wrap=False) == pytest.approx(np.round(elsewhere, 4), abs=1e-9)
    first = [species.index("Na"), species.index("O")]
    unit = atoms_from_text(listed(lattice, ["Na", "O"], frac[first], operators))
    assert sorted(unit.numbers) == sorted(atoms.numbers)
    found = spglib.get_symmetry_dataset((unit.cell.array, unit.get_scaled_positions(), unit.numbers), 1e-3)
    assert found.number == spglib.get_spacegroup_type(hall).number


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        (["C1 C .1 .12 .14", "O1 O .25 .15 .2", "C1A C -.1 -.12 -.14", "O1A O -.25 -.15 -.2"], 4),
        (["C1 C .1 .12 .14", "C1A C .9 .88 .86"], 2),
        (["C1 C .1033 .12 .14", "C1A C .9 .88 .86"], 2),
        (["C1 C .1 .12 .14", "C1A C .9 .88 .86", "O1 O .4 .3 .2"], 4),
        (["C1 C 0 0 .001"], 1),
    ],
)
def test_sites_within_a_tenth_of_an_angstrom_of_an_image_are_one_atom(rows, count):
    atoms = atoms_from_text(cif.sites(*rows, group=None, before=INVERSION))
    assert len(atoms) == count
    assert atoms.get_all_distances(mic=True)[np.triu_indices(count, 1)].min(initial=1) > 0.15


@pytest.mark.parametrize(
    ("rows", "before", "message"),
    [
        (["Fe1 Fe 0 0 0", "Ni1 Ni 0 0 0"], "", r"Fe1 \(Fe\) and Ni1 \(Ni\) overlap \(0.000 angstrom apart\)"),
        (["Fe1 Fe 0 0 0", "Ni1 Ni 1 0 -1"], "", "disordered"),
        (["Fe1 Fe .01 0 0", "Ni1 Ni .99 0 0"], "", "0.084 angstrom"),
        (["Fe1 Fe2+ 0 0 0", "Fe2 Fe3+ 0 0 0"], "", "disordered"),
        (["H1 H 0 0 0", "D1 D 0 0 0"], "", "disordered"),
        (["C1 C .1 .2 .3", "N1 N -.1 -.2 -.3"], INVERSION, r"C1 \(C\) and N1 \(N\)"),
        (["C1 C 0 0 .001", "N1 N 0 0 0"], INVERSION, "overlap"),
        (["C1 C .1 .12 .14", "C1A C .87 .88 .86"], INVERSION, "0.126 angstrom"),
        (["C1 C .1 .2 .3", "C2 C .1 .2 .3"], "", "one too many"),
        (["C1 C .1 .2 .3", "C2 C .1 .2 .3"], INVERSION, "one too many"),
        (["C1 C 0 0 0", "C2 C 0 0 1"], "", "one too many"),
        (["C1 C .1 .12 .14", "C2 C .05 .12 .14"], INVERSION, "0.210 angstrom"),
    ],
)  # fmt: skip
def test_sites_in_one_place_are_refused(rows, before, message):
    with pytest.raises(CrystalError, match=message):
        atoms_from_text(cif.sites(*rows, group=None, before=before))


def test_convert_does_not_write_atoms_on_top_of_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.cif").write_text(cif.sites("Fe1 Fe 0 0 0", "Ni1 Ni 0 0 0"))
    result = run("convert", "a.cif", "b.extxyz")
    assert result.exit_code == 1
    assert result.stderr.startswith("a.cif[0] (made_up): sites Fe1 (Fe) and Ni1 (Ni) overlap (0.000 angstrom apart)")
    assert not (tmp_path / "b.extxyz").exists()


def test_moments_and_labels_stay_with_the_atoms_that_are_listed():
    moment = "_atom_site_moment_"
    loop = f"loop_\n{moment}label\n" + "".join(f"{moment}crystalaxis_{axis}\n" for axis in "xyz")
    text = cif.sites("Fe1 Fe .1 .2 .3", "Fe2 Fe -.1 -.2 -.3", "O1 O .4 .3 .1", group=None, before=INVERSION)
    atoms = atoms_from_text(f"{text}{loop}Fe1 0 0 1\nFe2 0 0 1\n")
    assert atoms.arrays["labels"].tolist() == ["Fe1", "Fe2", "O1", "O1"]
    assert atoms.get_initial_magnetic_moments()[:, 2].tolist() == [1, 1, 0, 0]
