"""A folder with a file per structure: names, what a run that was killed leaves, and files of others, which stay."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixBondLength
from support.relaxing import run, salt, tiny_model, told, triclinic

from empnn.bulk.folder import Folder, FolderOutput
from empnn.data import writing
from empnn.data.reading import read
from empnn.errors import ConfigError

SLOWLY = """
import time
import empnn.bulk.folder as folder
once = folder.FolderOutput.add
def slowly(self, *record):
    time.sleep(0.05)
    once(self, *record)
folder.FolderOutput.add = slowly
from empnn.cli import main
main()
"""
NAMES = [f"mp-{index}" for index in range(40)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("model"), elements=[1, 8, 11, 16, 17, 29], strain_limit=9))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def relax(model):
    return lambda *arguments: run("relax", "--model", model, *arguments)


@pytest.fixture
def candidates():
    Path("in").mkdir()
    for name in NAMES:
        ase.io.write(f"in/{name}.extxyz", salt())


def files(folder="out"):
    """The visible files in a folder, as paths in it."""
    found = (path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not path.parts[0].startswith("."))


def state(folder="out"):
    """Everything that tells whether a file was written again."""
    stats = {name: Path(folder, name).stat() for name in files(folder)}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def last(result):
    return told(result.stderr)[-1]


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("cif", ["many-0000.cif", "many-0001.cif", "one.cif", "run1.cif", "run2.cif", "x/one.cif"]),
        ("extxyz.gz", [f"{n}.extxyz.gz" for n in ("many-0000", "many-0001", "one", "run1", "run2", "x/one")]),
        ("vasp", ["many-0000.vasp", "many-0001.vasp", "one.vasp", "run1.vasp", "run2.vasp", "x/one.vasp"]),
        (".POSCAR", [f"{n}/POSCAR" for n in ("many-0000", "many-0001", "one", "run1", "run2", "x/one")]),
        ("json", ["many-0000.json", "many-0001.json", "one.json", "run1.json", "run2.json", "x/one.json"]),
        ("traj", ["many-0000.traj", "many-0001.traj", "one.traj", "run1.traj", "run2.traj", "x/one.traj"]),
    ],
)
def test_every_structure_gets_a_file_of_its_own(relax, ending, expected):
    for folder in ("run1", "run2", "x"):
        Path(folder).mkdir()
    for file in ("run1/POSCAR", "run2/POSCAR", "x/one.cif", "one.extxyz"):
        ase.io.write(file, triclinic())
    ase.io.write("many.extxyz", [salt("b"), salt("a")])
    inputs = ["run1/POSCAR", "run2/POSCAR", "many.extxyz", "x/one.cif", "one.extxyz"]
    result = relax(*inputs, "-o", "out", "--format", ending)
    assert (result.exit_code, told(result.stderr)) == (0, ["6 relaxed, 0 skipped; wrote 6 files to out"])
    assert files() == expected
    numbers = {name: [len(record.atoms) for record in read(f"out/{name}")] for name in expected}
    assert numbers == {name: [2 if name.startswith("many") else 5] for name in expected}


def test_identifiers_and_sources_are_in_the_files(relax):
    Path("run1").mkdir()
    ase.io.write("run1/POSCAR", triclinic())
    ase.io.write("many.extxyz", [salt("b"), salt("a")])
    relax("run1/POSCAR", "many.extxyz", "-o", "out/", "--format", "extxyz")
    infos = [ase.io.read(f"out/{name}").info for name in ("run1.extxyz", "many-0000.extxyz", "many-0001.extxyz")]
    assert [info["material_id"] for info in infos] == ["run1", "b", "a"]
    assert [info["empnn_source"] for info in infos] == ["run1/POSCAR[0]", "many.extxyz[0]", "many.extxyz[1]"]


@pytest.mark.usefixtures("candidates")
def test_a_second_run_is_resumed_or_told(relax):
    command = ("in", "-o", "out", "--format", "cif")
    assert last(relax(*command)) == "40 relaxed, 0 skipped; wrote 40 files to out"
    assert files() == sorted(f"{name}.cif" for name in NAMES)
    before = state()
    resumed = relax(*command, "--resume", "--json")
    assert last(resumed) == "40 relaxed, 0 skipped; 40 had been done before; wrote 40 files to out"
    assert [one["id"] for one in json.loads(resumed.stdout)["structures"]] == sorted(NAMES)
    assert state() == before
    again = relax(*command)
    assert last(again) == "40 relaxed, 0 skipped; wrote 40 files to out, 40 of them in place of earlier ones"
    assert all(one != other for one, other in zip(state().values(), before.values(), strict=True))


@pytest.mark.usefixtures("candidates")
def test_a_real_kill_loses_and_repeats_nothing(model, relax):
    command = ["relax", "in", "-o", "out", "--format", "cif", "--model", model]
    process = subprocess.Popen([sys.executable, "-c", SLOWLY, *command], env={**os.environ, "OMP_NUM_THREADS": "1"})
    for _ in range(2400):
        if Path("out").exists() and len(files()) > 5:
            break
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    done = state()
    assert 5 < len(done) < 40
    for name in done:
        (record,) = read(f"out/{name}")
        assert record.error is None
    result = relax("in", "-o", "out", "--format", "cif", "--resume")
    # The one that was in its place when the process was killed, and not noted, is done twice.
    resumed = int(last(result).partition("; ")[2].partition(" ")[0])
    assert len(done) - resumed in (0, 1)
    assert files() == sorted(f"{name}.cif" for name in NAMES)
    assert len(done.items() & state().items()) == resumed
    assert {path.name for path in Path("out/.empnn").iterdir()} == {
        *("lock", "settings.json", "journal.jsonl", "files.jsonl"),
    }


@pytest.mark.usefixtures("candidates")
def test_an_interruption_says_how_to_go_on(relax, monkeypatch):
    command = ("in", "-o", "out", "--format", "cif")
    add, calls = FolderOutput.add, []

    def interrupted(self, *record):
        calls.append(record)
        if len(calls) > 7:
            raise KeyboardInterrupt
        add(self, *record)

    with monkeypatch.context() as patched:
        patched.setattr(FolderOutput, "add", interrupted)
        result = relax(*command)
    assert (result.exit_code, last(result)) == (
        130,
        "empnn: interrupted; the same command with --resume goes on from here",
    )
    assert len(files()) == 7
    before = state()
    assert last(relax(*command, "--resume")).startswith("40 relaxed, 0 skipped; 7 had been done before; wrote 40")
    assert before.items() <= state().items()


@pytest.mark.usefixtures("candidates")
@pytest.mark.parametrize("left", ['{"note": {"fi', '{"note": {}, "file": "gone.cif"}\n'])
def test_a_journal_is_believed_as_far_as_it_is_whole_and_true(relax, left):
    command = ("in", "-o", "out", "--format", "cif")
    relax(*command)
    with Path("out/.empnn/journal.jsonl").open("a") as journal:
        journal.write(left)
    assert "40 had been done before" in last(relax(*command, "--resume"))
    Path("out/mp-38.cif").unlink()
    place = sorted(NAMES).index("mp-38")
    assert f"; {place} had been done before; wrote 40" in last(relax(*command, "--resume"))
    assert files() == sorted(f"{name}.cif" for name in NAMES)


@pytest.mark.usefixtures("candidates")
def test_what_was_begun_otherwise_is_not_resumed(relax):
    relax("in", "-o", "out", "--format", "cif")
    for other in (["--passes", "2"], ["--format", "vasp"], ["--symmetrize", "0.1"]):
        result = relax("in", "-o", "out", "--format", "cif", "--resume", *other)
        assert result.exit_code == 1
        assert "begun with other inputs, options or weights" in result.stderr
    os.utime("in/mp-3.extxyz", (1, 1))
    assert relax("in", "-o", "out", "--format", "cif", "--resume").exit_code == 1
    assert len(files()) == 40


def test_files_of_others_stay(relax):
    ase.io.write("a.extxyz", salt())
    ase.io.write("many.extxyz", [salt(), salt()])
    Path("out").mkdir()
    Path("out/other.txt").write_text("mine")
    for mine in ("out/a.cif", "out/many-0000.cif"):
        Path(mine).write_text("mine")
        result = relax("a.extxyz", "many.extxyz", "-o", "out", "--format", "cif")
        assert (result.exit_code, told(result.stderr)) == (
            1,
            [f"empnn: {mine} was there before and is not of an earlier run; move it away or choose another folder"],
        )
        assert Path(mine).read_text() == "mine"
        Path(mine).unlink()
        assert files() == ["other.txt"]
    # One that is not the first of its file is found when its turn comes.
    Path("out/many-0001.cif").write_text("mine")
    result = relax("a.extxyz", "many.extxyz", "-o", "out", "--format", "cif")
    assert result.exit_code == 1
    assert told(result.stderr) == [
        "many.extxyz[1]: out/many-0001.cif was there before and is not of an earlier run; "
        "move it away or choose another folder",
        "2 relaxed, 1 skipped; wrote 2 files to out",
    ]
    assert Path("out/many-0001.cif").read_text() == "mine"
    assert Path("out/other.txt").read_text() == "mine"


def test_files_of_an_earlier_run_with_more_inputs_are_ours(relax):
    for name in "ab":
        ase.io.write(f"{name}.extxyz", salt())
    relax("a.extxyz", "b.extxyz", "-o", "out", "--format", "cif")
    relax("a.extxyz", "-o", "out", "--format", "cif")
    result = relax("a.extxyz", "b.extxyz", "-o", "out", "--format", "cif")
    assert last(result).endswith("wrote 2 files to out, 2 of them in place of earlier ones")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.cif", "-o", "."], ".: a folder gets a file per structure; say with --format of which format (cif, vasp,"),
        (["a.cif", "-o", "out/"], "out/: a folder gets a file per structure; say with --format of which format ("),
        (["a.cif", "-o", "out", "--format", "png"], "--format png: choose cif, vasp, poscar, extxyz, json or another"),
        (["a.cif", "-o", "out.cif", "--format", "cif"], "out.cif: with --format this would be a folder; end its name"),
        (["a.cif", "-o", "-", "--format", "cif"], "--format and the output - exclude each other: files want a folder"),
        (["a.cif", "-o", "no/out", "--format", "cif"], "no/out: the folder no does not exist; create it"),
        (["a.cif", "-o", "a.cif/", "--format", "cif"], "a.cif: it is a file; name a folder"),
        (["a.cif", "-o", ".", "--format", "cif"], "a.cif is also an input; choose another output"),
        (["x", "-o", "x/out", "--format", "cif"], "x/out is in the input folder x, and would be read with it; choose"),
        (["x", "-o", "x", "--format", "vasp"], "x is in the input folder x, and would be read with it; choose"),
        (
            ["a.cif", "./a.cif", "-o", "out", "--format", "cif"],
            "out/a.cif would be written twice; give each input once",
        ),
        (["-", "-o", "out", "--format", "cif", "--resume"], "--resume: what comes from or goes to a stream cannot be"),
    ],
)
def test_mistakes_get_one_line(relax, arguments, message):
    Path("x").mkdir()
    ase.io.write("a.cif", salt())
    ase.io.write("x/a.cif", salt())
    before = files(".")
    result = relax(*arguments)
    assert result.exit_code == 1
    (line,) = told(result.stderr)
    assert line.startswith(f"empnn: {message}")
    assert files(".") == before
    assert not Path("out").exists()


def test_outputs_beside_their_inputs(relax):
    """As users of VASP like it: `relax cands/*.cif -o cands --format vasp`."""
    Path("in").mkdir()
    for name in "ab":
        ase.io.write(f"in/{name}.cif", salt())
    before = {name: Path(f"in/{name}").read_bytes() for name in files("in")}
    assert relax("in/*.cif", "-o", "in", "--format", "vasp").exit_code == 0
    assert files("in") == ["a.cif", "a.vasp", "b.cif", "b.vasp"]
    assert {name: Path(f"in/{name}").read_bytes() for name in before} == before


def test_refused_structures_have_no_file(relax):
    bad = salt()
    bad.positions[0] = np.nan
    ase.io.write("many.extxyz", [salt(), bad, salt()])
    Path("broken.cif").write_text("hello")
    result = relax("many.extxyz", "broken.cif", "-o", "out", "--format", "cif", "--json")
    assert result.exit_code == 1
    assert files() == ["many-0000.cif", "many-0002.cif"]
    statuses = [(one["id"], one["status"]) for one in json.loads(result.stdout)["structures"]]
    assert statuses == [(None, "relaxed"), (None, "refused"), (None, "relaxed"), ("broken", "refused")]
    kept = relax("many.extxyz", "broken.cif", "-o", "kept", "--format", "traj", "--keep-failed")
    assert kept.exit_code == 1
    assert files("kept") == ["many-0000.traj", "many-0001.traj", "many-0002.traj"]


def test_strict_keeps_what_was_done(relax):
    bad = salt()
    bad.positions[0] = np.nan
    ase.io.write("many.extxyz", [salt(), bad, salt()])
    result = relax("many.extxyz", "-o", "out", "--format", "cif", "--strict")
    assert result.exit_code == 1
    assert last(result).endswith("; the same command with --resume goes on from here")
    assert files() == ["many-0000.cif"]


def test_a_disk_that_fills_up(relax, monkeypatch):
    for name in "abc":
        ase.io.write(f"{name}.extxyz", salt())
    calls, kept = [], writing._open

    def full(path, mode):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return kept(path, mode)

    with monkeypatch.context() as patched:
        patched.setattr(writing, "_open", full)
        result = relax("a.extxyz", "b.extxyz", "c.extxyz", "-o", "out", "--format", "cif")
    assert result.exit_code == 1
    assert last(result).startswith("empnn: out/b.cif: ")
    assert last(result).endswith(
        "(No space left on device); once that is mended, the same command with --resume goes on from here"
    )
    assert files() == ["a.cif"]
    assert last(relax("a.extxyz", "b.extxyz", "c.extxyz", "-o", "out", "--format", "cif", "--resume")) == (
        "3 relaxed, 0 skipped; 1 had been done before; wrote 3 files to out"
    )


def test_two_processes_do_not_write_one_folder():
    with FolderOutput(Folder(Path("out"), "cif"), [], {}), pytest.raises(ConfigError, match="another process"):  # noqa: SIM117
        with FolderOutput(Folder(Path("out"), "cif"), [], {}):
            pass
    assert not Path("out").exists()


def test_convert_says_what_is_lost_by_the_name_of_the_file():
    atoms = Atoms("TiO", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[4, 4, 4], pbc=True)
    atoms.set_constraint(FixBondLength(0, 1))
    ase.io.write("in.traj", [atoms, salt()])
    result = run("convert", "in.traj", "out/", "--format", "vasp")
    assert told(result.stderr) == [
        "in.traj[0]: in-0000.vasp has no place for its constraints (FixBondLengths), which are lost",
        "2 converted (1 suspect: see empnn_doubts in the output, or --json), 0 skipped; wrote 2 files to out",
    ]
