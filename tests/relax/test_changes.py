"""What changed is what an independent look at the crystals before and after finds, in any of their descriptions."""

import warnings

import ase.geometry
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.linalg import logm
from support.relaxing import salt, tiny_network, triclinic
from support.zoo import zoo

from empnn import symmetry
from empnn.crystals import to_atoms, to_structures
from empnn.errors import CrystalError
from empnn.relax import Relaxer
from empnn.relax.changes import COLUMNS, Change, changes, columns

FLAT = Atoms("Cu", cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True)


@pytest.fixture(scope="module")
def relaxer():
    return Relaxer(tiny_network(deform=["cell", "positions"]), {})


def left_handed():
    atoms = triclinic()
    atoms.set_cell(atoms.cell.array * [1, 1, -1], scale_atoms=True)
    return atoms


@pytest.mark.parametrize("given", [salt(), triclinic(), left_handed(), bulk("Cu")], ids=lambda one: str(one.symbols))
def test_numbers_are_those_of_ase_and_scipy(relaxer, given):
    result = relaxer.relax(given)
    change, relaxed = result.change, result.structures
    assert change.volume_before == pytest.approx(given.get_volume(), rel=1e-12)
    assert change.volume_after == pytest.approx(relaxed.get_volume(), rel=1e-12)
    assert change.volume_change == pytest.approx(100 * (relaxed.get_volume() / given.get_volume() - 1), abs=1e-9)
    assert change.cell_before == pytest.approx(given.cell.cellpar(), abs=1e-9)
    assert change.cell_after == pytest.approx(relaxed.cell.cellpar(), abs=1e-9)
    stretch = np.linalg.solve(given.cell.array, relaxed.cell.array)
    assert change.strain == pytest.approx(np.linalg.norm(logm(stretch)), abs=1e-9)
    moved = relaxed.get_scaled_positions(wrap=False) - given.get_scaled_positions(wrap=False)
    _, lengths = ase.geometry.find_mic(moved @ relaxed.cell.array, relaxed.cell)
    assert change.displacement == pytest.approx(lengths.max(), abs=1e-9)
    assert abs(change.volume_change) > 0.01


def test_many_say_what_ones_say(relaxer):
    many = relaxer.relax([triclinic(), FLAT, salt(), to_structures(zoo("rocksalt"))[0]])
    assert many.change[1] is None
    assert many[1].change is None
    assert many[1].space_groups() == (None, None)
    for one, change in zip(many, many.change, strict=True):
        if change is not None:
            assert columns(vars(one.change)) == pytest.approx(columns(vars(change)), rel=1e-12)
    assert many[1:2].change == [None]
    assert relaxer.relax([]).change == []
    with pytest.raises(CrystalError, match="refused"):
        many[1].before_and_after()


def test_it_does_not_depend_on_how_a_crystal_is_described(relaxer):
    """Turned, moved, reordered: the same numbers, for a network that is equivariant; lattice parameters, too."""
    crystal = zoo("triclinic")
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(crystal.n_atoms, generator=generator)
    turn, _ = torch.linalg.qr(torch.randn(1, 3, 3, generator=generator, dtype=torch.float64))
    turned = symmetry.rotate(crystal, turn)
    moved = symmetry.translate(turned, torch.tensor([[0.3, -2.0, 11.0]], dtype=torch.float64))
    one, other = (relaxer.relax(to_atoms(some)[0]).change for some in (crystal, symmetry.permute(moved, order)))
    assert columns(vars(one)) == pytest.approx(columns(vars(other)), rel=1e-4, abs=1e-4)


def test_nothing_changes_in_a_fixed_cell_but_places(relaxer):
    change = relaxer.relax(triclinic(), fix="cell").change
    assert change.cell_before == change.cell_after
    assert (change.volume_change, change.strain) == pytest.approx((0, 0), abs=1e-12)
    assert change.displacement > 0.01


def test_before_and_after_are_the_crystals(relaxer):
    given = salt()
    result = relaxer.relax(given)
    (cell, frac, numbers), (relaxed_cell, relaxed_frac, _) = result.before_and_after()
    assert cell == pytest.approx(given.cell.array, abs=1e-12)
    assert relaxed_cell == pytest.approx(result.structures.cell.array, abs=1e-12)
    assert numbers.tolist() == given.numbers.tolist()
    assert ((frac >= 0) & (frac < 1)).all()
    for found, atoms in ((frac, given), (relaxed_frac, result.structures)):
        apart = found - atoms.get_scaled_positions(wrap=False)
        assert np.abs(apart - np.rint(apart)).max() < 1e-9


def test_space_groups_are_those_that_spglib_finds(relaxer):
    strained = bulk("NaCl", "rocksalt", a=5.64)
    strained.set_cell(strained.cell.array @ np.diag([1, 1, 1.05]), scale_atoms=True)
    result = relaxer.relax(strained)
    before, after = result.space_groups()
    assert before == "I4/mmm (139)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = SpacegroupAnalyzer(AseAtomsAdaptor.get_structure(result.structures), symprec=0.1)
    assert after == f"{found.get_space_group_symbol()} ({found.get_space_group_number()})"
    assert relaxer.relax(strained).space_groups(symprec=1.0)[0] == "Fm-3m (225)"


def test_columns_name_each_lattice_parameter():
    (change,) = changes(np.eye(3)[None] * 2, np.eye(3)[None] * 3, [np.zeros((1, 3))])
    assert isinstance(change, Change)
    row = columns(vars(change))
    assert tuple(row) == COLUMNS
    assert (row["a_before"], row["c_after"], row["gamma_after"]) == (2, 3, pytest.approx(90))
    assert row["volume_change"] == pytest.approx(100 * (27 / 8 - 1))
    assert row["strain"] == pytest.approx(np.sqrt(3) * np.log(1.5))
