"""Operations that spglib finds in a crystal map its answer, as written, onto itself; only rounding is corrected."""

from dataclasses import replace

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
from empnn import symmetry
from empnn.bulk.pipeline import process
from empnn.crystals import CrystalBatch, from_atoms, to_atoms, without_mean
from empnn.data.writing import writer
from empnn.errors import ConfigError
from empnn.geometry import hencky_strain
from empnn.graph import knn
from empnn.relax import Relaxer, passes
from empnn.relax.files import How, Relaxing
from empnn.relax.symmetrize import MOST_ATOMS, keep_symmetry, made_symmetric, rounded, symmetrized
from empnn.space_groups import find_space_groups, group_names

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


def strained(atoms: Atoms, seed: int = 0, size: float = 0.01) -> Atoms:
    """The crystal with a general strain and atoms off their places, atoms out of the cell, turned."""
    random = np.random.default_rng(seed)
    cell = atoms.cell.array @ (np.eye(3) + size * random.normal(size=(3, 3)))
    frac = atoms.get_scaled_positions() + random.integers(-2, 3, (len(atoms), 3))
    noisy = Atoms(atoms.numbers, scaled_positions=frac, cell=cell, pbc=True)
    noisy.positions += 0.5 * size * random.normal(size=(len(atoms), 3))
    noisy.rotate(30, (1, 2, 3), rotate_cell=True)
    return noisy


GROUPS = {
    "nickel arsenide": "P6_3/mmc (194)",
    "rutile": "P4_2/mnm (136)",
    "rock salt": "Fm-3m (225)",
    "triclinic": "P1 (1)",
}


@pytest.mark.parametrize("name", GROUPS)
def test_answers_are_made_symmetric_and_say_which_group(name):
    given = [strained(SAMPLES[name](), seed) for seed in range(3)]
    relaxer = moving(1.0)
    plain, exact = relaxer.relax(given), relaxer.relax(given, symmetrize=0.3)
    assert exact.symmetrized == [GROUPS[name]] * 3
    assert plain.symmetrized == [None] * 3
    for before, one, other in zip(given, exact, plain, strict=True):
        found = operations(one.structures)
        assert len(found[0]) == len(operations(SAMPLES[name]())[0])
        assert max(broken(one.structures, found)) < 1e-10
        assert f"symmetrised: {GROUPS[name]}" in one.warnings
        assert (one.status == "suspect") == (other.status == "suspect")
        # What is said of the answer is said of the symmetric one.
        assert one.trajectory[-1] == pytest.approx(one.structures.cell.array, abs=1e-12)
        strain = np.linalg.solve(before.cell.array, one.structures.cell.array)
        assert hencky_strain(torch.from_numpy(strain)[None])[0].numpy() == pytest.approx(one.strain, abs=1e-9)
        moved = one.structures.get_scaled_positions(wrap=False) - before.get_scaled_positions(wrap=False)
        assert moved @ one.structures.cell.array == pytest.approx(one.displacements, abs=1e-9)
        # A translation of all atoms would be no answer.
        drift = (one.displacements @ np.linalg.inv(one.structures.cell.array)).mean(0)
        assert drift == pytest.approx(
            (other.displacements @ np.linalg.inv(other.structures.cell.array)).mean(0), abs=1e-9
        )
        assert np.abs(one.displacements - other.displacements).max() < 0.2
    if name == "triclinic":
        pair = exact.structures, plain.structures
        same = [np.allclose(a.positions, b.positions, atol=1e-9) for a, b in zip(*pair, strict=True)]
        assert same == [True] * 3


def test_what_is_found_does_not_depend_on_how_the_crystal_is_written(generator):
    atoms = strained(rutile())
    crystals = from_atoms(atoms)
    others = [
        symmetry.change_basis(crystals, symmetry.random_unimodular(1, generator, factors=2)),
        symmetry.rotate(crystals, symmetry.random_orthogonal(1, generator)),
        symmetry.translate(crystals, symmetry.random_translation(1, generator)),
        symmetry.permute(crystals, symmetry.random_permutation(crystals, generator)),
    ]
    given = [atoms, *(one for other in others for one in to_atoms(other))]
    result = moving(1.0).relax(given, symmetrize=0.2)
    assert result.symmetrized == ["P4_2/mnm (136)"] * 5
    assert [one.get_volume() for one in result.structures] == pytest.approx([result.structures[0].get_volume()] * 5)


