"""The command as an impatient user types it: one line for each mistake, the right status, nothing half-written."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from support.relaxing import run, salt, tiny_model, told, triclinic

import empnn
from empnn import cli
from empnn.relax import load


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("model"), elements=[1, 8, 11, 16, 17, 29]))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run in a folder of the test's own, so that messages show the names as typed."""
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def relax(model):
    """Run `empnn relax` with the tiny model."""
    return lambda *arguments: run("relax", "--model", model, *arguments)


def lines(result):
    return result.stderr.splitlines()


def files(folder):
    return sorted(p.name for p in folder.iterdir())


def overlapping(identifier):
    atoms = Atoms("Na2", scaled_positions=[[0, 0, 0], [0.01, 0, 0]], cell=[4, 4, 4], pbc=True)
    atoms.info["material_id"] = identifier
    return atoms


def mixed():
    """Good, overlapping, good, NaN, and cut short."""
    nan = triclinic("mp-4")
    nan.positions[2, 0] = np.nan
    ase.io.write("mixed.extxyz", [salt("mp-1"), overlapping("mp-2"), triclinic("mp-3"), nan])
    with Path("mixed.extxyz").open("a") as handle:
        handle.write('3\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\nNa 0 0 0\n')
    return "mixed.extxyz"


REFUSED = [
    "mixed.extxyz[1] (mp-2): atoms 0 and 1 overlap (0.040 angstrom apart); remove or move one",
    "mixed.extxyz[3] (mp-4): atom 2 has NaN or infinite coordinates; correct its position",
    "mixed.extxyz[4]: it announces 3 atoms and has lines for 1; complete or remove it",
]


def test_relax_keeps_what_the_caller_wrote(relax, model, here):
    given = [salt("a"), triclinic()]
    ase.io.write("in.extxyz", given)
    given = ase.io.read("in.extxyz", ":")
    result = relax("in.extxyz", "-o", "out.extxyz")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert told(result.stderr) == ["2 relaxed, 0 skipped; wrote 2 to out.extxyz"]
    relaxed = ase.io.read("out.extxyz", ":")
    for index, (before, after) in enumerate(zip(given, relaxed, strict=True)):
        assert after.get_chemical_symbols() == before.get_chemical_symbols()
        assert np.abs(after.get_scaled_positions(wrap=False) - before.get_scaled_positions(wrap=False)).max() < 1e-8
        assert after.info["empnn_status"] == "relaxed"
        assert after.info["empnn_source"] == f"in.extxyz[{index}]"
        expected = load(model).relax(before).structures.cell.array
        assert after.cell.array == pytest.approx(expected, abs=1e-4)
    assert relaxed[0].info["material_id"] == "a"
    assert relaxed[0].info["gap"] == 8.5
    assert relaxed[0].arrays["site"].tolist() == [7, 8]
    assert files(here) == ["in.extxyz", "out.extxyz"]


def test_bad_structures_do_not_hide_the_others(relax, here):
    (here / "binary.cif").write_bytes(bytes(range(256)))
    (here / "empty.cif").touch()
    (here / "folder").mkdir()
    ase.io.write("POSCAR", salt())
    result = relax("binary.cif", mixed(), "empty.cif", "nothing.cif", "folder", "POSCAR", "-o", "out.extxyz")
    assert result.exit_code == 1
    assert told(result.stderr) == [
        "binary.cif[0]: not a text file; check its format",
        *REFUSED,
        "empty.cif[0]: the file is empty; nothing to read",
        "nothing.cif[0]: no such file; check the path",
        "folder[0]: there is no file of crystals in this folder; name a file or another folder",
        "3 relaxed, 7 skipped; wrote 3 to out.extxyz",
    ]
    sources = [a.info["empnn_source"] for a in ase.io.read("out.extxyz", ":")]
    assert sources == ["mixed.extxyz[0]", "mixed.extxyz[2]", "POSCAR[0]"]


def test_long_lines_are_not_wrapped(relax):
    name = "a" * 200 + ":smile:[bold].cif"
    assert lines(relax(name, "-o", "out.cif"))[0] == f"{name}[0]: no such file; check the path"


