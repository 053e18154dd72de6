"""Mixtures of corruptions: pure in seed and step, never from the development set, nothing where a weight is 0."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from empnn.corruption.source import BeforeAfter, Source
from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.metrics import relaxation_metrics
from empnn.training import run
from empnn.training.config import load_config
from empnn.training.options import Config
from empnn.training.sources import Corruptions

Mixed = Callable[..., tuple[Config, run.RunData]]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    cache = tmp_path_factory.mktemp("cache")

    def prepared(*overrides: str) -> tuple[Config, run.RunData]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EMPNN_CACHE", str(cache))
            config = load_config(None, ["data=sample", "data.dev_fraction=0.2", "train.batch_size=48", *overrides])
            return config, run.prepare(config)

    return prepared


ALL = ("noise.mix.symmetric=1", "noise.mix.decorated=1", "model.deform=[cell,positions]")


def reduced_formula(numbers: torch.Tensor) -> tuple[tuple[int, int], ...]:
    elements, counts = numbers.unique(return_counts=True)
    divisor = int(np.gcd.reduce(counts.numpy()))
    return tuple(zip(elements.tolist(), (counts // divisor).tolist(), strict=True))


def formulas(crystals: CrystalBatch) -> list[tuple[tuple[int, int], ...]]:
    return [reduced_formula(crystals.numbers[crystals.batch == i]) for i in range(len(crystals))]


def test_a_mixture_is_a_function_of_seed_and_step(mixed: Mixed) -> None:
    config, data = mixed(*ALL)
    first, second = (Corruptions(config, data.train).source() for _ in range(2))
    forward = [first(step) for step in range(3)]
    backward = [second(step) for step in reversed(range(3))][::-1]
    for one, other in zip(forward, backward, strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a.cell, b.cell)
            assert torch.equal(a.frac, b.frac)
    config.train.seed += 1
    assert not torch.equal(Corruptions(config, data.train).source()(0)[0].cell, forward[0][0].cell)


def test_every_step_has_the_batch_size_and_true_crystals_of_the_training_part(mixed: Mixed) -> None:
    config, data = mixed(*ALL)
    source = Corruptions(config, data.train).source()
    known = {tuple(np.round(cell.flatten(), 2)) for cell in data.train.cell.numpy()}
    held_out = {tuple(np.round(cell.flatten(), 2)) for cell in data.select.cell.numpy()}
    compositions = set(formulas(data.select.select(range(len(data.select)))))
    for step in range(4):
        before, after = source(step)
        assert len(before) == len(after) == 48
        assert torch.equal(before.numbers, after.numbers)
        found = {tuple(np.round(cell.flatten(), 2)) for cell in after.cell.numpy()}
        assert not found & (held_out - known)
        assert not set(formulas(after)) & (compositions - set(formulas(data.train.select(range(len(data.train))))))
        assert not torch.equal(before.cell, after.cell)


def test_decorated_crystals_are_validated_in_cells_of_the_training_part(mixed: Mixed) -> None:
    config, data = mixed(*ALL)
    sets = Corruptions(config, data.train).validation(data.select)
    assert list(sets) == ["strain", "symmetric", "decorated"]
    own = {tuple(np.round(cell.flatten(), 6)) for cell in data.select.cell.numpy()}
    before, after = sets["decorated"]
    assert 0 < len(after) <= len(data.select)
    assert {tuple(np.round(cell.flatten(), 6)) for cell in after.cell.numpy()} <= own
    assert relaxation_metrics(before, after, after).after["strain_mean"] < 1e-12
    assert relaxation_metrics(before, before, after).after["strain_mean"] > 0.02


def test_a_mixture_is_validated_on_other_kinds_if_told_so(mixed: Mixed) -> None:
    config, data = mixed("noise.mix.strain=1", "noise.mix.symmetric=0", "noise.mix.decorated=0")
    assert list(Corruptions(config, data.train).validation(data.select)) == ["strain"]
    config.train.validate_on = ["strain", "symmetric", "decorated"]
    sets = data.validation()
    every, _ = mixed(*ALL)
    others = Corruptions(every, data.train).validation(data.select)
    assert list(sets) == list(others)
    # What errors are fitted to is what is trained on.
    assert list(Corruptions(config, data.train).validation(data.select)) == ["strain"]
    for kind, (before, _) in sets.items():
        assert torch.equal(before.cell, others[kind][0].cell), kind


def test_some_crystals_may_have_nothing_wrong(mixed: Mixed) -> None:
    config, data = mixed("noise.mix.relaxed=1", "model.deform=[cell,positions]")
    before, after = Corruptions(config, data.train).source()(0)
    untouched = (before.cell == after.cell).all((1, 2))
    assert 0.3 < untouched.to(torch.float64).mean() < 0.7
    assert torch.equal(before.frac[untouched[before.batch]], after.frac[untouched[before.batch]])


def test_the_atoms_of_some_strained_crystals_may_stay(mixed: Mixed) -> None:
    config, data = mixed("noise.displaced=0.5", "model.deform=[cell,positions]")
    before, after = Corruptions(config, data.train).source()(0)
    moved = torch.zeros(len(after), dtype=torch.bool)
    moved[after.batch[(before.frac != after.frac).any(1)]] = True
    assert 0.3 < moved.to(torch.float64).mean() < 0.7
    assert (before.cell != after.cell).any((1, 2)).all()


def test_shares_follow_the_weights_and_weight_0_draws_nothing() -> None:
    drawn: dict[str, int] = {"a": 0, "b": 0, "never": 0}

    def kind(name: str) -> Callable[[np.ndarray, np.random.Generator], BeforeAfter]:
        def draw(chosen: np.ndarray, generator: np.random.Generator) -> BeforeAfter:
            drawn[name] += len(chosen)
            empty = CrystalBatch.cat([])
            return empty, empty

        return draw

    source = Source(100, [(kind("a"), 3.0), (kind("never"), 0.0), (kind("b"), 1.0)], batch_size=100, seed=0)
    for step in range(40):
        source(step)
    assert sum(drawn.values()) == 4000
    assert 0.70 < drawn["a"] / 4000 < 0.80
    assert drawn["never"] == 0


RELAXED = (20880.63908486365, 19673.781582303443, 20611.667290910067)


@pytest.mark.parametrize(
    ("preset", "strained"),
    [
        ("paper", (21024.7248757985, 19495.989220308322, 20693.638392708443)),
        ("paper-table1", (22165.770186968388, 19732.89582291593, 21677.804736371072)),
    ],
)
def test_strain_alone_draws_what_it_drew_before_there_were_other_kinds(
    preset: str, strained: tuple[float, ...]
) -> None:
    """The sums are those of the code that knew nothing but strain, whose cells were the same to the last bit."""
    source = run.prepare(load_config(preset, ["data=sample"])).corruptions.source()
    weights = torch.arange(1.0, 10.0, dtype=torch.float64).view(3, 3)
    for step, expected in enumerate(zip(strained, RELAXED, strict=True)):
        sums = [float((crystals.cell * weights).sum()) for crystals in source(step)]
        assert sums == pytest.approx(expected, rel=1e-13, abs=1e-8)


def test_a_kind_of_weight_0_is_not_even_made(mixed: Mixed, monkeypatch: pytest.MonkeyPatch) -> None:
    config, data = mixed(*ALL)
    config.noise.mix.symmetric = config.noise.mix.decorated = 0.0
    for kind in ("symmetric", "decorated", "given", "relaxed", "cube"):
        monkeypatch.setattr(Corruptions, kind, lambda self: pytest.fail("made"))
    assert len(Corruptions(config, data.train).source().kinds) == 1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["noise.mix.strain=0"], "all weights are 0"),
        (["noise.mix.strain=0", "noise.mix.relaxed=1"], "nothing but relaxed has a weight"),
        (["noise.mix.pairs=1"], "no pairs; give data.pairs"),
        (["noise.mix.strain=-1"], "noise.mix.strain=-1.0: must not be negative"),
    ],
)
def test_mixtures_that_cannot_be(mixed: Mixed, overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Corruptions(*mixed(*overrides)[:1], mixed()[1].train).source()


def test_a_set_of_one_element_has_no_partners(mixed: Mixed, tmp_path: Path) -> None:
    import ase.io
    from ase.build import bulk

    ase.io.write(tmp_path / "train.extxyz", [bulk("C", "diamond", a=3.4 + 0.01 * i) for i in range(20)])
    config, data = mixed(f"data.path={tmp_path / 'train.extxyz'}", "data.name=null", "noise.mix.decorated=1")
    with pytest.raises(ConfigError, match="a set of one element has none"):
        Corruptions(config, data.train).source()
