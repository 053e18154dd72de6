import numpy as np
import pytest
from support.families import perovskite, rocksalt, wurtzite

from empnn.crystals import CrystalBatch
from empnn.data.curation import isostructural as isostructural_module
from empnn.data.curation import standard_form as standard_form_module
from empnn.data.curation.isostructural import isostructural

pytestmark = pytest.mark.filterwarnings("ignore:.*:Warning:spglib", "ignore:.*:Warning:pymatgen")

HALIDES = [rocksalt(5 + 0.01 * i, i, 9) for i in range(20, 60)]
CRYSTALS = CrystalBatch.cat(
    [*HALIDES, perovskite(3.9, 38, 22, 8), perovskite(4.1, 56, 40, 8), wurtzite(3, 5, 0.38, 4, 8)]
)


def test_groups_and_partners():
    table = isostructural(CRYSTALS)
    assert table.group.tolist() == [0] * 40 + [40] * 2 + [42]
    assert table.partners().tolist() == [39] * 40 + [1] * 2 + [0]


def test_partners_come_from_the_subset_only():
    table = isostructural(CRYSTALS)
    chosen = np.array([1, 3, 5, 7, 40, 42])
    part = table.subset(chosen)
    assert part.partners().tolist() == [3, 3, 3, 3, 0, 0]
    first, second = part.draw(np.random.default_rng(0), 300)
    assert set(first) == set(second) == {0, 1, 2, 3}
    assert (first != second).all()


def test_large_groups_are_weighted_down():
    table = isostructural(CRYSTALS)
    first, second = table.draw(np.random.default_rng(0), 20_000)
    share = (first >= 40).mean()
    assert share == pytest.approx(2**0.5 / (2**0.5 + 40**0.5), abs=0.01)
    counts = np.bincount(second[first == 0], minlength=40)[1:40]
    assert counts.min() > 0


def test_crystals_of_unknown_symmetry_have_no_partners(monkeypatch):
    monkeypatch.setattr(standard_form_module, "MOST_SITES", 3)
    table = isostructural(CRYSTALS)
    assert table.group.tolist() == [0] * 40 + [40, 41, 42]
    assert table.partners().tolist() == [39] * 40 + [0, 0, 0]


def test_draws_are_a_pure_function_of_the_generator():
    table = isostructural(CRYSTALS)
    drawn = [table.draw(np.random.default_rng([3, 5]), 50) for _ in range(2)]
    assert np.array_equal(drawn[0], drawn[1])


def test_the_table_comes_from_the_cache_and_a_broken_one_is_made_anew(cache, monkeypatch):
    seen = []
    table = isostructural(CRYSTALS, on_progress=seen.append)
    assert len(CRYSTALS) <= sum(seen) <= 2 * len(CRYSTALS)
    (file,) = cache.iterdir()
    seen.clear()
    again = isostructural(CRYSTALS, on_progress=seen.append)
    assert not seen
    assert all(np.array_equal(table.arrays[name], again.arrays[name]) for name in table.arrays)
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.unlink()
    file.write_bytes(content)
    anew = isostructural(CRYSTALS, on_progress=seen.append)
    assert seen
    assert all(np.array_equal(table.arrays[name], anew.arrays[name]) for name in table.arrays)


def test_processes_find_the_same(cache, monkeypatch):
    monkeypatch.setattr(isostructural_module, "_CHUNK", 16)
    one = isostructural(CRYSTALS)
    for file in cache.iterdir():
        file.unlink()
    two = isostructural(CRYSTALS, workers=2)
    assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)
