"""What changed, as `empnn relax` says it: columns, JSON, info, last lines, and reports."""

import csv
import errno
import json
import os
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from support.relaxing import run, salt, tiny_network, told, triclinic

from empnn import models
from empnn.data.reading import read
from empnn.nn.error_head import ErrorHead
from empnn.relax import PredictedErrors, Relaxation, load
from empnn.relax.changes import COLUMNS, GROUPS, columns
from empnn.relax.files import KEPT

BAD = "in.extxyz[2] (mp-2): atoms 0 and 1 overlap (0.040 angstrom apart); remove or move one"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    models.save(folder, tiny_network(deform=["cell", "positions"]), {"elements": [1, 8, 11, 16, 17, 29]})
    return str(folder)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def relax(model):
    return lambda *arguments: run("relax", "--model", model, *arguments)


@pytest.fixture
def given():
    """Good, good, overlapping, and suspect for its element."""
    overlapping = Atoms("Na2", scaled_positions=[[0, 0, 0], [0.01, 0, 0]], cell=[4, 4, 4], pbc=True)
    overlapping.info["material_id"] = "mp-2"
    frames = [salt("mp-0"), triclinic("mp-1"), overlapping, Atoms("U", cell=[3, 3, 3], pbc=True)]
    ase.io.write("in.extxyz", frames)
    return ase.io.read("in.extxyz", ":")


@pytest.fixture
def expected(model, given):
    """What changed, by Python."""
    many = load(model).relax(given)
    found = []
    for one in many:
        groups = dict(zip(GROUPS, one.space_groups(), strict=True))
        found.append(one.change and {**columns(vars(one.change)), **groups})
    return found


def same(found, wanted):
    numbers = [name for name in COLUMNS if name in found]
    assert {name: found[name] for name in numbers} == pytest.approx({name: wanted[name] for name in numbers}, abs=1e-5)
    assert [found.get(name) for name in GROUPS] == [wanted[name] for name in GROUPS]


@pytest.mark.parametrize("output", ["out.csv", "out.parquet", "out.feather"])
def test_tables_have_all_columns(relax, expected, output):
    assert relax("in.extxyz", "-o", output).exit_code == 1
    rows = [record.atoms.info for record in read(Path(output))]
    for row, wanted in zip(rows, filter(None, expected), strict=True):
        found = {name.removeprefix("empnn_"): value for name, value in row.items() if name.startswith("empnn_")}
        assert set(found) - {"status", "source", "warnings"} == {*COLUMNS, *GROUPS}
        same(found, wanted)


def test_other_formats_have_a_few(relax, expected):
    relax("in.extxyz", "-o", "out.extxyz", "--space-groups")
    for atoms, wanted in zip(ase.io.read("out.extxyz", ":"), filter(None, expected), strict=True):
        found = {name.removeprefix("empnn_"): value for name, value in atoms.info.items() if name.startswith("empnn_")}
        assert set(found) - {"status", "source", "warnings"} == set(KEPT)
        same(found, wanted)


@pytest.mark.usefixtures("given")
@pytest.mark.parametrize(
    ("arguments", "looked_for"),
    [
        (["-o", "out.extxyz"], 0),
        (["-o", "-"], 0),
        (["-o", "out.csv", "--no-space-groups"], 0),
        (["-o", "out.extxyz", "--report", "r.csv", "--json", "--no-space-groups"], 0),
        (["-o", "out.extxyz", "--report", "r.html"], 3),
        (["-o", "out.extxyz", "--json"], 3),
        (["-o", "out.parquet"], 3),
        (["-o", "-", "--space-groups"], 3),
    ],
)
def test_space_groups_are_looked_for_where_they_are_shown(relax, monkeypatch, arguments, looked_for):
    """They take as long as relaxing."""
    calls = []
    look = Relaxation.space_groups
    monkeypatch.setattr(Relaxation, "space_groups", lambda self: calls.append(1) or look(self))
    relax("in.extxyz", *arguments)
    assert len(calls) == looked_for