@pytest.mark.parametrize("output", ["out.extxyz", "out.traj", "out.json", "out.db"])
def test_keep_failed(relax, output):
    result = relax(mixed(), "-o", output, "--keep-failed", "--quiet")
    assert result.exit_code == 1
    assert lines(result) == REFUSED
    from empnn.data.reading import read

    kept = [r.atoms.info for r in read(output)]
    assert [i["empnn_status"] for i in kept] == ["relaxed", "refused", "relaxed", "refused"]
    assert [i["material_id"] for i in kept] == ["mp-1", "mp-2", "mp-3", "mp-4"]


def test_strict(relax, here):
    (here / "out.extxyz").write_text("old")
    result = relax(mixed(), "-o", "out.extxyz", "--strict")
    assert (result.exit_code, lines(result)) == (1, REFUSED[:1])
    assert (here / "out.extxyz").read_text() == "old"


def test_nothing_usable_leaves_the_output_alone(relax, here):
    (here / "out.extxyz").write_text("old")
    result = relax("nothing.cif", "-o", "out.extxyz")
    assert result.exit_code == 1
    assert lines(result)[-1] == "0 relaxed, 1 skipped; nothing written"
    assert (here / "out.extxyz").read_text() == "old"


def test_json(relax):
    result = relax(mixed(), "-o", "out.cif", "--json")
    content = json.loads(result.stdout)
    assert list(content) == ["relaxed", "skipped", "structures"]
    assert (content["relaxed"], content["skipped"]) == (2, 3)
    keys = ["file", "index", "id", "status", "warnings", "message", "change", "errors"]
    assert [list(s) for s in content["structures"]] == [keys] * 5
    assert content["structures"][1] == {
        "file": "mixed.extxyz",
        "index": 1,
        "id": "mp-2",
        "status": "refused",
        "warnings": [],
        "message": REFUSED[0].split(": ", 1)[1],
        "change": None,
        "errors": None,
    }
    assert content["structures"][0]["message"] is None
    assert told(result.stderr) == [*REFUSED, "2 relaxed, 3 skipped; wrote 2 to out.cif"]


def test_suspect(relax):
    ase.io.write("in.extxyz", Atoms("U", cell=[3, 3, 3], pbc=True))
    result = relax("in.extxyz", "-o", "out.extxyz", "--json")
    (outcome,) = json.loads(result.stdout)["structures"]
    assert outcome["status"] == "suspect"
    assert outcome["warnings"] == ["elements not in the training data: U"]
    assert result.exit_code == 0
    assert "(1 suspect: see empnn_warnings" in result.stderr
    assert ase.io.read("out.extxyz").info["empnn_warnings"] == outcome["warnings"][0]


@pytest.mark.parametrize("output", ["out.cif", "POSCAR", "out.vasp", "out.traj", "out.db", "out.csv.gz"])
def test_formats(relax, output):
    ase.io.write("in.extxyz", salt("mp-1"))
    assert relax("in.extxyz", "-o", output, "-q").output == ""
    again = relax(output, "-o", "again.extxyz", "--passes", "2", "--batch-atoms", "1", "-q")
    assert (again.exit_code, again.output) == (0, "")
    assert ase.io.read("again.extxyz").info["empnn_source"] == f"{output}[0]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "in.extxyz"], "in.extxyz is also an input; choose another output"),
        (["-o", "./link.extxyz"], "link.extxyz is also an input; choose another output"),
        (["-o", "no/out.cif"], "no/out.cif: the folder no does not exist; create it"),
        (["-o", "folder"], "folder: a folder gets a file per structure; say with --format of which format (cif,"),
        (
            ["-o", "out"],
            "out: the name tells no format to write; use .extxyz, .cif, .vasp, .csv, .parquet, .json, .traj or .db",
        ),
        (["-o", "out.vasp"], "out.vasp: this format holds one structure, the input has more; write .extxyz or .cif"),
        (
            ["-o", "out.cif", "--device", "abacus"],
            "device abacus cannot be used: no such device; choose auto, cpu, cuda or cuda:N",
        ),
        (["-o", "out.cif", "--model", "nonsense"], "no model nonsense; packaged are: "),
    ],
)
def test_mistakes_get_one_line(relax, here, arguments, message):
    ase.io.write("in.extxyz", [salt(), salt()])
    (here / "link.extxyz").symlink_to("in.extxyz")
    (here / "folder").mkdir()
    before = files(here)
    result = relax("in.extxyz", *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = lines(result)
    assert line.startswith(f"empnn: {message}")
    assert files(here) == before


def fails_with(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            1,
            "empnn: out.xsf: cannot be written (No space left on device)",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            1,
            "empnn: out.xsf: cannot be written (Permission denied)",
        ),
        (KeyboardInterrupt(), 130, "empnn: interrupted"),
        (MemoryError(), 1, "empnn: out of memory; use a smaller --batch-atoms or train.batch_size"),
    ],
)
def test_failure_while_writing(relax, here, monkeypatch, error, status, line):
    (here / "out.xsf").write_text("old")
    ase.io.write("in.extxyz", salt())
    monkeypatch.setattr(ase.io, "write", fails_with(error))
    result = relax("in.extxyz", "-o", "out.xsf")
    assert (result.exit_code, lines(result), result.stdout) == (status, [line], "")
    assert (here / "out.xsf").read_text() == "old"
    assert files(here) == ["in.extxyz", "out.xsf"]


