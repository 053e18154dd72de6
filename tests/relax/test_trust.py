"""Predicted errors in results, files and statuses."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from support.relaxing import run, salt, tiny_network, triclinic

import empnn
from empnn import models
from empnn.checks.doubts import LARGE_ERRORS, doubtful_errors
from empnn.crystals import CrystalBatch, to_batch
from empnn.errors import ConfigError
from empnn.nn.error_head import ErrorHead
from empnn.relax import Relaxer
from empnn.relax.passes import apply_passes

NETWORK = tiny_network(deform=["cell", "positions"])
LARGE = "its volume may be off by 50 % (one in ten such answers is by more)"


def head(volume: float = 0.05, margins: float = 0.7) -> ErrorHead:
    """One that says the same of every crystal, but for a little."""
    crystals = CrystalBatch.cat([to_batch(salt()), to_batch(triclinic())])
    found = apply_passes(NETWORK, crystals, 1).signals(crystals)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = ErrorHead(found.shape[1], NETWORK.config.features, 3).eval()
    made.learn_scale(found, torch.tensor([[0.05, volume, 0.01]], dtype=torch.float64).expand(2, 3))
    made.margins.fill_(margins)
    with torch.no_grad():
        made.layers[-1].weight.mul_(0.01)
        made.layers[-1].bias.zero_()
    return made


def model(folder: Path, error_head: ErrorHead | None) -> Path:
    models.save(folder, NETWORK, {"data": "nothing"})
    if error_head is not None:
        models.save_error_head(folder, error_head)
    return folder


def test_results_carry_predicted_errors() -> None:
    relaxer = Relaxer(NETWORK, {}, error_head=head())
    one, (first, second, third) = relaxer.relax(salt()), relaxer.relax([salt(), triclinic(), None])
    assert one.errors is not None
    # The last digits depend on what else is in the batch, on some processors.
    assert first.errors.as_dict() == pytest.approx(one.errors.as_dict(), rel=1e-9)
    assert one.errors.volume == pytest.approx(0.05, rel=0.1)
    assert one.errors.volume_90 == pytest.approx(0.05 * np.exp(0.7), rel=0.1)
    assert second.errors != first.errors
    assert third.errors is None
    assert list(one.as_dict()["errors"]) == ["length", "length_90", "volume", "volume_90", "position", "position_90"]
    table = relaxer.relax([salt(), None]).to_dataframe()
    assert table["error_position_90"].tolist() == [
        pytest.approx(0.01 * np.exp(0.7), rel=0.1),
        pytest.approx(np.nan, nan_ok=True),
    ]
    assert one.status == "relaxed"


def test_more_passes_change_the_answer_and_not_what_is_said_of_it() -> None:
    relaxer = Relaxer(NETWORK, {}, error_head=head())
    assert relaxer.relax(triclinic(), passes=2).errors == relaxer.relax(triclinic()).errors


def test_without_a_head_or_margins_a_model_still_relaxes() -> None:
    bare, unbounded = Relaxer(NETWORK, {}), Relaxer(NETWORK, {}, error_head=head(margins=np.nan))
    assert bare.relax(salt()).errors is None
    found = unbounded.relax(salt())
    assert found.errors is not None
    assert list(found.errors.as_dict()) == ["length", "volume", "position"]
    assert found.status == "relaxed"
    assert "error_volume" not in bare.relax([salt()]).to_dataframe()


def test_what_is_no_number_is_not_said() -> None:
    unbounded, lost = head(margins=float("inf")), head()
    lost.level.fill_(float("nan"))
    told, nothing = (Relaxer(NETWORK, {}, error_head=one).relax(salt()).errors for one in (unbounded, lost))
    assert told is not None
    assert list(told.as_dict()) == ["length", "volume", "position"]
    assert nothing is not None
    assert nothing.as_dict() == {}


def test_nothing_is_said_of_what_stays() -> None:
    relaxer = Relaxer(NETWORK, {}, error_head=head())
    held, still = relaxer.relax(salt(), fix="cell").errors, relaxer.relax(salt(), fix="positions").errors
    assert held is not None
    assert still is not None
    assert set(held.as_dict()) == {"position", "position_90"}
    assert set(still.as_dict()) == {"length", "length_90", "volume", "volume_90"}


def test_large_bounds_make_an_answer_suspect() -> None:
    found = Relaxer(NETWORK, {}, error_head=head(volume=50 / np.exp(0.7))).relax(salt())
    assert found.status == "suspect"
    assert found.warnings == [pytest.approx(LARGE)] or found.warnings[0].startswith("its volume may be off by")
    assert doubtful_errors({"volume_90": 50.0}) == [LARGE]
    assert doubtful_errors({name: limit for name, (limit, _, _) in LARGE_ERRORS.items()}) == []
    assert len(doubtful_errors({name: 2 * limit for name, (limit, _, _) in LARGE_ERRORS.items()})) == 3


def test_files_and_json_carry_them(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "in.extxyz", [salt("mp-1"), triclinic("mp-2")])
    folder, out = model(tmp_path / "model", head()), tmp_path / "out.extxyz"
    assert run("relax", str(tmp_path / "in.extxyz"), "-o", str(out), "--model", str(folder)).exit_code == 0
    first, second = ase.io.read(out, ":")
    expected = empnn.load(folder).relax([salt(), triclinic()])
    for atoms, one in zip((first, second), expected, strict=True):
        assert one.errors is not None
        told = {name: atoms.info[f"empnn_error_{name}"] for name in one.errors.as_dict()}
        assert told == pytest.approx(one.errors.as_dict(), abs=1e-6)
    # Another model without a head takes the old figures away.
    bare = model(tmp_path / "bare", None)
    again = tmp_path / "again.extxyz"
    assert run("relax", str(out), "-o", str(again), "--model", str(bare), "--json").exit_code == 0
    assert not [name for name in ase.io.read(again).info if name.startswith("empnn_error")]


def test_a_head_belongs_to_its_weights(tmp_path: Path) -> None:
    folder = model(tmp_path, head())
    with_head = empnn.load(folder)
    assert with_head.error_head is not None
    models.save(folder, NETWORK, {})
    assert empnn.load(folder).error_head is None
    assert empnn.load(folder).digest() != with_head.digest()
    (folder / "errors.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="damaged model"):
        empnn.load(folder)
    assert json.loads((folder / "card.json").read_text()) == {}
