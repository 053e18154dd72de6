"""Figures 4 and 5: crystals are chosen by the rule, and the numbers say whether density matters."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, from_arrays
from empnn.data.sets import BENCHMARKS, SAMPLE, locate, origins
from empnn.errors import ConfigError
from empnn.evaluate import load_crystals
from empnn.geometry import hencky_distance
from empnn.relaxers import RelaxedBatch
from empnn.reproduce import denoised as module
from empnn.reproduce import figure4, figure5
from empnn.reproduce.denoised import LIMIT, Denoised, denoise_set
from empnn.reproduce.figures import make

N = 40
ROOT = Path(__file__).parents[2]


@pytest.fixture
def few(monkeypatch):
    """The crystals of each benchmark set that come with the package stand in the place of the set."""
    sample = load_crystals(locate(None, SAMPLE), "train")
    names = np.array(origins(SAMPLE, "train"))
    sets = {name: sample.select(np.flatnonzero(names == name)) for name in BENCHMARKS}
    monkeypatch.setattr(module, "locate", lambda path, name: name)
    monkeypatch.setattr(module, "load_crystals", lambda place, split: sets[place])
    return sets


def made_up(ratios, seed=0):
    """Crystals of which so much of a deformation is left: the relaxed cell lies on the way from the original."""
    n = len(ratios)
    rng = np.random.default_rng(seed)
    cells = 4 * np.eye(3) + rng.normal(0, 0.1, (n, 3, 3))
    original = CrystalBatch.cat([from_arrays(cell, np.zeros((1, 3)), np.array([6])) for cell in cells])
    strain = rng.normal(0, 0.1, (n, 3, 3))
    strain = torch.from_numpy(strain + strain.transpose(0, 2, 1))
    left = torch.tensor(ratios, dtype=torch.float64)[:, None, None] * strain
    deformed, relaxed = (original.with_cell(original.cell @ torch.linalg.matrix_exp(part)) for part in (strain, left))
    states = {"original": original, "deformed": deformed, "relaxed": relaxed}
    return Denoised(data="mp_20", model="mp-20", weights="0", failed=0, **states)


def test_ratios_are_what_is_left():
    expected = np.linspace(0.01, 1.9, 50)
    assert np.allclose(made_up(expected).ratio(), expected)


def test_crystals_are_relaxed_by_the_network_of_their_set(few):
    found = denoise_set("mp_20", "val", lambda line: None, limit=N)
    crystals = few["mp_20"].select(range(N))
    noisy = with_fixed_noise(crystals, 0.3, 0)
    assert torch.equal(found.deformed.cell, noisy.cell)
    assert (found.model, len(found), found.failed) == ("mp-20", N, 0)
    assert np.median(found.ratio()) < 0.5
    assert np.allclose(found.ratio() * found.noise(), hencky_distance(found.relaxed.cell, crystals.cell))


def test_successes_are_chosen_by_the_rule():
    found = made_up([0.05] * 30 + [0.5] * 30)
    shown = [one.index for one in figure4.choose(found) if one.kind == "success"]
    order = np.argsort(found.noise()[:30])
    assert shown == [order[10], order[20]]


def test_failures_are_chosen_by_the_rule():
    ratios = np.random.default_rng(1).uniform(1.0, 1.5, 100)
    found = made_up(ratios)
    shown = {one.kind: one.index for one in figure4.choose(found)}
    parameters = np.array([cell.cpu().numpy() for cell in found.deformed.cell])
    lengths = np.linalg.norm(parameters, axis=2)
    elongated = np.argsort(-(lengths.max(1) / lengths.min(1)))[:10]
    assert list(shown) == ["elongated", "sharp"]
    assert shown["elongated"] == sorted(elongated, key=lambda index: ratios[index])[4]
    assert shown["sharp"] in np.flatnonzero(figure4.shapes(found)["sharp"])


def test_sharp_cells_are_those_with_small_angles():
    found = made_up([1.2] * 20)
    cell = found.deformed.cell.clone()
    cell[7] = torch.tensor([[4.0, 0, 0], [-3.9, 0.8, 0], [0, 0, 4.0]], dtype=torch.float64)
    cell[8] = torch.tensor([[40.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]], dtype=torch.float64)
    found = Denoised(**{**vars(found), "deformed": found.deformed.with_cell(cell)})
    masks = figure4.shapes(found)
    assert masks["sharp"][7]
    assert masks["elongated"][8]
    assert not masks["sharp"][8]
    assert [mask.sum() for mask in masks.values()] == [2, 2]


def test_no_failure_is_shown_where_there_is_none():
    found = made_up([0.05] * 20)
    assert [one.kind for one in figure4.choose(found)] == ["success", "success"]
    numbers = figure4.figures(found, "val")
    assert (numbers["failures"], numbers["volume_of_failures"]) == (0, None)
    assert figure4.markdown({"mp_20": numbers}).endswith("| 100.0 % | 0.0 % | 0.0 % | 0.0 % | 0.0 % | - |")


@pytest.mark.parametrize(("slope", "expected"), [(1.0, True), (0.0, False), (-1.0, False)])
def test_dense_crystals_that_fail_are_found_out(slope, expected):
    rng = np.random.default_rng(0)
    density = rng.uniform(0.05, 0.2, 500)
    ratio = 0.5 + slope * (density - 0.1) + rng.normal(0, 0.1, 500)
    told = figure5.trend(density, ratio)
    assert told["densest_fail"] is expected
    assert np.sign(told["rank_correlation"]) * slope >= 0
    assert np.mean(told["tenths_ratio"]) == pytest.approx(ratio.mean())
    assert told["tenths_density"] == sorted(told["tenths_density"])


def test_maps_count_every_crystal():
    found = made_up(np.linspace(0.01, 3.5, 60))
    for panel in figure5.panels(found):
        assert panel.counts.sum() == 60
    assert figure5.panels(found)[0].counts[:, -1].sum() >= (found.ratio() > 2).sum()


@pytest.mark.parametrize("what", ["figure4", "figure5"])
def test_files(few, tmp_path, what):
    endings = ("json", "pdf", "png")
    said = []
    told = make(what, ("mp_20", "carbon_24"), "val", tmp_path, said.append, limit=N)
    assert [line.split()[0] for line in said] == ["mp-20", "carbon-24"]
    assert sorted(path.name for path in tmp_path.glob("figure*")) == [f"{what}.{ending}" for ending in endings]
    kept = json.loads((tmp_path / f"{what}.json").read_text())
    assert kept == {key: value for key, value in told.items() if key not in ("text", "files")}
    assert (kept["split"], kept["sigma"], kept["seed"]) == ("val", 0.3, 0)
    row = kept["sets"]["mp_20"]
    assert (row["n"], row["model"], row["failed"]) == (N, "mp-20", 0)
    if what == "figure4":
        found = denoise_set("mp_20", "val", said.append, limit=N)
        assert [one["crystal"] for one in row["shown"]] == [f"val[{one.index}]" for one in figure4.choose(found)]
        assert f"first {N} crystals of val" in kept["rule"]
    else:
        assert sum(map(sum, row["maps"][0]["counts"])) == N
        assert set(kept["dense_crystals_fail"]) == {"mp_20", "carbon_24"}
    assert "MP-20" in told["text"]


def test_crystals_that_could_not_be_relaxed_are_counted(few, monkeypatch):
    class Refuses:
        def digest(self):
            return "0"

        def relax_batch(self, crystals, passes):
            return RelaxedBatch(crystals=crystals, failed=torch.ones(len(crystals), dtype=torch.bool), seconds=0.0)

    monkeypatch.setattr(module, "load", lambda name: Refuses())
    found = denoise_set("mp_20", "val", lambda line: None, limit=N)
    assert found.failed == N
    assert np.allclose(found.ratio(), 1.0)
    assert figure4.figures(found, "val")["failures"] == N


def test_too_few_crystals_and_sets_without_a_network(few):
    with pytest.raises(ConfigError, match="mp_20, val: 3 crystals; a figure needs 10"):
        denoise_set("mp_20", "val", print, limit=3)
    with pytest.raises(ConfigError, match="sample"):
        denoise_set("sample", "val", print)


def test_bold_is_where_dense_crystals_fail():
    numbers = figure5.figures(made_up(np.linspace(0.01, 0.9, 60)))
    numbers["trends"]["original"]["distance"] |= {"densest_fail": True, "tenths_ratio": [0.1] * 9 + [0.7], "ratio": 0.2}
    numbers["trends"]["relaxed"]["distance"]["densest_fail"] = False
    lines = figure5.markdown({"mp_20": numbers}).splitlines()
    assert lines[2].endswith("| 0.20 | 0.10 | **0.70** |")
    assert "**" not in lines[4]
    assert "original, distance" in figure5.failing(numbers)


@pytest.mark.parametrize(("name", "module"), [("figure4", figure4), ("figure5", figure5)])
def test_the_page_says_what_the_result_files_say(name, module):
    kept = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    page = (ROOT / "docs/reproduced.md").read_text()
    assert f"<!-- {name} -->\n{module.markdown(kept['sets'])}\n" in page
    assert {row["n"] for row in kept["sets"].values()} == {LIMIT}