def test_what_an_earlier_run_said_is_not_left(relax, given):
    """Relaxed again, without space groups and into another format; and refused."""
    given[2].info |= {"empnn_strain": 7.0, "empnn_space_group_after": "X"}
    given[0].info |= {"empnn_a_before": 7.0, "empnn_space_group_before": "X", "empnn_volume_change": "X"}
    ase.io.write("in.extxyz", given)
    relax("in.extxyz", "-o", "out.extxyz", "--keep-failed")
    first, _, failed, _ = (atoms.info for atoms in ase.io.read("out.extxyz", ":"))
    assert "empnn_a_before" not in first
    assert "empnn_space_group_before" not in first
    assert abs(first["empnn_volume_change"]) < 100
    assert [key for key in failed if key.startswith("empnn_")] == ["empnn_status", "empnn_source"]


def test_json(relax, expected):
    result = relax("in.extxyz", "-o", "out.extxyz", "--json")
    structures = json.loads(result.stdout)["structures"]
    assert [one["change"] is None for one in structures] == [False, False, True, False]
    for one, wanted in zip(structures, expected, strict=True):
        if one["change"] is not None:
            same(columns(one["change"]), wanted)
            assert len(one["change"]["cell_after"]) == 6


def test_the_last_lines(relax, given, expected):
    result = relax("in.extxyz", "-o", "out.extxyz")
    bad, volume, moved, suspect, last = result.stderr.splitlines()
    changes = {i: one["volume_change"] for i, one in enumerate(expected) if one}
    most = max(changes, key=lambda i: abs(changes[i]))
    name = given[most].info.get("material_id", f"in.extxyz[{most}]")
    median = np.median(np.abs(list(changes.values())))
    assert bad == BAD
    assert volume == f"volume changed by: {median:.1f} % in the median, {changes[most]:+.1f} % at most ({name})"
    assert moved.startswith("atoms moved by: ")
    assert suspect == "suspect: in.extxyz[3] (elements not in the training data: U)"
    assert last.startswith("3 relaxed (1 suspect: ")
    assert relax("in.extxyz", "-o", "out.extxyz", "--quiet").stderr.splitlines() == [BAD]


def test_a_stream_stays_a_stream(relax, expected):
    result = relax("in.extxyz", "-o", "-", "--report", "r.csv")
    Path("out.extxyz").write_text(result.stdout)
    assert len(ase.io.read("out.extxyz", ":")) == 3
    assert result.stderr.splitlines()[-1].endswith("; wrote 3 to stdout, and what changed to r.csv")
    assert len(pd.read_csv("r.csv")) == len(expected)


