import numpy as np
import pytest
import spglib
import torch
from support.families import crystal, form, perovskite, rewritten, rocksalt, spinel, wurtzite

from empnn import symmetry
from empnn.corruption.decorated import decorate
from empnn.crystals import CrystalBatch
from empnn.data.curation.isostructural import attach, isostructural
from empnn.data.sets import load_split, locate
from empnn.geometry import metric_tensor, volume
from empnn.metrics import displacements

pytestmark = pytest.mark.filterwarnings("ignore:.*:Warning:spglib", "ignore:.*:Warning:pymatgen")

FAMILY = CrystalBatch.cat(
    [
        *(rocksalt(5.64, 11, 17), rocksalt(4.2, 8, 12, at=0.5), rocksalt(5.5, 17, 11)),
        *(perovskite(3.9, 38, 22, 8), perovskite(3.8, 8, 22, 38), perovskite(4.1, 56, 40, 8)),
        *(wurtzite(3.81, 6.26, 0.376, 30, 16), wurtzite(3.25, 5.2, 0.382, 30, 8, True)),
        *(spinel(8.08, 0.262, 12, 13, 8), spinel(8.4, 0.2548, 30, 24, 16)),
    ]
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Crystals of many space groups, exactly symmetric, with their standard forms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMPNN_CACHE", str(tmp_path_factory.mktemp("cache")))
        drawn = load_split(locate(None, "sample"), "train").crystals
    found = {}
    for index in np.random.default_rng(0).permutation(len(drawn)).tolist():
        made = form(drawn.select([index]))
        one = crystal(np.linalg.cholesky(made.form.metric), made.form.frac, made.form.kinds)
        # What is nearly more symmetric may get there by being made symmetric.
        if made.form.hall > 2 and made.form.hall == form(one).form.hall:
            found.setdefault(made.form.hall, (one, made.form))
    return CrystalBatch.cat([one for one, _ in found.values()]), [made for _, made in found.values()]


@pytest.fixture(scope="module")
def distorted(whole):
    """The same strained and displaced within their symmetry, of other elements."""
    rng = np.random.default_rng(1)
    return CrystalBatch.cat(
        [_distorted(whole[0].select([i]), made, rng, 0.02, 0.05) for i, made in enumerate(whole[1])]
    )


@pytest.fixture(scope="module")
def table(whole, distorted, tmp_path_factory):
    """Of the crystals, and the distorted ones written in another basis, order, place and orientation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMPNN_CACHE", str(tmp_path_factory.mktemp("cache")))
        other = rewritten(distorted, torch.Generator().manual_seed(0))
        return isostructural(CrystalBatch.cat([whole[0], other]))


def _distorted(one, made, rng, strain, displacement):
    """Strained and displaced within the space group: the mean over its operations of anything."""
    rotations, cell = made.group.rotations, one.cell[0].numpy()
    noise = rng.normal(size=(3, 3))
    changed = cell @ (np.eye(3) + strain * (noise + noise.T) / 2)
    metric = (rotations.transpose(0, 2, 1) @ (changed @ changed.T) @ rotations).mean(0)
    moved = rng.normal(size=(len(made.frac), 3)) * displacement @ np.linalg.inv(cell)
    mean = np.zeros_like(moved)
    for rotation, images in zip(rotations, made.images, strict=True):
        mean[images] += moved @ rotation.T / len(rotations)
    kinds = [118 - number for number in made.kinds.tolist()]
    return crystal(np.linalg.cholesky(metric), one.frac.numpy() + mean - mean.mean(0), kinds)


def _pairs(crystals, seed=0, count=200):
    table = isostructural(crystals)
    first, second = table.draw(np.random.default_rng(seed), count)
    taken = crystals.select(first)
    return taken, first, second, *decorate(taken, table, first, table, second)


def test_after_is_the_crystal_itself():
    taken, first, second, before, after = _pairs(FAMILY)
    assert torch.equal(after.cell, taken.cell)
    assert torch.equal(after.numbers, taken.numbers)
    assert torch.equal(before.numbers, taken.numbers)
    assert torch.equal(after.batch, taken.batch)
    off = after.frac - taken.frac
    assert (off - off.round()).abs().max() < 1e-12
    assert ((before.frac >= 0) & (before.frac < 1)).all()
    assert (first != second).all()


def test_before_has_the_volume_of_the_other_and_its_strain_is_symmetric():
    _, _, second, before, after = _pairs(FAMILY)
    torch.testing.assert_close(volume(before.cell), volume(FAMILY.cell)[second], rtol=1e-6, atol=0)
    strain = torch.linalg.solve(before.cell, after.cell)
    torch.testing.assert_close(strain, strain.mT, rtol=0, atol=1e-9)
    assert (torch.linalg.eigvalsh(strain) > 0).all()


def test_atoms_are_beside_where_they_were_and_do_not_move_on_average():
    _, _, _, before, after = _pairs(FAMILY)
    apart = torch.einsum("ni,nij->nj", before.frac - after.frac, after.cell[after.batch])
    mean = torch.zeros(len(after), 3, dtype=torch.float64).index_add(0, after.batch, apart)
    assert mean.abs().max() < 1e-9
    torch.testing.assert_close(apart, displacements(before, after), rtol=0, atol=1e-9)


def test_pairs_never_have_one_composition():
    crystals = CrystalBatch.cat([rocksalt(a, 11, 17) for a in (5.5, 5.6)] + [rocksalt(4.2, 12, 8)])
    _, first, second, _, _ = _pairs(crystals)
    assert set(first) == {0, 1, 2}
    assert all((f == 2) != (s == 2) for f, s in zip(first, second, strict=True))


def test_a_crystal_decorated_with_itself_is_itself(whole, table):
    crystals, every = whole[0], np.arange(len(whole[0]))
    before, after = decorate(crystals, table, every, table, every)
    torch.testing.assert_close(before.cell, crystals.cell, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(before.frac, after.frac, rtol=0, atol=1e-12)


def test_a_distortion_within_the_symmetry_is_recovered_however_it_is_written(whole, distorted, table):
    crystals, first = whole[0], np.arange(len(whole[0]))
    assert (table.partners() >= 1).all()
    before, after = decorate(crystals, table, first, table, first + len(first))
    truth = distorted.frac - crystals.frac
    truth = torch.einsum("ni,nij->nj", truth - truth.round(), after.cell[after.batch])
    found = torch.einsum("ni,nij->nj", before.frac - after.frac, after.cell[after.batch])
    # Where a crystal nearly has another symmetry there may be an even shorter way, or one of less strain.
    costs = [
        torch.zeros(len(first), dtype=torch.float64).index_add(0, after.batch, moved.square().sum(-1)) / after.sizes
        for moved in (found, truth)
    ]
    same = (costs[0] - costs[1]).abs() < 1e-6
    assert (~same).sum() <= 0.1 * len(first)
    assert (costs[0] < costs[1] + 2e-4).all()
    expected = metric_tensor(distorted.cell)[same]
    torch.testing.assert_close(metric_tensor(before.cell)[same], expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found[same[after.batch]], truth[same[after.batch]], rtol=0, atol=1e-4)


def test_before_keeps_the_space_group(whole, distorted, table):
    crystals, first = whole[0], np.arange(len(whole[0]))
    before, _ = decorate(crystals, table, first, table, first + len(first))
    for index in range(len(first)):
        found = [
            spglib.get_symmetry_dataset((each.cell[0].numpy(), each.frac.numpy(), each.numbers.numpy()), 1e-4).number
            for each in (crystals.select([index]), before.select([index]))
        ]
        assert found[0] == found[1]
    assert len(first) > 40


def test_rewriting_a_crystal_rewrites_its_candidate(whole, distorted, table, generator):
    crystals, first = whole[0], np.arange(len(whole[0]))
    change = symmetry.random_unimodular(len(first), generator, factors=3)
    order = symmetry.random_permutation(crystals, generator)
    turn = symmetry.random_orthogonal(len(first), generator)

    def written(batch):
        return symmetry.rotate(symmetry.permute(symmetry.change_basis(batch, change), order), turn)

    before, _ = decorate(crystals, table, first, table, first + len(first))
    other_table = isostructural(CrystalBatch.cat([written(crystals), distorted]))
    other, _ = decorate(written(crystals), other_table, first, other_table, first + len(first))
    expected = written(before)
    torch.testing.assert_close(other.cell, expected.cell, rtol=1e-5, atol=1e-4)
    assert torch.linalg.vector_norm(displacements(other, expected), dim=-1).max() < 1e-4


def test_other_sets_are_attached_to_a_table(generator):
    others = rewritten(
        CrystalBatch.cat([rocksalt(5.0, 3, 9), rocksalt(5.64, 11, 17), wurtzite(3.0, 4.9, 0.38, 13, 7), _odd()]),
        generator,
    )
    table = isostructural(FAMILY)
    attached = attach(others, table)
    assert table.partners(attached).tolist() == [3, 1, 2, 0]
    first = np.arange(3)
    drawn = np.stack([table.partner(first, np.full(3, u), attached) for u in np.linspace(0, 0.999, 50)])
    assert [set(column.tolist()) for column in drawn.T] == [{0, 1, 2}, {1}, {6, 7}]
    assert table.partner(np.array([3]), np.array([0.5]), attached).tolist() == [-1]
    before, after = decorate(others.select(first), attached, first, table, drawn[7])
    torch.testing.assert_close(volume(before.cell), volume(FAMILY.cell)[drawn[7]], rtol=1e-6, atol=0)
    assert torch.equal(after.cell, others.select(first).cell)
    with pytest.raises(ValueError, match="groups"):
        decorate(others.select([0]), attached, np.array([0]), table, np.array([6]))


def test_a_supercell_is_decorated_all_over(generator):
    one, other = wurtzite(3.81, 6.26, 0.376, 30, 16), wurtzite(3.25, 5.2, 0.382, 30, 8, True)
    change = np.array([[2, 1, 0], [0, 1, 0], [1, 0, 1]])
    cell = change @ one.cell[0].numpy()
    shifts = np.array([[0, 0, 0], [1, 0, 0]])
    frac = (one.frac.numpy()[None] + shifts[:, None]).reshape(-1, 3) @ np.linalg.inv(change)
    double = crystal(cell, frac, np.tile(one.numbers.numpy(), 2))
    crystals = CrystalBatch.cat([rewritten(double, generator), other])
    table = isostructural(crystals)
    before, after = decorate(crystals.select([0]), table, np.array([0]), table, np.array([1]))
    assert volume(before.cell).item() == pytest.approx(2 * volume(other.cell).item())
    apart = displacements(before, after)
    assert torch.linalg.vector_norm(apart, dim=-1).max() < 0.1
    dataset = spglib.get_symmetry_dataset((before.cell[0].numpy(), before.frac.numpy(), before.numbers.numpy()), 1e-5)
    assert dataset.number == 186
    assert len(set(dataset.mapping_to_primitive)) == 4


def _odd():
    return crystal(
        [[3.0, 0, 0], [0.1, 4.0, 0], [0.3, 0.2, 5.0]], [[0, 0, 0], [0.4, 0.3, 0.2], [0.6, 0.1, 0.7]], [1, 3, 8]
    )


def test_one_composition_has_no_pairs():
    table = isostructural(CrystalBatch.cat([rocksalt(a, 11, 17) for a in (5.5, 5.6)]))
    with pytest.raises(ValueError, match="no crystal has an isostructural partner"):
        table.draw(np.random.default_rng(0), 3)
    assert table.partners().tolist() == [0, 0]
