"""Operations that spglib finds in a crystal map its answer, as written, onto itself; only rounding is corrected."""

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms
from ase.spacegroup import crystal as ase_crystal
from support.candidates import cadmium_iodide, centred, nickel_arsenide, orthorhombic
from support.operations import SYMPREC, broken, operations
from support.relaxing import tiny_network, triclinic

import empnn
from empnn.bulk.pipeline import process
from empnn.crystals import CrystalBatch, from_atoms, to_atoms, without_mean
from empnn.data.writing import writer
from empnn.graph import knn
from empnn.relax import Relaxer, passes
from empnn.relax.files import How, Relaxing
from empnn.relax.symmetrize import MOST_ATOMS, keep_symmetry, rounded, symmetrized

IDENTITY = torch.eye(3, dtype=torch.float64)


def rutile() -> Atoms:
    cell = [4.6, 4.6, 2.95, 90, 90, 90]
    return ase_crystal(["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=cell)


def mirrored() -> Atoms:
    """A left-handed cell, atoms outside of it, and info."""
    atoms = cadmium_iodide()
    atoms.set_cell(atoms.cell.array * [1, 1, -1], scale_atoms=True)
    atoms.positions += [3, -2, 5] @ atoms.cell.array
    return atoms


SAMPLES = {
    "cadmium iodide": cadmium_iodide,
    "nickel arsenide": nickel_arsenide,
    "mirrored": mirrored,
    "supercell": lambda: nickel_arsenide().repeat((2, 2, 1)),
    "orthorhombic": orthorhombic,
    "centred": centred,
    "rutile": rutile,
    "rock salt": lambda: bulk("NaCl", "rocksalt", a=5.1),
    "triclinic": triclinic,
}


def moving(scale: float = 10.0) -> Relaxer:
    return Relaxer(tiny_network(scale, deform=["cell", "positions"]), {})


def as_the_network_has_it(monkeypatch):
    monkeypatch.setattr(passes, "keep_symmetry", lambda crystals, graph, *answer: answer)


def nudged(atoms: Atoms, size: float) -> tuple[CrystalBatch, torch.Tensor, torch.Tensor]:
    """A crystal, and an answer to it that is a little off any symmetry."""
    crystals, generator = from_atoms(atoms), torch.Generator().manual_seed(0)
    error = size * torch.randn(3, 3, dtype=torch.float64, generator=generator)
    shift = size * torch.randn(crystals.n_atoms, 3, dtype=torch.float64, generator=generator)
    return crystals, (1.1 * IDENTITY + error + error.T)[None], crystals.fractional(without_mean(crystals, shift))


def answer(crystals: CrystalBatch, stretches: torch.Tensor, shift: torch.Tensor) -> Atoms:
    (atoms,) = to_atoms(crystals.with_cell(crystals.cell @ stretches).shifted(shift))
    return atoms


@pytest.fixture(scope="module")
def packaged() -> Relaxer:
    return empnn.load("pbe")


@pytest.mark.parametrize("ending", ["extxyz", "cif", "vasp"])
@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("several", [1, 2])
def test_operations_of_the_file_given_hold_in_the_file_written(packaged, name, ending, several, tmp_path):
    source, target = tmp_path / f"in.{ending}", tmp_path / f"out.{ending}"
    writer(source)([SAMPLES[name]()])
    process([source], target, Relaxing(packaged, How(passes=several)), lambda outcome: None)
    given, written = ase.io.read(source), ase.io.read(target)
    assert len(operations(given)[0]) > (1 if name != "triclinic" else 0)
    assert max(broken(written, operations(given))) < SYMPREC


def test_without_it_rounding_breaks_operations(monkeypatch):
    given = nickel_arsenide()
    found = operations(given)
    assert len(found[0]) == 24
    kept = moving().relax(given)
    assert max(broken(kept.structures, found)) < 0.7 * SYMPREC
    as_the_network_has_it(monkeypatch)
    raw = moving().relax(given)
    assert max(broken(raw.structures, found)) > SYMPREC
    assert np.abs(kept.structures.positions - raw.structures.positions).max() < 2e-5
    assert np.abs(kept.strain - raw.strain).max() < 1e-5
    assert np.abs(kept.strain).max() > 0.05


def test_all_ways_to_relax_agree_and_what_is_exact_or_without_symmetry_stays_bit_for_bit(monkeypatch):
    given = [centred(), nickel_arsenide(), triclinic()]
    relaxer, batch = moving(), CrystalBatch.cat(list(map(from_atoms, given)))
    kept = relaxer.relax(given)
    together = relaxer.relax_batch(batch).crystals
    assert np.allclose(kept.trajectory[:, -1], together.cell.numpy(), atol=1e-12)
    for one, other in zip(kept.structures, to_atoms(together), strict=True):
        assert np.abs(one.cell.array - other.cell.array).max() < 1e-12
        apart = one.get_scaled_positions() - other.get_scaled_positions()
        assert np.abs(apart - np.rint(apart)).max() < 1e-12
    as_the_network_has_it(monkeypatch)
    raw = relaxer.relax(given)
    same = [np.array_equal(a.positions, b.positions) for a, b in zip(kept.structures, raw.structures, strict=True)]
    assert same == [True, False, True]


def test_what_is_fixed_stays(monkeypatch):
    given = nickel_arsenide()
    kept = {fix: moving().relax(given, fix=fix) for fix in ("cell", "positions")}
    held = given.copy()
    held.set_constraint(FixAtoms([0]))
    partly = moving().relax(held).structures
    as_the_network_has_it(monkeypatch)
    raw = {fix: moving().relax(given, fix=fix) for fix in kept}
    assert np.array_equal(kept["cell"].structures.cell.array, given.cell.array)
    assert not np.array_equal(kept["cell"].displacements, raw["cell"].displacements)
    assert max(broken(kept["cell"].structures, operations(given))) < SYMPREC
    assert np.array_equal(kept["positions"].displacements, raw["positions"].displacements)
    of_cell, _ = broken(kept["positions"].structures, operations(given))
    assert of_cell < 1e-12 < broken(raw["positions"].structures, operations(given))[0]
    assert np.array_equal(partly.positions, moving().relax(held).structures.positions)


def test_models_that_move_cells_only_are_left_alone(monkeypatch):
    def fail(*answer):
        raise AssertionError

    monkeypatch.setattr(passes, "keep_symmetry", fail)
    result = Relaxer(tiny_network(), {}).relax(nickel_arsenide())
    assert np.array_equal(result.displacements, np.zeros((6, 3)))


def test_edges_tell_what_was_rounded():
    given = [nickel_arsenide(), rutile(), triclinic(), orthorhombic(), bulk("NaCl", "rocksalt", a=5.1), centred()]
    crystals = CrystalBatch.cat(list(map(from_atoms, given)))
    stretches, shift = (1.1 * IDENTITY).expand(len(given), 3, 3), torch.zeros_like(crystals.frac)
    assert rounded(crystals, knn(16)(crystals), stretches, shift).tolist() == [0, 3]
    large = from_atoms(nickel_arsenide().repeat((MOST_ATOMS // 6 + 1, 1, 1)))
    assert large.n_atoms > MOST_ATOMS
    assert rounded(large, knn(16)(large), stretches[:1], torch.zeros_like(large.frac)).tolist() == []
    nothing = knn(16)(large.select([]))
    assert rounded(large.select([]), nothing, stretches[:0], shift[:0]).tolist() == []


def test_answers_to_exact_crystals_are_corrected_by_rounding_and_no_more():
    found = operations(rutile())
    for size, limit in ((1e-8, 1e-6), (5e-6, 1e-12)):
        crystals, stretches, shift = nudged(rutile(), size)
        kept = keep_symmetry(crystals, knn(16)(crystals), stretches, shift)
        assert max(broken(answer(crystals, stretches, shift), found)) > size / 10
        assert max(broken(answer(crystals, *kept), found)) < limit
        assert torch.equal(kept[0], stretches) == (size < 1e-6)
        assert torch.allclose(kept[0], kept[0].mT, atol=1e-15)
        assert float((kept[0] - stretches).abs().max()) < 3 * size
        assert float((kept[1] - shift).abs().max()) < 3 * size
    crystals, stretches, shift = nudged(rutile(), 1e-2)
    kept = keep_symmetry(crystals, knn(16)(crystals), stretches, shift)
    assert torch.equal(kept[0], stretches)


def test_answers_may_be_projected_within_any_tolerance():
    crystals, stretches, shift = nudged(rutile(), 1e-3)
    given = crystals.shifted(shift)
    answers = given.with_cell(given.cell @ stretches)
    assert len(operations(*to_atoms(given))[0]) == 1
    (atoms,) = to_atoms(symmetrized(answers, given, 0.05))
    found = operations(atoms)
    assert len(found[0]) == 16
    assert max(broken(atoms, found)) < 1e-10