def test_operations_are_looked_for_until_there_are_no_more():
    """At a tolerance that shows only part of them at first, the crystal ends with all that it shows then."""
    given = CrystalBatch.cat([from_atoms(strained(nickel_arsenide(), seed, 0.03)) for seed in range(12)])
    still = IDENTITY.expand(len(given), 3, 3)
    once = symmetrized(given, given, 0.3)
    stretch, shift, names = made_symmetric(given, still, torch.zeros_like(given.frac), 0.3)
    exact = given.with_cell(given.cell @ stretch).shifted(shift)
    counts = [
        torch.bincount(find_space_groups(crystals, tolerance).batch, minlength=len(given))
        for crystals, tolerance in ((exact, 0.3), (exact, 1e-5), (once, 1e-5))
    ]
    assert torch.equal(counts[0], counts[1])
    assert (counts[1] >= counts[2]).all()
    assert (counts[1] > counts[2]).any()
    assert names == group_names(exact, 1e-4)


@pytest.mark.parametrize("fix", ["cell", "positions"])
def test_what_is_fixed_is_not_made_symmetric(fix):
    given = strained(nickel_arsenide())
    kept = moving(1.0).relax(given, fix=fix, symmetrize=0.3)
    if fix == "cell":
        assert np.array_equal(kept.structures.cell.array, given.cell.array)
        assert np.abs(kept.displacements).max() > 1e-3
    else:
        assert np.abs(kept.displacements).max() == 0.0
        plain = moving(1.0).relax(given, fix=fix)
        assert np.abs(kept.structures.cell.array - plain.structures.cell.array).max() > 1e-3


def test_crystals_that_fix_some_of_their_coordinates_are_left_alone():
    held = strained(nickel_arsenide())
    held.set_constraint(FixAtoms([0]))
    result, plain = moving(1.0).relax([held, strained(rutile())], symmetrize=0.3), moving(1.0).relax(held)
    assert result.symmetrized == [None, "P4_2/mnm (136)"]
    assert "not symmetrised: it fixes some fractional coordinates and not others" in result.warnings[0]
    assert np.abs(result.structures[0].positions - plain.structures.positions).max() < 1e-5


def test_models_that_move_cells_only_have_their_answers_made_symmetric_too():
    result = Relaxer(tiny_network(1.0), {}).relax(strained(rutile()), symmetrize=0.3)
    assert result.symmetrized == "P4_2/mnm (136)"
    assert 1e-3 < np.abs(result.displacements).max() < 0.1


def test_refused_crystals_and_failures_do_not_disturb_the_others():
    flat = Atoms("Cu", cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True)
    relaxer = moving(1.0)
    given = [strained(rutile()), flat, strained(nickel_arsenide())]
    result = relaxer.relax(given, symmetrize=0.3)
    assert result.symmetrized == ["P4_2/mnm (136)", None, "P6_3/mmc (194)"]
    crystals = CrystalBatch.cat([from_atoms(one) for one in (given[0], given[2], given[0])])
    moved = passes.apply_passes(relaxer.network, crystals, 1)
    broken_one = replace(
        moved,
        stretches=moved.stretches.index_fill(1, torch.tensor([1]), torch.nan),
        shift=moved.shift.masked_fill((crystals.batch == 1)[:, None], torch.nan),
    )
    found, names = passes.symmetrized(broken_one, crystals, 0.3)
    assert names == ["P4_2/mnm (136)", None, "P4_2/mnm (136)"]
    assert torch.isfinite(found.stretches[:, [0, 2]]).all()
    assert found.stretches[:, 1].isnan().all()
    assert torch.equal(found.shift.isnan(), broken_one.shift.isnan())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pymatgen_structures_are_made_symmetric():
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    result = moving(1.0).relax(AseAtomsAdaptor.get_structure(strained(rutile())), symmetrize=0.3)
    assert SpacegroupAnalyzer(result.structures, symprec=1e-4).get_space_group_number() == 136


@pytest.mark.parametrize("tolerance", [0.0, -0.1, 1.5, float("nan")])
def test_tolerances_that_are_none(tolerance):
    with pytest.raises(ConfigError, match=r"`symmetrize` .*: give a distance above 0 and up to 1 angstrom"):
        moving().relax(rutile(), symmetrize=tolerance)


def test_the_file_says_which_group(tmp_path):
    source, target = tmp_path / "in.extxyz", tmp_path / "out.extxyz"
    writer(source)([strained(rutile())])
    relaxer = moving(1.0)
    process([source], target, Relaxing(relaxer, How(symmetrize=0.3)), lambda outcome: None)
    (atoms,) = ase.io.read(target, index=":")
    assert atoms.info["empnn_symmetrized"] == "P4_2/mnm (136)"
    assert "symmetrised: P4_2/mnm (136)" in atoms.info["empnn_warnings"]
    process([target], tmp_path / "again.extxyz", Relaxing(relaxer), lambda outcome: None)
    assert "empnn_symmetrized" not in ase.io.read(tmp_path / "again.extxyz").info