def test_interrupted_while_relaxing(relax, here, monkeypatch):
    ase.io.write("in.extxyz", salt())
    monkeypatch.setattr("empnn.relax.relaxer.apply_passes", fails_with(KeyboardInterrupt()))
    result = relax("in.extxyz", "-o", "out.cif")
    assert (result.exit_code, lines(result)) == (130, ["empnn: interrupted"])
    assert files(here) == ["in.extxyz"]


@pytest.mark.parametrize(
    "arguments", [["relax", "a.cif"], ["relax"], ["nonsense"], ["relax", "a", "-o", "b", "--passes", "0"]]
)
def test_usage_errors(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert lines(result)[-1].startswith("Error: ")


def test_more_passes_than_make_sense(model, here):
    ase.io.write("in.extxyz", salt())
    said = [f"empnn: --passes {10**30}: must lie between 1 and 1000"]
    for arguments in (["relax", "in.extxyz", "-o", "out.cif"], ["evaluate", "--data", "in.extxyz"]):
        result = run(*arguments, "--model", model, "--passes", str(10**30))
        assert (result.exit_code, lines(result)) == (1, said)
    assert files(here) == ["in.extxyz"]


def test_help_and_version():
    assert run("--version").stdout == f"empnn {empnn.__version__}\n"
    assert "evaluate" in run("-h").stdout
    assert "--keep-failed" in run("relax", "--help").stdout


@pytest.fixture
def data(here):
    (here / "set").mkdir()
    ase.io.write("set/val.extxyz", [salt(), triclinic()])
    return "set/val.extxyz"


def test_evaluate(model, data, here):
    result = run("evaluate", "--model", model, "--data", data, "--seed", "3", "--json", "--out", "score.json")
    figures = json.loads(result.stdout)
    assert list(figures) == [
        *("n", "sigma", "seed", "noise_lengths", "noise_angles", "lengths_mae", "angles_mae"),
        *("lengths_improvement", "angles_improvement", "lengths_removed", "angles_removed", "seconds"),
        *("seconds_per_crystal", "relaxer"),
    ]
    assert (figures["n"], figures["sigma"], figures["seed"]) == (2, 0.1, 3)
    assert result.stderr == ""
    assert json.loads((here / "score.json").read_text()) == figures
    folder = json.loads(run("evaluate", "--model", model, "--data", "set", "--seed", "3", "--json").stdout)
    still = {"seconds": 0, "seconds_per_crystal": 0}
    assert {**folder, **still} == {**figures, **still}


def test_the_device_is_found_unless_it_is_named(relax, model, data, monkeypatch):
    asked = []
    monkeypatch.setattr("empnn.relax.relaxer.device_of", lambda name: asked.append(name) or torch.device("cpu"))
    for device in ([], ["--device", "cuda:1"]):
        assert relax(data, "-o", "out.extxyz", *device).exit_code == 0
        assert run("evaluate", "--model", model, "--data", data, *device).exit_code == 0
    assert asked == ["auto", None, "cuda:1", "cuda:1"]


def test_evaluate_does_not_replace_its_data(model, data):
    before = Path(data).read_bytes()
    result = run("evaluate", "--model", model, "--data", data, "--out", data)
    assert (result.exit_code, lines(result)) == (1, [f"empnn: {data} is also an input; choose another output"])
    assert Path(data).read_bytes() == before


def test_evaluate_prints_a_table(model, data):
    result = run("evaluate", "--model", model, "--data", data, "--noise", "0.2")
    assert "do nothing" in result.stdout
    assert "2 structures, sigma 0.2, seed 0" in result.stdout
    assert run("evaluate", "--model", model, "--data", data, "--quiet").output == ""


def test_evaluate_with_a_reference(model, data):
    strained = [salt(), triclinic()]
    for atoms in strained:
        atoms.set_cell(atoms.cell.array * 1.1, scale_atoms=True)
    ase.io.write("strained.extxyz", strained)
    result = run("evaluate", "--model", model, "--data", "strained.extxyz", "--reference", data, "--json")
    figures = json.loads(result.stdout)
    lengths = [atoms.cell.lengths() for atoms in (salt(), triclinic())]
    assert figures["noise_lengths"] == pytest.approx(0.1 * np.mean(lengths), abs=1e-6)
    assert figures["noise_angles"] == pytest.approx(0, abs=1e-5)
    assert figures["sigma"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nothing"], "nothing: no such file; check the path"),
        (["--data", "set", "--split", "test"], "set: no test.csv, test.csv.gz, test.parquet or test.extxyz in it"),
        (["--data", "set", "--noise", "-1"], "--noise -1: must lie between 0 and 1"),
        (["--data", "set", "--noise", "nan"], "--noise nan: must lie between 0 and 1"),
        (["--data", "set", "--out", "no/score.json"], "no/score.json: the folder "),
        (["--data", "set", "--out", "/dev/full"], "/dev/full: cannot be written (No space left on device)"),
        (["--data", "set", "--reference", "one.extxyz"], "2 structures, but 1 references; give one for each, in order"),
        (["--data", "bad.extxyz"], "bad.extxyz[1] (x): atoms 0 and 1 overlap"),
    ],
)
def test_evaluate_mistakes(model, data, arguments, message):
    ase.io.write("one.extxyz", salt())
    ase.io.write("bad.extxyz", [salt(), overlapping("x")])
    result = run("evaluate", "--model", model, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = lines(result)
    assert line.startswith(f"empnn: {message}")


def test_models(monkeypatch, tmp_path):
    monkeypatch.setattr("empnn.models._PACKAGED", tmp_path / "packaged")
    assert json.loads(run("models", "--json").stdout) == {}
    assert "no models are packaged" in run("models").stderr
    tiny_model(tmp_path / "packaged" / "tiny", not_for="glasses")
    assert "glasses" in run("models").stdout
    assert json.loads(run("models", "tiny").stdout)["not_for"] == "glasses"
    assert run("models", "nonsense").exit_code == 1


def command(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", "from empnn.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def test_the_real_command(model, here):
    process = command("relax", mixed(), "-o", "out.cif", "--model", model, "--json")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(stdout)["skipped"] == 3
    assert told(stderr) == [*REFUSED, "2 relaxed, 3 skipped; wrote 2 to out.cif"]


def wait_for_reader(pipe, process):
    """The writing end of a named pipe, once the process has opened the other one."""
    for _ in range(600):
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
    raise TimeoutError(pipe)


def test_the_real_interrupt(model, here):
    """A pipe as the input holds the command where an impatient user would press Ctrl-C."""
    os.mkfifo("slow.extxyz")
    process = command("relax", "slow.extxyz", "-o", "out.cif", "--model", model)
    writing_end = wait_for_reader("slow.extxyz", process)
    time.sleep(0.5)  # It has opened the file; now it waits in reading it.
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    os.close(writing_end)
    assert (process.returncode, stdout, stderr) == (130, "", "empnn: interrupted\n")
    assert files(here) == ["slow.extxyz"]


@pytest.mark.parametrize("interrupt", [signal.default_int_handler, signal.SIG_IGN])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_queue_that_sends_its_signal_twice_interrupts_once(monkeypatch, number, interrupt):
    """The second one must not break what the command does because of the first; in the background, too."""
    monkeypatch.setattr(cli, "app", lambda: signal.raise_signal(number))
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        signal.signal(signal.SIGINT, interrupt)
        with pytest.raises(KeyboardInterrupt):
            cli.main()
        for again in (signal.SIGTERM, signal.SIGUSR1):
            signal.raise_signal(again)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_a_reference_excludes_noise(model, data):
    result = run("evaluate", "--model", model, "--data", data, "--reference", data, "--noise", "0.3")
    assert result.exit_code == 1
    assert "exclude each other" in result.stderr
