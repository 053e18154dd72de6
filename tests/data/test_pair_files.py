"""Which files are which side of the pairs, and which are never to be trained on."""

from pathlib import Path

import pytest

from empnn.data.pair_files import pair_files
from empnn.errors import ConfigError


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def named(found: list[tuple[Path, Path]], folder: Path) -> list[tuple[str, str]]:
    return [(str(first.relative_to(folder)), str(second.relative_to(folder))) for first, second in found]


@pytest.mark.parametrize(
    ("names", "train", "val"),
    [
        (["unrelaxed.extxyz", "relaxed.cif.gz", "notes.md"], [("unrelaxed.extxyz", "relaxed.cif.gz")], None),
        (["mine.csv.gz", ".hidden.csv"], [("mine.csv.gz", "mine.csv.gz")], None),
        (
            ["nb_train.json.gz", "nb_val.json.gz", "zintl_dev.json.gz", "README.md"],
            [("nb_train.json.gz",) * 2],
            [("nb_val.json.gz",) * 2],
        ),
        (
            ["train_unrelaxed.extxyz", "train_relaxed.extxyz", "val-relaxed.db", "val-unrelaxed.db", "other.csv"],
            [("train_unrelaxed.extxyz", "train_relaxed.extxyz")],
            [("val-unrelaxed.db", "val-relaxed.db")],
        ),
        (["a.csv", "a_test.csv", "b.parquet"], [("a.csv",) * 2, ("b.parquet",) * 2], None),
        (
            ["unrelaxed/b/POSCAR", "unrelaxed/a/POSCAR", "relaxed/a/POSCAR", "relaxed/b/POSCAR"],
            [("unrelaxed/a/POSCAR", "relaxed/a/POSCAR"), ("unrelaxed/b/POSCAR", "relaxed/b/POSCAR")],
            None,
        ),
        (["unrelaxed/a.vasp", "relaxed/a.cif"], [("unrelaxed/a.vasp", "relaxed/a.cif")], None),
    ],
)
def test_folders(
    tmp_path: Path, names: list[str], train: list[tuple[str, str]], val: list[tuple[str, str]] | None
) -> None:
    made(tmp_path, *names)
    assert named(pair_files(str(tmp_path)), tmp_path) == train
    if val is not None:
        assert named(pair_files(str(tmp_path), "val"), tmp_path) == val
    else:
        with pytest.raises(ConfigError, match=r"needs pairs named val, as val\.csv"):
            pair_files(str(tmp_path), "val")


def test_lists_files_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made(tmp_path, "a.cif", "b.cif", "c,d.csv", "r/1/POSCAR", "r/1/CONTCAR", "r/2/POSCAR", "e.csv"))
    made(tmp_path, "r/2/CONTCAR")
    two = [(Path("a.cif"), Path("b.cif"))]
    assert pair_files(["a.cif", "b.cif"]) == pair_files("a.cif, b.cif") == two
    assert pair_files("c,d.csv") == [(Path("c,d.csv"),) * 2]
    assert pair_files("*.csv") == [(Path("c,d.csv"),) * 2, (Path("e.csv"),) * 2]
    runs = [(Path(f"r/{number}/POSCAR"), Path(f"r/{number}/CONTCAR")) for number in (1, 2)]
    assert pair_files(["r/*/POSCAR", "r/*/CONTCAR"]) == runs


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere.csv", "data.pairs=nowhere.csv does not exist"),
        (["a.cif", "nowhere"], "data.pairs: nowhere does not exist"),
        ("a.cif", r"such a file cannot hold both sides of pairs; give a table with the columns cif_unrelaxed"),
        (["a.cif", "b.cif", "c.cif"], "data.pairs names 3 files"),
        ("empty", "no pairs to train on in this folder"),
        ("only_val", "no pairs to train on in this folder"),
        ("lonely", "unrelaxed.cif has no relaxed partner in lonely"),
        ("twice", "are the same side of the same pairs"),
        ("uneven", r"uneven/relaxed/c is on one side only"),
        (["uneven/unrelaxed/*.cif", "uneven/relaxed/*.cif"], "1 files in .* and 2 in "),
    ],
)
def test_what_is_no_set_of_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | list[str], message: str
) -> None:
    names = ("a.cif", "b.cif", "c.cif", "empty/x.md", "only_val/val.csv", "lonely/unrelaxed.cif")
    made(tmp_path, *names, "twice/unrelaxed.cif", "twice/unrelaxed.extxyz", "twice/relaxed.cif")
    monkeypatch.chdir(made(tmp_path, "uneven/unrelaxed/a.cif", "uneven/relaxed/a.cif", "uneven/relaxed/c.cif"))
    with pytest.raises(ConfigError, match=message):
        pair_files(given)


@pytest.mark.parametrize("given", ["a.csv", ["a.cif", "b.cif"]])
def test_only_a_folder_has_another_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.chdir(made(tmp_path, "a.csv", "a.cif", "b.cif"))
    with pytest.raises(ConfigError, match=r"needs a folder of pairs with a val split; a\.c.* is none"):
        pair_files(given, "val")
