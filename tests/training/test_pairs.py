"""Training from the user's own pairs, alone or beside crystals: what is drawn, held out, noted and resumed."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from safetensors.torch import load_file
from support.runs import stopped_at
from support.unrelaxed import pairs, write_json, write_table, write_two
from typer.testing import CliRunner

from empnn import models
from empnn.cli import app
from empnn.data.curation.composition import compositions
from empnn.errors import ConfigError
from empnn.nn import ModelConfig, build
from empnn.relax import load
from empnn.training import run
from empnn.training.config import load_config
from empnn.training.data import prepare
from empnn.training.options import Config
from empnn.training.report import Reporter

SMALL = (
    *("model.features=16", "model.message_layers=1", "model.action_layers=2", "model.radial.count=8"),
    *("train.batch_size=8", "train.validate_every=4", "train.workers=0", "train.warmup_steps=2", "train.threads=1"),
    *("train.steps=8", "data.dev_fraction=0.2", "model.deform=[cell,positions]"),
)
Given = tuple[list[Atoms], list[Atoms]]


@pytest.fixture
def given() -> Given:
    return pairs()


@pytest.fixture
def table(tmp_path: Path, given: Given) -> Path:
    return write_table(tmp_path / "mine.csv", *given)


def config(table: Path | str, *overrides: str) -> Config:
    return load_config(None, [f"data.pairs={table}", *SMALL, *overrides])


def mix(*overrides: str) -> dict[str, float]:
    found = load_config(None, overrides).noise.mix
    return {name: weight for name, weight in vars(found).items() if weight}


def test_pairs_are_trained_on_because_they_are_given() -> None:
    assert mix() == {"strain": 1}
    assert mix("data.pairs=a.csv") == {"pairs": 1}
    assert mix("data.pairs=a.csv", "data=mp_20") == {"strain": 1, "pairs": 1}
    assert mix("data.pairs=a.csv", "noise.mix.strain=0.5") == {"strain": 0.5, "pairs": 1}
    assert mix("data.pairs=a.csv", "data.path=x", "noise.mix.strain=0", "noise.mix.pairs=3") == {"pairs": 3}
    with pytest.raises(ConfigError, match=r"data.pairs are given, but noise.mix.pairs is 0"):
        mix("data.pairs=a.csv", "noise.mix.pairs=0", "noise.mix.strain=1")
    with pytest.raises(ConfigError, match="there are no pairs; give"):
        mix("noise.mix.pairs=1")
    with pytest.raises(ConfigError, match=r"data.pairs=7: must be a file, a folder, or a list"):
        mix("data.pairs=7")
    assert load_config(None, ["data.pairs=[a.cif,b.cif]"]).data.pairs == ["a.cif", "b.cif"]


def test_a_step_holds_training_pairs_only_and_follows_from_seed_and_step(table: Path) -> None:
    settings = config(table)
    data, again = prepare(settings), prepare(settings)
    assert data.train_pairs is not None
    assert data.select_pairs is not None
    trained, held_out = compositions(data.train_pairs.before), compositions(data.select_pairs.before)
    assert len(trained) + len(held_out) == 12
    assert held_out
    assert not set(trained) & set(held_out)
    assert compositions(data.train) == trained
    assert compositions(data.select) == held_out
    source, other = data.corruptions.source(), again.corruptions.source()
    for step in (3, 0, 1):
        (before, after), (first, second) = source(step), other(step)
        assert len(before) == 8
        assert set(compositions(before)) <= set(trained)
        assert torch.equal(before.cell, first.cell)
        assert torch.equal(after.frac, second.frac)
    sets = data.validation()
    assert list(sets) == ["pairs"]
    assert compositions(sets["pairs"][1]) == held_out


def test_beside_crystals_none_is_trained_on_in_a_composition_that_is_held_out(
    table: Path, tmp_path: Path, given: Given
) -> None:
    ase.io.write(tmp_path / "train.extxyz", given[1] + [a for a in pairs(24)[1] if "Ca" not in a.symbols])
    data = prepare(config(table, f"data.path={tmp_path / 'train.extxyz'}", "noise.mix.symmetric=1"))
    assert data.train_pairs is not None
    assert data.select_pairs is not None
    blind = set(compositions(data.select)) | set(compositions(data.select_pairs.before))
    assert not blind & (set(compositions(data.train)) | set(compositions(data.train_pairs.before)))
    sets = data.validation()
    assert list(sets) == ["strain", "symmetric", "pairs"]
    assert len(sets["pairs"][0]) == len(data.select_pairs) > 0


def test_val_is_left_alone_unless_it_is_to_select(tmp_path: Path, given: Given) -> None:
    before, after = given
    write_json(tmp_path / "salts_train.json.gz", before[:8], after[:8])
    write_json(tmp_path / "salts_val.json.gz", before[8:], after[8:])
    data = prepare(config(tmp_path))
    assert data.train_pairs is not None
    assert data.select_pairs is not None
    assert len(data.train_pairs) + len(data.select_pairs) == 8
    data = prepare(config(tmp_path, "data.select_on=val"))
    assert data.train_pairs is not None
    assert data.select_pairs is not None
    assert (len(data.train_pairs), len(data.select_pairs)) == (8, 4)
    assert data.name == "pairs of salts_train.json.gz"
    assert data.sizes == "8 pairs to train on, 4 to select by"
    (tmp_path / "salts_val.json.gz").unlink()
    with pytest.raises(ConfigError, match="needs pairs named val"):
        prepare(config(tmp_path, "data.select_on=val"))


def test_a_run_as_a_user_has_it(table: Path, tmp_path: Path, given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    given[1][4].symbols[0] = "Zr"
    write_table(table, *given)
    folder = run.train(config(table, f"train.out={tmp_path / 'run'}"), Reporter())
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"{folder}: pairs of mine.csv, 9 pairs to train on, 2 to select by"
    assert said[2].startswith(f"left out: {table}[4] (mp-4): it is Ag4Cl4 unrelaxed and Ag3Cl4Zr relaxed; ")
    assert said[3] == "so few to select by (2) tell little; give more, or a larger data.dev_fraction"
    assert [line.split() for line in said[5:7]] == [["pairs"], ["step", "loss", "cell", "atoms", "mean", "left"]]
    assert said[7].split()[0] == "4"
    card = json.loads((folder / "best" / "card.json").read_text())
    assert (card["data"], card["pairs"], card["structures"]) == ("pairs of mine.csv", 9, 9)
    assert card["selection"]["pairs_strain_mean_before"] > 0.05
    assert "sigma" not in card["selection"]
    assert 47 not in card["elements"]
    assert load(folder).elements == set(card["elements"])


def test_elements_of_pairs_beside_crystals_are_on_the_card(table: Path, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "train.extxyz", [Atoms("Si", cell=np.eye(3) * (3 + i / 9), pbc=True) for i in range(9)])
    data = prepare(config(table, f"data.path={tmp_path / 'train.extxyz'}"))
    assert data.train_pairs is not None
    assert data.elements == sorted({14, *data.train_pairs.before.elements})
    assert len(data.train_pairs.before.elements) > 5


def test_pairs_are_learned(table: Path, tmp_path: Path) -> None:
    settings = config(table, f"train.out={tmp_path / 'run'}", "train.steps=150", "train.learning_rate=0.01")
    folder = run.train(settings, Reporter(quiet=True))
    figures = json.loads((folder / "best" / "card.json").read_text())["selection"]
    assert figures["pairs_strain_mean"] < 0.5 * figures["pairs_strain_mean_before"]


def test_other_pairs_are_noticed_when_resuming(tmp_path: Path, given: Given) -> None:
    names = ",".join(write_two(tmp_path, *given))
    assert prepare(config(names)).name == "pairs of unrelaxed.extxyz and relaxed.extxyz"
    settings = config(names, f"train.out={tmp_path / 'run'}", "train.steps=4")
    folder = run.train(settings, Reporter(quiet=True))
    run.resume(folder, Reporter(quiet=True))
    for atoms in given[0]:
        atoms.positions[1] += 1e-3
    write_two(tmp_path, *given)
    with pytest.raises(ConfigError, match="the training crystals or pairs are not those the run began with"):
        run.resume(folder, Reporter(quiet=True))


def test_a_stopped_run_resumes_to_the_same_weights(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run.train(config(table, f"train.out={tmp_path / 'whole'}"), Reporter(quiet=True))
    with stopped_at(6, monkeypatch):
        run.train(config(table, f"train.out={tmp_path / 'stopped'}"), Reporter(quiet=True))
    stopped = run.resume(tmp_path / "stopped", Reporter(quiet=True))
    first, second = (load_file(folder / "last" / "model.safetensors") for folder in (whole, stopped))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_model_is_scored_before_it_is_trained_on(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    models.save(tmp_path / "given", build(ModelConfig(features=8, message_layers=1, action_layers=2)), {})
    overrides = [f"data.pairs={table}", f"model.start_from={tmp_path / 'given'}", "train.workers=0", "train.threads=1"]
    # Steps that lead astray: what was given stays the best.
    overrides += ["steps=3", "lr=0.3", "train.warmup_steps=0", f"train.out={tmp_path / 'run'}"]
    folder = run.train(load_config(None, overrides), Reporter())
    said = capsys.readouterr().err
    first = next(line for line in said.splitlines() if line.split()[0] == "0")
    assert first.split()[1] == "-"
    assert "best weights (step 0)" in said
    assert f"no step did better than {tmp_path / 'given'}, which training started from" in said
    card = json.loads((folder / "best" / "card.json").read_text())
    assert (card["step"], card["start_from"]) == (0, str(tmp_path / "given"))
    given, best = (load_file(path / "model.safetensors") for path in (tmp_path / "given", folder / "best"))
    assert all(torch.equal(given[name], best[name]) for name in given)


def test_command_line(table: Path, tmp_path: Path) -> None:
    arguments = ["train", f"data.pairs={table}", *SMALL, "train.steps=4", f"train.out={tmp_path / 'run'}", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--quiet"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["step"] == 4
    nothing = CliRunner().invoke(app, ["train", f"data.pairs={tmp_path / 'no.csv'}"])
    assert (nothing.exit_code, nothing.stderr) == (1, f"empnn: data.pairs={tmp_path / 'no.csv'} does not exist\n")
