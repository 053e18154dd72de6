"""Results are found by all that they depend on, and a damaged one is noticed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.calculators import CELL, EMT_PATH, strained_copper

from empnn.energy import OracleRelaxation, Result, load_oracle
from empnn.energy.store import Store, key_of
from empnn.errors import ConfigError, CrystalError

RESULT = Result(energy=-1.5, n_atoms=2, cell=np.eye(3).tolist(), stress=[0.0] * 6, steps=3, converged=False)


@pytest.fixture
def oracle():
    return load_oracle(EMT_PATH)


@pytest.fixture
def store(tmp_path, oracle):
    store = Store(tmp_path / "store")
    store.put("ab12", oracle, CELL, RESULT)
    return store


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="it is a file; name a folder"):
        Store(tmp_path / "file")


def test_what_is_not_finite_is_no_result():
    with pytest.raises(CrystalError, match="its stress comes out as NaN or infinite"):
        replace(RESULT, stress=[float("inf")] * 6)


def test_what_was_put_comes_back(store):
    assert store.get("ab12") == RESULT
    assert store.get("ab13") is None
    assert store.damaged == []
    assert [path.name for path in store.folder.rglob("*") if path.is_file()] == ["ab12.json"]


def test_the_file_says_what_it_is(store):
    entry = json.loads((store.folder / "ab/ab12.json").read_text())
    assert entry["oracle"]["name"] == EMT_PATH
    assert entry["relaxation"] == CELL.settings


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace("-1.5", "-1.6"),
        lambda text: "[]",
        lambda text: '{"checksum": "", "result": {}}',
        lambda text: "\x00\xff" * 10,
    ],
)
def test_damage_is_noticed(store, damage):
    path = store.folder / "ab/ab12.json"
    path.write_text(damage(path.read_text()))
    assert store.get("ab12") is None
    assert store.damaged == [path]


def test_key_depends_on_all_that_decides(oracle):
    atoms = strained_copper()
    key = key_of(atoms, oracle, CELL)
    assert key == key_of(atoms.copy(), load_oracle(EMT_PATH), CELL)
    moved, stretched, other = atoms.copy(), atoms.copy(), atoms.copy()
    moved.positions[0, 0] += 1e-9
    stretched.cell[2, 2] += 1e-9
    other.numbers[0] = 79
    keys = {key_of(changed, oracle, CELL) for changed in (moved, stretched, other)}
    keys |= {
        key_of(atoms, oracle, relaxation)
        for relaxation in (OracleRelaxation(), OracleRelaxation(mode="cell", fmax=0.01))
    }
    keys.add(key_of(atoms, load_oracle(EMT_PATH, {"asap_cutoff": True}), CELL))
    assert len(keys | {key}) == 7


def test_limits_do_not_matter_where_nothing_relaxes(oracle):
    assert key_of(strained_copper(), oracle, OracleRelaxation()) == key_of(
        strained_copper(), oracle, OracleRelaxation(fmax=0.5)
    )
