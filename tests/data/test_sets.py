"""Finding data sets and carving a development set."""

import numpy as np
import pytest
from support import cif_texts as cif

from empnn.crystals import CrystalBatch, from_arrays
from empnn.data.curation.composition import carve_development
from empnn.data.sets import is_data_folder, load_split, locate, locate_all, origins, parts_of, resolve, split_file
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
    assert load_split(tmp_path, "train").ids == load_split(tmp_path / "train.csv", "val").ids == ("",)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A data folder, a folder of CIFs and a table, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    for name in ("set/train.csv", "set/val.csv", "a,b.csv", "c.csv"):
        (tmp_path / name).write_text(f'material_id,cif\n{name},"{cif.P1}"\n')
    (tmp_path / "cifs").mkdir()
    (tmp_path / "cifs/x.cif").write_text(cif.P1)
    return tmp_path


@pytest.mark.parametrize("path", [["set", "c.csv", "cifs"], "set,c.csv, cifs", ["set", "c.*", "cifs/*.cif"]])
def test_several_places(places, path):
    located = locate_all(path, None)
    assert load_split(located, "train").ids == ("set/train.csv", "c.csv", "CsZrNO2")
    assert load_split(located[:1], "val").ids == ("set/val.csv",)
    assert [is_data_folder(place) for place in located] == [True, False, False]


def test_a_comma_in_a_name_is_no_list(places):
    assert locate_all("a,b.csv", None) == [locate("a,b.csv", None)]


@pytest.mark.parametrize(
    ("path", "name", "message"),
    [
        (["set", "nowhere"], None, "data.path=nowhere does not exist"),
        (["set", "c.csv"], "mp_20", "data.name=mp_20 needs one data.path"),
        ([], None, "an empty list"),
        (["set", "mp_20"], None, "run `empnn data fetch mp_20`"),
        (None, None, "no data"),
    ],
)
def test_lists_that_are_none(places, monkeypatch, path, name, message):
    monkeypatch.delenv("EMPNN_DATA", raising=False)
    with pytest.raises(ConfigError, match=message):
        locate_all(path, name)


def test_a_path_that_exists_wins_over_the_name_of_a_set(places):
    packaged = locate(None, "sample")
    assert resolve("sample") == locate_all(["sample"], None)[0] == packaged
    (places / "sample").mkdir()
    assert str(resolve("sample")) == "sample"
    assert [part.name for part in parts_of("set")] == ["train.csv", "val.csv"]
    assert parts_of("c.csv") == [resolve("c.csv")]


@pytest.mark.parametrize("name", ["mp20", "MP-20", "mp_2"])
def test_the_name_of_a_set_in_another_spelling_is_suggested(places, monkeypatch, name):
    message = r"did you mean mp_20\?"
    for path, named in ((name, None), (None, name), (["set", name], None)):
        for data in ("", str(places)):
            monkeypatch.setenv("EMPNN_DATA", data)
            with pytest.raises(ConfigError, match=message):
                locate_all(path, named)
    for look in (resolve, parts_of):
        with pytest.raises(ConfigError, match=f"{name}: no such file or folder; {message}"):
            look(name)
    (places / name).write_text("")
    assert str(resolve(name)) == name


def test_nothing_is_suggested_for_a_path_that_is_like_no_set(places):
    assert str(resolve("candidates.cif")) == "candidates.cif"
    with pytest.raises(ConfigError, match=r"does not exist$"):
        locate("candidates.cif", None)


def test_the_sample_set_knows_where_its_crystals_come_from(places):
    named = origins("sample", "val")
    crystals = load_split(resolve("sample"), "val").crystals
    assert len(named) == len(crystals)
    carbon = [name == "carbon_24" for name in named]
    assert carbon == [bool((crystals.select([i]).numbers == 6).all()) for i in range(len(crystals))]
    assert origins("set", "val") == origins("c.csv", "val") == []


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
