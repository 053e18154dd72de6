"""Calibration: on crystals of its own, with bounds that hold for others, and absent where there are too few."""

import json
from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch

from empnn.crystals import CrystalBatch, to_atoms
from empnn.data.curation.composition import composition_groups
from empnn.data.sets import load_split, locate
from empnn.nn.error_head import ErrorHead
from empnn.relax import load
from empnn.training import calibration, error_fit, run
from empnn.training.config import load_config
from empnn.training.data import LEAST_CALIBRATION, prepare
from empnn.training.error_fit import fit_errors
from empnn.training.report import Reporter

SMALL = (
    *("model.features=16", "model.message_layers=1", "model.action_layers=2", "model.radial.count=8"),
    *("train.workers=0", "train.warmup_steps=2", "train.threads=1"),
)
KEYS = ("data.dev_fraction=0.2", "train.steps=4", "train.validate_every=4", "train.batch_size=8")


@pytest.fixture(scope="module")
def compounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The crystals of the sample that are not all of one composition, as a setting."""
    folder = tmp_path_factory.mktemp("calibration")
    sample = load_split(locate(None, "sample"), "train").crystals
    several = [
        i for i, numbers in enumerate(np.split(sample.numbers.numpy(), sample.starts[1:-1])) if set(numbers) != {6}
    ]
    ase.io.write(folder / "train.extxyz", to_atoms(sample.select(several)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMPNN_CACHE", str(folder / "cache"))
        yield f"data={folder / 'train.extxyz'}"


def synthetic(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Signals, the first of which tells the size of errors that are drawn from exponential distributions."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    drawn = torch.empty(n, 2, dtype=torch.float64).exponential_(generator=generator)
    return found, drawn * found[:, :1].exp()


def test_bounds_hold_for_others_and_errors_are_ordered() -> None:
    torch.manual_seed(0)
    head = ErrorHead(8, 3, 2)
    head.learn_scale(*synthetic(3000, 0))
    fit_errors(head, *synthetic(3000, 0))
    calibration._set_margins(head, {"any": synthetic(1500, 1)})
    found, errors = synthetic(4000, 2)
    with torch.inference_mode():
        expected, bounds = head.predict(found)
    held = (errors <= bounds).double()
    assert (held.mean(0) - 0.9).abs().max() < 0.025
    for third in found[:, 0].argsort().chunk(3):
        assert (held[third].mean(0) - 0.9).abs().max() < 0.06
    assert torch.corrcoef(torch.stack([expected[:, 0].log(), found[:, 0]]))[0, 1] > 0.95
    assert expected[:, 0].mean() == pytest.approx(float(errors[:, 0].mean()), rel=0.2)
    constant = errors.quantile(0.9, dim=0)
    assert (bounds.mean(0) < 0.9 * constant).all()


def test_margins_are_those_of_all_where_one_kind_is_rare() -> None:
    head = ErrorHead(8, 3, 2).eval()
    found, errors = synthetic(500, 3)
    found[:, -4] = 0.0
    found[:20, -4] = 1.0
    calibration._set_margins(head, {"any": (found, errors)})
    assert torch.isfinite(head.margins).all()
    assert not torch.equal(head.margins[0], head.margins[1])


def test_calibration_crystals_are_apart(compounds: str) -> None:
    config = load_config(None, [compounds, *KEYS, "data.calibration_fraction=0.45"])
    data = prepare(config)
    without = prepare(load_config(None, [compounds, *KEYS, "data.calibration_fraction=0"]))
    assert data.calibration is not None
    assert without.calibration is None
    assert np.array_equal(without.held_out[0].positions, data.held_out[0].positions)
    parts = [data.train, data.held_out[0], data.calibration[0]]
    assert sum(map(len, parts)) == len(without.train) + len(without.held_out[0])
    every = [part.select(np.arange(len(part))) for part in parts]
    groups = composition_groups(CrystalBatch.cat(every))
    ends = np.cumsum([len(part) for part in parts])
    inside = [set(some.tolist()) for some in np.split(groups, ends[:-1])]
    assert not inside[0] & inside[1]
    assert not inside[0] & inside[2]
    assert not inside[1] & inside[2]


def test_a_run_ends_with_bounds_or_says_why_not(
    compounds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(error_fit, "_STEPS", 20)
    monkeypatch.setattr(calibration, "_DRAWS", 1)
    monkeypatch.setattr(calibration, "LEAST_FIT", 10)
    settings = [compounds, *KEYS, *SMALL]
    config = load_config(None, [*settings, "data.calibration_fraction=0.45", f"train.out={tmp_path / 'a'}"])
    folder = run.train(config, Reporter())
    assert "without bounds" not in capsys.readouterr().err
    said = json.loads((folder / "best" / "card.json").read_text())["errors"]
    assert said["holds_for"] == ["strain", "relaxed"]
    assert said["calibrated_by"] >= LEAST_CALIBRATION
    assert 0.6 < said["coverage"]["strain"]["volume"] <= 1
    relaxer = load(folder)
    assert relaxer.error_head is not None
    assert bool(torch.isfinite(relaxer.error_head.margins).all())
    other = run.train(load_config(None, [*settings, f"train.out={tmp_path / 'b'}"]), Reporter())
    assert "without bounds: fewer than 100 crystals" in capsys.readouterr().err
    head = load(other).error_head
    assert head is not None
    assert bool(head.margins.isnan().all())


def test_rare_elements_are_those_of_few_crystals_of_many(monkeypatch: pytest.MonkeyPatch, compounds: str) -> None:
    data = prepare(load_config(None, [compounds, *KEYS]))
    counts = data.train.structures_with
    crystals = data.train.select(np.arange(len(data.train)))
    assert counts[8] == len(set(crystals.batch[crystals.numbers == 8].tolist()))
    assert list(counts) == data.elements
    assert data.rare_elements == {}
    monkeypatch.setattr("empnn.training.data.RARE_PART", 1.0)
    assert data.rare_elements == {number: n for number, n in counts.items() if n < 20} != {}
