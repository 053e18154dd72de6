"""Finding data sets and carving a development set."""

import cif_texts as cif
import numpy as np
import pytest

from empnn.crystals import CrystalBatch, from_arrays
from empnn.data.sets import carve_development, load_split, locate, split_file
from empnn.errors import ConfigError


def crystals(compositions):
    """One crystal for each tuple of atomic numbers."""
    made = [
        from_arrays(np.eye(3) * 4, np.linspace(0, 0.9, 3 * len(c)).reshape(-1, 3), np.array(c)) for c in compositions
    ]
    return CrystalBatch.cat(made)


def test_split_file(tmp_path):
    with pytest.raises(ConfigError, match=r"no val\.csv"):
        split_file(tmp_path, "val")
    (tmp_path / "val.csv.gz").touch()
    assert split_file(tmp_path, "val").name == "val.csv.gz"


def test_locate(tmp_path, monkeypatch):
    monkeypatch.delenv("EMPNN_DATA", raising=False)
    (tmp_path / "mp_20").mkdir()
    assert locate(str(tmp_path), "mp_20") == tmp_path / "mp_20"
    assert locate(str(tmp_path / "mp_20"), "mp_20") == tmp_path / "mp_20"
    assert locate(str(tmp_path), None) == tmp_path
    for path, name in [(None, None), (None, "mp_20"), (str(tmp_path), "perov_5"), (str(tmp_path / "x"), None)]:
        with pytest.raises(ConfigError):
            locate(path, name)
    monkeypatch.setenv("EMPNN_DATA", str(tmp_path))
    assert locate(None, "mp_20") == tmp_path / "mp_20"


def test_a_file_is_its_own_split(tmp_path):
    (tmp_path / "train.csv").write_text(f'cif\n"{cif.P1}"\n')
    assert load_split(tmp_path, "train").ids == load_split(tmp_path / "train.csv", "val").ids == ("0",)


def test_development_set_holds_unseen_compositions():
    compositions = [(z,) * (1 + i % 3) for z in range(1, 41) for i in range(4)]
    batch = crystals(compositions)
    train, held_out = carve_development(batch, 0.1, seed=3)
    assert sorted([*train, *held_out]) == list(range(len(batch)))
    assert 8 <= len(held_out) <= 16
    assert not {compositions[i][0] for i in train} & {compositions[i][0] for i in held_out}
    again = carve_development(batch, 0.1, seed=3)[1]
    assert np.array_equal(held_out, again)
    assert not np.array_equal(held_out, carve_development(batch, 0.1, seed=4)[1])


def test_one_composition_is_drawn_singly():
    train, held_out = carve_development(crystals([(6,)] * 40), 0.1, seed=0)
    assert (len(train), len(held_out)) == (36, 4)


@pytest.mark.parametrize("seed", range(5))
def test_few_large_compositions(seed):
    train, held_out = carve_development(crystals([(1,)] * 15 + [(2,)] * 3 + [(3,)] * 12), 0.05, seed)
    assert len(held_out) == 3
    assert len(train) == 27


def test_too_few():
    with pytest.raises(ConfigError, match="too few"):
        carve_development(crystals([(1,)]), 0.05, 0)
