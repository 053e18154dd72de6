"""`empnn data stats`, `split` and `dedupe` as they are typed."""

import csv
import json
from pathlib import Path

import ase.io
import matplotlib.image
import numpy as np
import pytest
from ase.build import bulk
from support.relaxing import run, salt, triclinic

from empnn.data.reading import read
from empnn.data.sets import load_split

pytestmark = pytest.mark.filterwarnings("ignore:.*:Warning:pymatgen")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def metals():
    """Twelve metals, each as a primitive and as a cubic cell, and one that overlaps."""
    frames = []
    for number, symbol in enumerate(("Cu", "Ag", "Au", "Al", "Ni", "Pd", "Pt", "Pb", "Ca", "Sr", "Rh", "Ir")):
        for cubic in (False, True):
            atoms = bulk(symbol, "fcc", a=4.0, cubic=cubic)
            atoms.info = {"material_id": f"{symbol}-{cubic:d}", "gap": number / 8, "note": "soft"}
            frames.append(atoms)
    bad = salt("bad")
    bad.positions[1] = bad.positions[0]
    ase.io.write("metals.extxyz", [*frames[:5], bad, *frames[5:]])
    return frames


def data(*arguments, status=0):
    result = run("data", *arguments)
    assert result.exit_code == status, result.output
    return result


def test_stats(metals, here):
    result = data("stats", "metals.extxyz", "--plot", "metals.png", "--json")
    figures = json.loads(result.stdout)
    assert (figures["structures"], figures["refused"], figures["atoms"]) == (24, 1, 60)
    assert figures["atoms_per_cell"]["counts"] == {"1": 12, "4": 12}
    assert figures["elements"]["Cu"] == 2
    assert figures["compositions"] == figures["duplicates"]["distinct"] == figures["duplicates"]["duplicates"] == 12
    assert figures["volume_per_atom"]["median"] == pytest.approx(16)
    assert figures["lattice"]["a"]["max"] == pytest.approx(4)
    assert figures["lattice"]["alpha"]["min"] == pytest.approx(60)
    assert "metals.extxyz[5] (bad)" in result.stderr
    assert matplotlib.image.imread("metals.png").std() > 0.1
    assert sorted(p.name for p in here.iterdir()) == ["metals.extxyz", "metals.png"]


def test_stats_prints_a_table(metals):
    assert "12 (50.0%)" in data("stats", "metals.extxyz").stdout
    assert data("stats", "metals.extxyz", "--quiet").output == ""
    result = data("stats", "sample")
    assert result.stdout.splitlines()[0].split() == ["sample/train.csv.gz", "481", "structures"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stats", "nothing"], "nothing: no such file"),
        (["stats", "metals.extxyz", "--plot", "a.txt"], "a.txt: the name tells no format of pictures"),
        (["stats", "mp_20"], "run `empnn data fetch mp_20`"),
        (["split", "metals.extxyz", "-o", "metals.extxyz"], "metals.extxyz: it is a file"),
        (["split", "metals.extxyz", "-o", "a/b"], "does not exist; create it"),
        (["split", "metals.extxyz", "-o", "a", "--by", "colour"], "--by colour: must be one of random,"),
        (["split", "metals.extxyz", "-o", "a", "--format", "odd"], "--format odd: must be one of csv.gz,"),
        (["split", "metals.extxyz", "-o", "a", "--fractions", "0.5,0.2"], "must be two or three numbers that add up"),
        (["split", "metals.extxyz", "-o", "a", "--fractions", "x"], "must be two or three numbers that add up"),
        (["split", "metals.extxyz", "-o", "a", "--fractions", "0,1"], "for train, must be more than 0"),
        (["split", "one.extxyz", "-o", "a"], "1 structures in 1 groups cannot be divided into 3 splits"),
        (["dedupe", "metals.extxyz", "-o", "metals.extxyz"], "metals.extxyz is also an input"),
        (["dedupe", "metals.extxyz", "-o", "a.cif", "--groups", "metals.extxyz"], "metals.extxyz is also an input"),
        (["dedupe", "metals.extxyz", "-o", "a.cif", "--groups", "a.cif"], "a.cif is named as two outputs"),
        (["dedupe", "metals.extxyz", "-o", "a.cif", "--groups", "a/b.csv"], "a/b.csv: the folder a does not exist"),
        (["dedupe", "metals.extxyz", "-o", "a.vasp"], "a.vasp: this format holds one structure"),
        (["stats", "picture.png", "--plot", "picture.png"], "picture.png is also an input"),
        (["dedupe", "metals.extxyz", "-o", "a.odd"], "tells no format to write"),
        (["dedupe", "nothing", "-o", "a.cif"], "nothing[0]: no such file"),
    ],
)
def test_mistakes_get_one_line(metals, here, monkeypatch, arguments, message):
    monkeypatch.delenv("EMPNN_DATA", raising=False)
    ase.io.write("one.extxyz", salt())
    result = data(*arguments, status=1)
    (line,) = result.stderr.splitlines()
    assert message in line
    assert sorted(p.name for p in here.iterdir()) == ["metals.extxyz", "one.extxyz"]


