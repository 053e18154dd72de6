"""`empnn energy` and `empnn evaluate --relaxer` as they are typed."""

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
from ase import Atoms
from ase.build import bulk
from support.calculators import EMT_PATH, strained_copper
from support.relaxing import run

from empnn.cli.common import json_document
from empnn.cli.oracles import parsed_options
from empnn.energy.run import Judged

FIGURES = (
    *("file", "index", "id", "status", "energy_per_atom", "energy", "n_atoms", "max_force", "stress", "steps"),
    *("converged", "seconds", "cell", "stored", "warnings", "message"),
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run in a folder of the test's own."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def energy(*arguments):
    return run("energy", "--oracle", EMT_PATH, *arguments)


def written(*crystals):
    ase.io.write("in.extxyz", crystals)
    return "in.extxyz"


def named(atoms, identifier):
    atoms.info["material_id"] = identifier
    return atoms


def test_energies_on_stdout_in_order():
    result = energy(written(strained_copper(), named(bulk("Au"), "gold")))
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.startswith("in.extxyz[0]\t")
    assert first.endswith("eV/atom\tcomputed")
    assert second.startswith("in.extxyz[1] (gold)\t")
    assert "2 computed" in result.stderr


def test_each_energy_is_told_once_where_both_streams_go_to_one_file():
    """Also of a second run, which computes nothing; failures stand among them."""
    written(strained_copper(), bulk("W"), named(bulk("Au"), "gold"))
    for status in ("computed", "cached"):
        with Path("log").open("w") as log:
            command = [*COMMAND, "energy", "in.extxyz", "--oracle", EMT_PATH, "--store", "store"]
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
        lines = Path("log").read_text().splitlines()
        assert [line for line in lines if "eV/atom" in line] == [
            line for line in lines if line.startswith("in.extxyz[") and line.endswith(f"eV/atom\t{status}")
        ]
        assert [line.partition("\t")[0] for line in lines if "eV/atom" in line] == [
            "in.extxyz[0]",
            "in.extxyz[2] (gold)",
        ]
        assert sum("No EMT-potential for W" in line for line in lines) == 1


def test_energies_are_listed_in_order_whatever_was_known_before():
    """The second and third are in the store; the first is computed after they have been found there."""
    first, *rest = strained_copper(1), bulk("Au"), bulk("Ag")
    energy(written(*rest))
    result = energy(written(first, *rest))
    assert [line.split("\t")[0::2] for line in result.stdout.splitlines()] == [
        ["in.extxyz[0]", "computed"],
        ["in.extxyz[1]", "cached"],
        ["in.extxyz[2]", "cached"],
    ]


def test_messages_in_json_name_options(monkeypatch):
    monkeypatch.setattr(Judged, "warnings", ["use fewer `workers`"])
    (one,) = json.loads(energy(written(bulk("Cu")), "--json").stdout)["structures"]
    assert one["warnings"] == ["use fewer --workers"]


def test_json_and_a_second_run():
    source = written(strained_copper(), named(bulk("Au"), "gold"))
    first = json.loads(energy(source, "--relax", "cell", "--json").stdout)
    assert set(first) == {"oracle", "relax", "structures"}
    assert first["oracle"]["name"] == EMT_PATH
    assert first["relax"] == {"mode": "cell", "fmax": 0.02, "steps": 200}
    assert tuple(first["structures"][0]) == FIGURES
    assert [one["id"] for one in first["structures"]] == [None, "gold"]
    assert [one["status"] for one in first["structures"]] == ["computed", "computed"]
    again = energy(source, "--relax", "cell", "--json")
    assert again.stderr.splitlines() == ["0 computed, 2 from store, 0 failed"]
    second = json.loads(again.stdout)
    assert [one["status"] for one in second["structures"]] == ["cached", "cached"]
    keep = [[one[name] for name in FIGURES if name not in ("status", "stored")] for one in first["structures"]]
    assert keep == [[one[name] for name in FIGURES if name not in ("status", "stored")] for one in second["structures"]]


def test_hostile_structures_do_not_hide_the_others():
    nan = bulk("Cu")
    nan.positions[0, 0] = np.nan
    close = Atoms("Cu2", scaled_positions=[[0, 0, 0], [0.01, 0, 0]], cell=[4, 4, 4], pbc=True)
    result = energy(written(bulk("Cu"), named(nan, "x"), close, named(bulk("W"), "y"), bulk("Al")), "missing.cif")
    assert result.exit_code == 1
    problems = [line for line in result.stderr.splitlines() if ": computed" not in line]
    assert problems[:4] == [
        "in.extxyz[1] (x): atom 0 has NaN or infinite coordinates; correct its position",
        "in.extxyz[2]: atoms 0 and 1 overlap (0.040 angstrom apart); remove or move one",
        f"in.extxyz[3] (y): {EMT_PATH} fails on it (NotImplementedError: No EMT-potential for W); "
        "check it or choose another oracle",
        "missing.cif[0]: no such file; check the path",
    ]
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr.splitlines()[-1] == "2 computed, 0 from store, 4 failed"


def test_relaxed_crystals_are_written_as_they_were_given():
    given = named(strained_copper(), "a")
    given.info["gap"] = 1.5
    given.positions += given.cell.array[0] * 3
    result = energy(written(given, bulk("W")), "--relax", "cell", "-o", "out.extxyz")
    assert result.exit_code == 1
    (after,) = ase.io.read("out.extxyz", ":")
    before = ase.io.read("in.extxyz", 0)
    assert after.get_scaled_positions(wrap=False) == pytest.approx(before.get_scaled_positions(wrap=False), abs=1e-7)
    assert after.info["gap"] == 1.5
    assert after.info["empnn_status"] == "computed"
    assert after.info["empnn_source"] == "in.extxyz[0]"
    assert after.info["empnn_energy_per_atom"] < 0.0
    assert np.linalg.norm(after.cell.array - before.cell.array) > 0.01
    assert result.stderr.splitlines()[-1].endswith("wrote 1 to out.extxyz")
    again = energy("in.extxyz", "--relax", "cell", "-o", "out.extxyz")
    assert again.stderr.splitlines()[-1].endswith("wrote 1 to out.extxyz, in place of what was there")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--oracle", "chgnot"), "did you mean chgnet?"),
        (("--oracle", "vasp-inputs"), "give the folder for them with -o"),
        (("--oracle", EMT_PATH, "--relax", "cells"), "choose one of none, cell, all"),
        (("--oracle", EMT_PATH, "--option", "cutoff"), "give KEY=VALUE"),
        (("--oracle", EMT_PATH, "--fmax", "-1"), "must be positive"),
        (("--oracle", EMT_PATH, "-o", "nowhere/out.extxyz"), "does not exist; create it"),
        (("--oracle", EMT_PATH, "--store", "in.extxyz"), "in.extxyz: it is a file; name a folder"),
        (("--oracle", "support.calculators:EnergyOnly", "--relax", "cell"), "has no stress"),
        (("--oracle", "vasp-inputs", "-o", "runs", "--fmax", "0.05"), "--option ediffg"),
        (("--oracle", "vasp-inputs", "-o", "runs", "--steps", "9"), "--option nsw"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    result = run("energy", written(bulk("Cu")), *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_vasp_inputs_relax_the_cell_unless_told_otherwise():
    result = run("energy", written(bulk("Cu")), "--oracle", "vasp-inputs", "-o", "runs", "--json")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert content["relax"] == {"mode": "cell"}
    assert content["structures"][0]["status"] == "written"
    assert result.stderr.splitlines()[-1] == "0 computed, 0 from store, 0 failed, 1 written in runs"
    assert "ISIF = 6" in next(Path("runs").glob("in-*/INCAR")).read_text()


LOUD = """
import ctypes
from ase.calculators.emt import EMT
print("imported")
class Loud(EMT):
    def calculate(self, *arguments):
        import helper
        print("computing")
        ctypes.CDLL(None).puts(b"in C")
        super().calculate(*arguments)
"""
COMMAND = [sys.executable, "-P", "-c", "from empnn.cli import main; main()"]
"""As the installed command: the current folder is not on Python's path."""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_calculator_of_the_current_folder_that_prints(workers):
    Path("loud.py").write_text(LOUD)
    Path("helper.py").touch()
    written(bulk("Cu"), bulk("Ag"))
    command = [*COMMAND, "energy", "in.extxyz", "--oracle", "loud:Loud", "--json", "--workers", workers]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert [one["status"] for one in json.loads(done.stdout)["structures"]] == ["computed", "computed"], done.stderr
    assert all(words in done.stderr for words in ("imported", "computing", "in C"))


def test_options_are_numbers_where_they_look_like_it():
    given = ["cutoff=1e3", "kpoints=[7,7,7]", "name=pbe", "path=a=b"]
    assert parsed_options(given) == {"cutoff": 1000.0, "kpoints": [7, 7, 7], "name": "pbe", "path": "a=b"}


def test_json_has_no_words_for_what_is_not_finite():
    figures = {"a": float("nan"), "b": [1.5, float("-inf")], "c": ({"d": None},)}
    assert json.loads(json_document(figures), parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, None],
        "c": [{"d": None}],
    }


@pytest.mark.parametrize(
    ("workers", "number"), [("1", signal.SIGINT), ("2", signal.SIGINT), ("2", signal.SIGTERM), ("2", signal.SIGUSR1)]
)
def test_interrupted(workers, number):
    """Ctrl-C to the whole group, as a terminal sends it, or what `timeout` and queues send, to a process and its group.

    No torn file, a word on how to go on, and it does go on.
    """
    written(*(strained_copper(seed) for seed in range(24)))
    command = ["energy", "in.extxyz", "--oracle", EMT_PATH, "--relax", "cell", "--fmax", "1e-6", "--store", "store"]
    command += ["--workers", workers]
    # Children of a suite that runs in the background would ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*COMMAND, *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 90
    # More files than are written at a time: one of them is whole.
    while len(list(Path("store").rglob("*.json"))) <= int(workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    if number != signal.SIGINT:
        process.send_signal(number)
    os.killpg(process.pid, number)
    # This returns once nobody holds stderr any more: no process is left behind.
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert all(line.endswith(b" eV/atom\tcomputed\n") for line in out.splitlines(keepends=True))
    assert err.decode().splitlines()[-1].endswith(" done and kept; the same command goes on from here")
    assert b"Traceback" not in err
    assert b"died" not in err
    stored = [path for path in Path("store").rglob("*") if path.is_file()]
    assert stored
    assert all(json.loads(path.read_text())["result"] for path in stored)
    statuses = [one["status"] for one in json.loads(run(*command, "--json", "--quiet").stdout)["structures"]]
    assert statuses.count("cached") >= len(stored)
    assert len(statuses) == 24


def test_evaluate_with_an_oracle_as_relaxer():
    truth = [bulk(symbol, "fcc", a, cubic=True) for symbol, a in (("Cu", 3.587), ("Al", 3.995), ("Ag", 4.064))]
    ase.io.write("truth.extxyz", truth)
    arguments = ("evaluate", "--data", "truth.extxyz", "--noise", "0.05", "--json")
    figures = json.loads(run(*arguments, "--relaxer", EMT_PATH, "--limit", "2").stdout)
    assert figures["n"] == figures["converged"] == 2
    assert (figures["relaxer"], figures["failed"]) == (EMT_PATH, 0)
    assert figures["lengths_removed"] > 0.8
    assert figures["seconds_per_crystal"] == pytest.approx(figures["seconds"] / 2)
    network = json.loads(run(*arguments, "--limit", "2").stdout)
    assert network["relaxer"] == "empnn"
    assert network["noise_lengths"] == figures["noise_lengths"]
    assert set(figures) - set(network) == {"converged", "failed", "steps"}
    table = run(*arguments[:-1], "--relaxer", EMT_PATH).stdout
    assert "3 converged, 0 failed" in table


def test_evaluate_counts_what_cannot_be_relaxed_as_it_was():
    arguments = ("evaluate", "--data", "truth.extxyz", "--relaxer", EMT_PATH, "--json")
    ase.io.write("truth.extxyz", [bulk("W"), bulk("Cu")])
    result = run(*arguments)
    assert result.exit_code == 1
    figures = json.loads(result.stdout)
    assert (figures["n"], figures["converged"], figures["failed"]) == (2, 1, 1)
    ase.io.write("truth.extxyz", [bulk("W"), bulk("W")])
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "relaxed none of 2 structures" in result.stderr.splitlines()[-1]


def test_evaluate_against_a_reference():
    ase.io.write("truth.extxyz", [bulk("Cu", "fcc", 3.587)])
    ase.io.write("start.extxyz", [bulk("Cu", "fcc", 3.8)])
    arguments = ("evaluate", "--data", "start.extxyz", "--reference", "truth.extxyz", "--relaxer", EMT_PATH, "--json")
    assert json.loads(run(*arguments).stdout)["lengths_removed"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--relaxer", EMT_PATH, "--model", "mp-20"), "--model belongs to --relaxer empnn"),
        (("--relaxer", EMT_PATH, "--passes", "2"), "--passes belongs to"),
        (("--relaxer", EMT_PATH, "--device", "cpu"), "--device belongs to"),
        (("--workers", "2"), "--workers belongs to"),
        (("--fmax", "0.05"), "--fmax belongs to"),
        (("--steps", "9"), "--steps belongs to"),
        (("--store", "x"), "--store belongs to"),
        (("--relaxer", "nothing"), "module:Class"),
        (("--relaxer", EMT_PATH, "--noise", "7"), "between 0 and 1"),
    ],
)
def test_options_that_do_not_belong_together(arguments, message):
    result = run("evaluate", "--data", written(bulk("Cu")), *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
