"""What is searched, from names, files and what is typed."""

from pathlib import Path

import pytest

from empnn.errors import ConfigError
from empnn.search import plan as plans
from empnn.search.dimensions import Choices, Range
from empnn.search.halving import Halving
from empnn.search.plan import TRIALS, load_plan
from empnn.training.config import load_config

FILE = """
data: sample
train: {steps: 1000}
sweep:
  dimensions:
    lr: log(1e-5,1e-2)
    model.weight_limit: [null, 0.01]
    model.deform: [[cell], [cell, positions]]
  trials: 7
  seed: 3
  halving: 100
"""


def test_the_grid_of_the_paper() -> None:
    plan = load_plan("paper_grid", ["data=mp_20"])
    assert (plan.name, plan.count, plan.halving) == ("paper-grid", 6, None)
    assert plan.combinations is not None
    found = {tuple(each.values()) for each in plan.combinations}
    assert found == {(limit, rate) for rate in ("0.0001", "3e-05", "1e-05") for limit in ("null", "0.01")}
    config = plan.config({"train.learning_rate": 3e-5, "model.weight_limit": 0.01})
    by_hand = ["data=mp_20", "train.learning_rate=3e-5", "model.weight_limit=0.01"]
    assert config == load_config("paper", by_hand)


def test_a_file_says_what_is_searched_and_how(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(FILE)
    plan = load_plan(str(file))
    assert plan.dimensions == {
        "train.learning_rate": Range(1e-5, 1e-2, log=True, whole=False),
        "model.weight_limit": Choices(("null", "0.01")),
        "model.deform": Choices(('["cell"]', '["cell", "positions"]')),
    }
    assert (plan.name, plan.count, plan.seed, plan.halving) == ("mine", 7, 3, Halving(100, 3))
    config = plan.config({"train.learning_rate": 1e-3, "model.weight_limit": None, "model.deform": ["cell"]})
    assert (config.train.steps, config.data.name, config.model.deform) == (1000, "sample", ["cell"])


def test_training_heeds_the_rest_of_that_file_only(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(FILE)
    assert load_config(file) == load_config(None, ["data=sample", "steps=1000"])


def test_what_is_typed_wins(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(FILE)
    plan = load_plan(str(file), ["lr=[1,2]", "model.weight_limit=0.5", "steps=50"], trials=2, seed=0, halving=10)
    assert list(plan.dimensions) == ["model.deform", "train.learning_rate"]
    assert plan.first.model.weight_limit == 0.5
    assert (plan.count, plan.seed, plan.halving, plan.first.train.steps) == (2, 0, Halving(10, 3), 50)


def test_what_is_typed_as_for_training_is_so_here() -> None:
    plan = load_plan(None, ["data=[sample]", "lr=[1,2]", "model.graph.radii.O=4.0", "model.graph={rule: cutoff}"])
    assert (plan.first.data.path, plan.first.model.graph.rule) == (["sample"], "cutoff")
    assert plan.first.model.graph.radii == {"O": 4.0}


def test_the_order_of_combinations_depends_on_the_seed_alone() -> None:
    """So that more trials are the same ones and further ones."""
    typed = ["data=sample", "lr=[1e-3,1e-4]", "model.features=[16,32,64]"]
    few, all_, other = load_plan(None, typed, trials=2), load_plan(None, typed), load_plan(None, typed, seed=1)
    assert (few.count, all_.count, load_plan(None, typed, trials=99).count) == (2, 6, 6)
    assert few.combinations == all_.combinations != other.combinations
    assert load_plan(None, [typed[0], typed[2], typed[1]]).combinations == all_.combinations
    assert all_.combinations is not None
    assert len({tuple(each.items()) for each in all_.combinations}) == 6


def test_where_combinations_have_no_end_there_are_so_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_plan(None, ["data=sample", "lr=log(1e-5,1e-2)"]).count == TRIALS
    monkeypatch.setattr(plans, "MANY", 5)
    plan = load_plan(None, ["data=sample", "model.features=[8,16]", "train.batch_size=[8,16,32]"])
    assert (plan.count, plan.combinations) == (TRIALS, None)


def test_the_identity_leaves_out_what_changes_nothing() -> None:
    typed = ["data=sample", "lr=[1e-3,1e-4]"]
    same = load_plan(None, [*typed, "train.threads=3", "train.workers=0"], trials=1)
    assert same.identity == load_plan(None, typed).identity
    for other in ("lr=[1e-3,1e-5]", "steps=7", "model.graph.radii={O: 4.0}"):
        assert load_plan(None, [*typed, other]).identity != same.identity


def test_what_changes_the_measure_is_named(tmp_path: Path) -> None:
    typed = ["data=sample", "lr=[1,2]", "seed=[0,1]", "noise.mix.symmetric=[0,1]"]
    assert load_plan(None, typed).unlike == ["noise.mix.symmetric", "train.seed"]
    # Unless it is told which kinds of corruption count.
    file = tmp_path / "search.yaml"
    file.write_text("train: {validate_on: [strain, symmetric]}\n")
    assert load_plan(str(file), typed).unlike == ["train.seed"]


@pytest.mark.parametrize(
    ("base", "typed", "message"),
    [
        (None, ["data=sample"], "nothing to search: give a key values, as in lr=[1e-3,1e-4]"),
        ("papr-grid", [], "neither a file nor a preset (paper-grid, default"),
        ("papr-grid", [], "did you mean paper-grid?"),
        (None, ["data=sample", "lr=[1e-3,-1]"], "train.learning_rate=-1"),
        (None, ["data=sample", "lr=log(1e-3,1)", "loss=[hencky,henky]"], "loss.name=henky: must be one of"),
        (None, ["data=sample", "model.weight_limit=[null,a]"], "model.weight_limit=a: must be a number"),
        (None, ["data=sample", "lr=[1,2]", "train.out=x"], "train.out: the runs of a search lie in its folder"),
        (None, ["data=sample", "train.out=[x,y]"], "train.out: the runs of a search lie in its folder"),
        (None, ["data=sample", "lr=[1,2]", "data.select_on=val"], "decided on the development set"),
        (None, ["data=sample", "data.select_on=[dev,val]"], "decided on the development set"),
        (None, ["data=sample", "lrr=[1,2]"], "unknown key lrr"),
        (None, ["data=choices(a,b)"], "unknown key data"),
    ],
)
def test_what_cannot_be_searched(base: str | None, typed: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_plan(base, typed)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{dimension: {}}", "unknown key sweep.dimension; did you mean sweep.dimensions?"),
        ("{dimensions: [lr]}", "dimensions is one in it"),
        ("3", "expected a section sweep with dimensions"),
        ("{dimensions: {lr: [1, 2]}, trials: many}", "sweep.trials=many: must be a whole number"),
        ("{dimensions: {lr: [1, 2]}, trials: 0}", "sweep.trials=0: must be positive"),
        ("{dimensions: {lr: [1, 2]}, seed: -1}", "sweep.seed=-1: must not be negative"),
        ("{dimensions: {lr: [1, 2]}, halving: 10, factor: 1}", "its factor 2 or more"),
        ("{dimensions: {lr: [1, 2]}, halving: 10000}", "runs of 10000 steps end before"),
        ("{dimensions: {lr: 3}}", "train.learning_rate=3: nothing to choose from"),
        ("{dimensions: {learning_rate: [1, 2]}}", "did you mean train.learning_rate?"),
    ],
)
def test_what_a_file_cannot_say(tmp_path: Path, section: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"data: sample\nsweep: {section}\n")
    with pytest.raises(ConfigError) as caught:
        load_plan(str(file))
    assert message in str(caught.value)
