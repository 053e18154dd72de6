"""The page on accuracy says what the result files of larger crystals, real pairs and decorated candidates say."""

import json

import pytest
from ase.build import bulk

from benchmarks.bench import RESULTS
from benchmarks.pages import filled
from benchmarks.quality import large_crystals, other_bases, pairs, trials
from empnn.crystals import CrystalBatch, from_atoms

PAGE = large_crystals.PAGE.read_text(encoding="utf-8")


def test_the_tables_of_other_bases_and_of_trials_are_those_of_the_result_files() -> None:
    bases = json.loads((RESULTS / "other_bases.json").read_text())["rows"]
    assert filled(PAGE, "other-bases", other_bases.table(bases)) == PAGE
    method = trials.PAGE.read_text(encoding="utf-8")
    tried = json.loads(trials.RESULT.read_text())["fifteen_minutes"]["rows"]
    assert filled(method, "trials", trials.table(tried)) == method


@pytest.mark.parametrize(("name", "benchmark"), [("large-crystals", large_crystals), ("pairs", pairs)])
def test_the_tables_are_those_of_the_result_files(name: str, benchmark) -> None:
    rows = json.loads(benchmark.OUT.read_text())["rows"]
    assert filled(PAGE, name, benchmark.table(rows)) == PAGE


def test_the_table_of_pairs_holds_what_was_measured_only() -> None:
    rows = json.loads(pairs.OUT.read_text())["rows"]
    whole = pairs.table(rows).splitlines()
    assert len(whole) == 2 + sum(map(len, pairs.WORDS.values()))
    del rows["nbsrh_val"]["nbsrh"]
    assert pairs.table(rows).splitlines() == whole[:-1]


def test_real_crystals_are_parted_by_the_atoms_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [1, 20, 21, 2]
    crystals = CrystalBatch.cat([from_atoms(bulk("Cu", "sc", a=3.0).repeat((n, 1, 1))) for n in sizes])
    monkeypatch.setattr(large_crystals, "real_pairs", lambda _: (crystals, crystals))
    small, large = large_crystals.real_sets(0).values()
    assert [after.sizes.tolist() for _, after in (small, large)] == [[1, 20, 2], [21]]
    assert set(large_crystals.real_sets(0)) < set(large_crystals.WORDS)


def test_errors_by_the_definitions_of_others_are_those_of_the_result_file() -> None:
    rows = json.loads((RESULTS / "decorated.json").read_text())["rows"]
    text = " ".join(PAGE.partition("## Random strain")[0].split())
    for name, digits in (("coordinates_l1", 3), ("cell_l1", 3), ("volume_mae", 1), ("metric_frobenius", 1)):
        *first, last = [f"{rows[answer][name]:.{digits}f}" for answer in ("nothing", "dls", "mp-20", "pbe")]
        assert f"{', '.join(first)} and {last}" in text
    nothing = rows["nothing"]
    assert f"{nothing['strain_median']:.3f} and {nothing['volume_median']:.1f} % in the median" in text
    assert f"atoms {nothing['positions_mean']:.3f} Å on average" in text