@pytest.mark.parametrize("ending", ["csv.gz", "extxyz", "parquet"])
@pytest.mark.parametrize("by", ["composition", "duplicates"])
def test_split(metals, here, ending, by):
    arguments = ["metals.extxyz", "--by", by, "--fractions", "0.5,0.25,0.25", "--format", ending, "--seed", "3"]
    summary = json.loads(data("split", *arguments, "-o", "new", "--json", status=1).stdout)
    assert (summary["groups"], summary["skipped"], summary["by"]) == (12, 1, by)
    symbols, infos = [], {}
    for split, expected in (("train", 12), ("val", 6), ("test", 6)):
        assert summary["splits"][split] == {"file": f"new/{split}.{ending}", "structures": expected}
        records = list(read(here / "new" / f"{split}.{ending}"))
        assert len(records) == expected == len(load_split("new", split).ids)
        symbols.append({record.atoms.symbols[0] for record in records})
        infos |= {record.id: record.atoms.info for record in records}
    assert sum(map(len, symbols)) == len(set.union(*symbols)) == 12
    for atoms in metals:
        assert infos[atoms.info["material_id"]] == atoms.info
    data("split", *arguments, "-o", "again", status=1)
    for split in ("train", "val", "test"):
        assert load_split("new", split).ids == load_split("again", split).ids


def test_split_at_random_in_two(metals, here):
    result = data("split", "metals.extxyz", "-o", "new", "--by", "random", "--fractions", "0.75,0.25", status=1)
    assert "wrote 18 train, 6 val to new; 1 skipped" in result.stderr
    assert sorted(p.name for p in (here / "new").iterdir()) == ["train.csv.gz", "val.csv.gz"]
    assert "holds splits already" in data("split", "metals.extxyz", "-o", "new", status=1).stderr


def test_a_split_that_cannot_be_written_leaves_nothing(metals, here, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("empnn.data.writing._open", full)
    result = data("split", "metals.extxyz", "-o", "new", status=1)
    assert result.stderr == "empnn: new: cannot be written (No space left on device)\n"
    assert sorted(p.name for p in here.iterdir()) == ["metals.extxyz"]


def test_dedupe(metals):
    result = data("dedupe", "metals.extxyz", "-o", "unique.extxyz", "--groups", "groups.csv", "--json", status=1)
    figures = json.loads(result.stdout)
    assert (figures["structures"], figures["kept"], figures["duplicates"], figures["skipped"]) == (24, 12, 12, 1)
    assert [member["id"] for member in figures["groups"][0]] == ["Cu-0", "Cu-1"]
    assert figures["tolerances"] == {"ltol": 0.2, "stol": 0.3, "angle_tol": 5.0, "scale": True}
    kept = list(read(Path("unique.extxyz")))
    assert [r.id for r in kept] == [atoms.info["material_id"] for atoms in metals[::2]]
    assert [r.atoms.info for r in kept] == [atoms.info for atoms in metals[::2]]
    rows = list(csv.DictReader(Path("groups.csv").read_text().splitlines()))
    assert [(r["group"], r["kept"], r["index"]) for r in rows[4:6]] == [("2", "true", "4"), ("2", "false", "6")]
    assert "12 of 24 are unique (50.0%); 1 skipped; wrote 12 to unique.extxyz" in result.stderr


def test_dedupe_tells_volumes_apart_if_asked_to(here):
    larger = triclinic("b")
    larger.set_cell(larger.cell.array * 1.4, scale_atoms=True)
    ase.io.write("a.extxyz", [triclinic("a"), larger, triclinic("c")])
    assert "1 of 3" in data("dedupe", "a.extxyz", "-o", "b.cif").stderr
    again = data("dedupe", "a.extxyz", "-o", "b.cif", "--no-scale").stderr
    assert "2 of 3" in again
    assert "wrote 2 to b.cif, in place of what was there" in again
    assert data("dedupe", "a.extxyz", "-o", "b.cif", "--quiet").output == ""
    assert np.allclose(next(read("b.cif")).atoms.cell.cellpar(), triclinic().cell.cellpar(), atol=1e-6)
