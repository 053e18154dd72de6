"""The sample set: what is in it, and that it trains and tests without anything else."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from empnn.cli import app
from empnn.crystals import CrystalBatch
from empnn.data.curation.composition import composition_groups
from empnn.data.reading import read
from empnn.data.sets import BENCHMARKS, load_split, locate, split_file

FOLDER = locate(None, "sample")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.delenv("EMPNN_DATA", raising=False)


def test_two_hundred_of_each_set():
    sets = [r.atoms.info["set"] for split in ("train", "val") for r in read(split_file(FOLDER, split))]
    assert {name: sets.count(name) for name in BENCHMARKS} == dict.fromkeys(BENCHMARKS, 200)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 200_000
    assert "CC BY 4.0" in (FOLDER / "README.md").read_text()


def test_no_composition_but_carbon_is_in_both_splits():
    train, val = (load_split(FOLDER, split) for split in ("train", "val"))
    assert (len(train.ids), len(val.ids)) == (481, 119)
    assert train.refused == val.refused == ()
    groups = composition_groups(CrystalBatch.cat([train.crystals, val.crystals]))
    common = set(groups[:481].tolist()) & set(groups[481:].tolist())
    numbers = [set(train.crystals.select([int(np.flatnonzero(groups == g)[0])]).numbers.tolist()) for g in common]
    assert numbers == [{6}]
    assert not set(train.ids) & set(val.ids)


def test_it_trains_and_evaluates_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ("model.features=8", "model.message_layers=1", "model.action_layers=1", "model.graph.k=4")
    options = ("train.steps=2", "train.batch_size=4", "train.workers=0", "train.validate_structures=4", "train.out=run")
    result = CliRunner().invoke(app, ["train", "data=sample", *small, *options, "data.select_on=val", "--quiet"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["evaluate", "--data", "sample", "--model", "run", "--json"])
    assert json.loads(result.stdout)["n"] == 119
