"""Duplicates are those that StructureMatcher finds when it compares all pairs, however crystals are written."""

import numpy as np
import pytest
import torch
from support.zoo import SKEWED_BASIS, ZOO, supercell

from empnn import symmetry
from empnn.crystals import CrystalBatch, to_structures
from empnn.data.curation import dedupe
from empnn.data.curation.dedupe import duplicate_groups
from empnn.data.curation.matching import Tolerances
from empnn.data.sets import locate, split_file
from empnn.data.store import load_file
from empnn.testing import moves

SEVERAL = [crystal for name, crystal in ZOO.items() if name != "elongated"]
"""The matcher takes seconds to find all vectors as long as those of an elongated cell."""
ALL = CrystalBatch.cat(SEVERAL)

pytestmark = pytest.mark.filterwarnings("ignore:.*:Warning:pymatgen", "ignore:.*:Warning:spglib")


@pytest.fixture(scope="module")
def carbon(tmp_path_factory):
    """Carbon of the sample, much of which is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMPNN_CACHE", str(tmp_path_factory.mktemp("cache")))
        crystals = load_file(split_file(locate(None, "sample"), "train")).crystals
    return crystals.select([i for i in range(200) if set(crystals.select([i]).numbers.tolist()) == {6}])


def all_pairs(crystals, tolerances):
    structures = to_structures(crystals)
    for index, structure in enumerate(structures):
        structure.properties["index"] = index
    first = np.empty(len(crystals), dtype=int)
    for group in tolerances.matcher().group_structures(structures):
        members = [structure.properties["index"] for structure in group]
        first[members] = min(members)
    return first.tolist()


@pytest.mark.parametrize(
    "tolerances",
    [Tolerances(), Tolerances(0.1, 0.15, 2.5), Tolerances(0.3, 0.5, 10.0), Tolerances(scale=False)],
    ids=["default", "strict", "loose", "unscaled"],
)
def test_nothing_is_missed_that_comparing_all_pairs_finds(carbon, tolerances):
    chosen = carbon.select(range(36))
    found = duplicate_groups(chosen, tolerances).tolist()
    assert found == all_pairs(chosen, tolerances)
    assert 5 < len(set(found)) < 36


def test_mixed_compositions_against_all_pairs(generator):
    strained = ALL.with_cell(
        ALL.cell @ (torch.eye(3) + 0.02 * torch.randn(len(ALL), 3, 3, generator=generator)).double()
    )
    crystals = CrystalBatch.cat([ALL, strained, *(supercell(crystal, (2, 1, 1)) for crystal in SEVERAL)])
    assert duplicate_groups(crystals).tolist() == all_pairs(crystals, Tolerances())


def test_a_crystal_written_otherwise_is_the_same(generator):
    skewed = symmetry.change_basis(ALL, torch.from_numpy(SKEWED_BASIS).repeat(len(ALL), 1, 1))
    written = [skewed, *(moved.crystals for moved in moves(ALL, generator))]
    written.append(CrystalBatch.cat([supercell(crystal, (1, 2, 1)) for crystal in SEVERAL]))
    strict = Tolerances(0.01, 0.02, 0.5)
    for other in written:
        found = duplicate_groups(CrystalBatch.cat([ALL, other]), strict)
        assert np.array_equal(found[: len(ALL)], found[len(ALL) :])


def test_volume_counts_only_without_scaling():
    crystals = CrystalBatch.cat([ZOO["perovskite"], ZOO["perovskite"].with_cell(ZOO["perovskite"].cell * 1.3)])
    assert duplicate_groups(crystals).tolist() == [0, 0]
    assert duplicate_groups(crystals, Tolerances(scale=False)).tolist() == [0, 1]


def test_processes_find_the_same_and_report_everything(carbon, monkeypatch):
    monkeypatch.setattr(dedupe, "ALONE", 10)
    chosen, counts = carbon.select(range(40)), []
    found = duplicate_groups(chosen, workers=2, on_progress=counts.append)
    assert sum(counts) == 80
    assert found.tolist() == duplicate_groups(chosen).tolist()