def test_a_report_in_csv(relax, expected, here):
    result = relax("in.extxyz", "-o", "out.extxyz", "--report", "r.csv")
    assert told(result.stderr)[-1].endswith("; wrote 3 to out.extxyz, and what changed to r.csv")
    with Path("r.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["status"] for row in rows] == ["relaxed", "relaxed", "refused", "suspect"]
    assert [row["id"] for row in rows] == ["mp-0", "mp-1", "mp-2", ""]
    assert f"in.extxyz[2] (mp-2): {rows[2]['message']}" == BAD
    for row, wanted in zip(rows, expected, strict=True):
        if wanted is not None:
            same({**row, **{name: float(row[name]) for name in COLUMNS}}, wanted)
    assert sorted(path.name for path in here.iterdir()) == ["in.extxyz", "out.extxyz", "r.csv"]


def test_a_report_in_html(relax, given, here):
    (here / "r.html").write_text("old")
    assert relax("in.extxyz", "-o", "out.extxyz", "--report", "r.html", "-q").stderr.splitlines() == [BAD]
    page = (here / "r.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 1 + len(given)
    assert page.count("<svg") == 3
    assert page.index("Look at these first") < page.index("elements not in the training data: U")
    assert sorted(path.name for path in here.iterdir()) == ["in.extxyz", "out.extxyz", "r.html"]


@pytest.mark.usefixtures("given")
def test_large_crystals_are_not_drawn(relax, monkeypatch):
    monkeypatch.setattr("empnn.relax.files.MOST_ATOMS", 2)
    relax("in.extxyz", "-o", "out.extxyz", "--report", "r.html")
    page = Path("r.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "mp-1 before and after" not in page


@pytest.mark.usefixtures("given")
@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("r.txt", "r.txt: the name tells no kind of report; use .html or .csv"),
        ("-", "-: the name tells no kind of report; use .html or .csv"),
        ("no/r.html", "no/r.html: the folder no does not exist; create it"),
        ("folder.csv", "folder.csv: it is a folder; name a file in it"),
        ("out.csv", "out.csv is named as two outputs; choose another for one"),
        ("in.csv", "in.csv is also an input; choose another output"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_done(here, monkeypatch, report, message):
    (here / "folder.csv").mkdir()
    (here / "in.csv").write_text("cif\n")
    monkeypatch.setattr("empnn.relax.load", lambda *arguments: pytest.fail("it began to work"))
    result = run("relax", "in.extxyz", "in.csv", "-o", "out.csv", "--report", report)
    assert (result.exit_code, result.stderr.splitlines()) == (1, [f"empnn: {message}"])
    assert not Path("out.csv").exists()


@pytest.mark.usefixtures("given")
def test_a_disk_that_fills_up_leaves_the_old_report(relax, monkeypatch, here):
    (here / "r.html").write_text("old")
    write = Path.write_text

    def full(path, text, **options):
        if path.name.endswith("r.html"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    result = relax("in.extxyz", "-o", "out.extxyz", "--report", "r.html")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "empnn: r.html: cannot be written (No space left on device)"
    assert (here / "r.html").read_text() == "old"
    assert sorted(path.name for path in here.iterdir()) == ["in.extxyz", "out.extxyz", "r.html"]


@pytest.mark.parametrize("report", ["r.csv", "r.html"])
def test_a_run_that_goes_on_reports_what_one_that_never_stopped_reports(relax, monkeypatch, report):
    monkeypatch.setattr("empnn.bulk.resumable.RECORDS", 4)
    monkeypatch.setattr("empnn.bulk.pipeline.CHUNK", 4)
    frames = []
    for index in range(30):
        frames.append(triclinic(f"mp-{index}"))
        frames[-1].set_cell(frames[-1].cell.array * (0.9 + 0.2 * np.sin(7 * index) ** 2), scale_atoms=True)
    frames[22].positions[0] = frames[22].positions[1]
    ase.io.write("in.extxyz", frames)
    arguments = ["in.extxyz", "-o", "out.extxyz", "--report", report]
    whole = relax(*arguments)
    expected = Path(report).read_text()
    Path(report).unlink()
    Path("out.extxyz").unlink()
    assert relax(*arguments, "--strict").exit_code == 1
    assert not Path(report).exists()
    resumed = relax(*arguments, "--resume")
    assert Path(report).read_text() == expected
    assert resumed.stderr.replace("; 20 had been done before", "") == whole.stderr
    assert not Path(".out.extxyz.parts").exists()


@pytest.mark.usefixtures("given")
def test_predicted_errors_are_told_where_a_model_has_them(relax, monkeypatch):
    predicted = PredictedErrors(length=0.02, length_90=0.05, volume=1.25)
    of_all = lambda head, crystals, moved: [predicted] * len(crystals)  # noqa: E731
    monkeypatch.setattr("empnn.relax.relaxer.predicted_errors", of_all)
    monkeypatch.setattr("empnn.models.load_error_head", lambda name: ErrorHead(2, 1, 3))
    result = relax("in.extxyz", "-o", "out.extxyz", "--json", "--report", "r.csv")
    first, _, bad, _ = json.loads(result.stdout)["structures"]
    assert first["errors"] == {"length": 0.02, "length_90": 0.05, "volume": 1.25}
    assert bad["errors"] is None
    table = pd.read_csv("r.csv")
    assert [name for name in table if name.startswith("error_")] == ["error_length", "error_length_90", "error_volume"]
    assert table.error_volume.tolist() == pytest.approx([1.25, 1.25, np.nan, 1.25], nan_ok=True)
    assert "predicted error of volume: 1.2 % in the median, 1.2 % at most (mp-0)" in result.stderr


def test_convert_says_nothing_of_it():
    ase.io.write("in.extxyz", salt())
    (one,) = json.loads(run("convert", "in.extxyz", "out.csv", "--json").stdout)["structures"]
    assert list(one) == ["file", "index", "id", "status", "warnings", "message"]
    assert not any(name.startswith("empnn_") for name in pd.read_csv("out.csv"))
