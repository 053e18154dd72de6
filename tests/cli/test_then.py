"""`empnn relax --then`: on from the network's answer with an oracle, both told; nothing lost, nothing done twice."""

import csv
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from support.calculators import EMT_PATH, job, strained_copper
from support.relaxing import run, tiny_model, told

from empnn.bulk.pipeline import process
from empnn.energy import OracleRelaxation, load_oracle
from empnn.errors import ConfigError
from empnn.relax import load
from empnn.relax.files import Relaxing
from empnn.relax.then import RelaxingOn

COUNTING = "support.calculators:Counting"
KEYS = ("oracle", "status", "energy_per_atom_before", "energy_per_atom", "steps", "volume_before", "volume", "message")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("model"), elements=[13, 29, 47, 79], strain_limit=9))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def relax(model):
    return lambda *arguments: run("relax", "--model", model, *arguments)


def written(*crystals):
    ase.io.write("in.extxyz", crystals)
    return "in.extxyz"


def structures(result):
    return json.loads(result.stdout)["structures"]


def test_both_are_told_and_the_end_is_written(relax, model):
    given = [strained_copper(0), strained_copper(1)]
    result = relax(written(*given), "-o", "out.extxyz", "--then", EMT_PATH, "--fmax", "0.01", "--json")
    assert result.exit_code == 0
    assert told(result.stderr)[-1] == "2 relaxed, 0 skipped; then 2 converged; wrote 2 to out.extxyz"
    for before, one, after in zip(given, structures(result), ase.io.read("out.extxyz", ":"), strict=True):
        assert one["status"] == "relaxed"
        then = one["then"]
        assert tuple(then) == KEYS
        assert (then["oracle"], then["status"], then["message"]) == (EMT_PATH, "converged", None)
        network = load(model).relax(before).structures
        network.calc = EMT()
        assert then["energy_per_atom_before"] == pytest.approx(network.get_potential_energy() / 4, abs=1e-4)
        assert then["volume_before"] == pytest.approx(network.get_volume(), abs=1e-3)
        BFGS(FrechetCellFilter(network), logfile=None).run(fmax=0.001)
        assert then["energy_per_atom"] == pytest.approx(network.get_potential_energy() / 4, abs=1e-3)
        assert then["energy_per_atom"] < then["energy_per_atom_before"]
        assert then["volume"] == pytest.approx(network.get_volume(), rel=0.01)
        assert then["steps"] > 0
        assert after.get_volume() == pytest.approx(then["volume"])
        assert after.get_potential_energy() / 4 == pytest.approx(then["energy_per_atom"])
        assert np.abs(after.get_forces()).max() < 0.01
        noted = {key: after.info[f"empnn_then_{key}"] for key in KEYS[1:-1]}
        assert noted == {key: then[key] if key == "status" else pytest.approx(then[key], abs=1e-6) for key in noted}
        assert after.info["empnn_then"] == EMT_PATH
        assert after.info["empnn_status"] == "relaxed"


def test_each_is_told_on_the_way(relax):
    result = relax(written(strained_copper(), bulk("Au")), "-o", "out.cif", "--then", EMT_PATH)
    first, second, _ = told(result.stderr)
    assert first.startswith(f"in.extxyz[0]: {EMT_PATH}: ")
    assert " eV/atom, " in first
    assert first.endswith(" steps")
    assert second.startswith("in.extxyz[1]: ")
    assert relax("in.extxyz", "-o", "out.cif", "--then", EMT_PATH, "--quiet").output == ""


def test_what_the_oracle_cannot_do_is_said_and_the_answer_of_the_network_kept(relax, model):
    held = strained_copper(3)
    held.set_constraint(FixAtoms([1]))
    given = written(strained_copper(), bulk("W"), held)
    result = relax(given, "-o", "out.extxyz", "--then", EMT_PATH, "--json")
    assert result.exit_code == 1
    lines = told(result.stderr)
    assert lines[1:] == [
        f"in.extxyz[1]: not relaxed by {EMT_PATH}: {EMT_PATH} fails on it (NotImplementedError: No EMT-potential for "
        "W); check it or choose another oracle",
        f"in.extxyz[2]: not relaxed by {EMT_PATH}: {EMT_PATH} cannot keep what the input fixes and relax the rest; "
        "free it or fix all",
        "3 relaxed (1 suspect: see empnn_warnings in the output, or --json), 0 skipped; "
        "then 1 converged, 1 failed, 1 refused; wrote 3 to out.extxyz",
    ]
    found = structures(result)
    assert [one["then"]["status"] for one in found] == ["converged", "failed", "refused"]
    assert found[1]["then"]["energy_per_atom"] is None
    assert found[1]["then"]["volume_before"] > 0
    _, tungsten, copper = ase.io.read("out.extxyz", ":")
    for after, before in ((tungsten, bulk("W")), (copper, strained_copper(3))):
        assert after.cell.array == pytest.approx(load(model).relax(before).structures.cell.array, abs=1e-4)
        assert "not relaxed by" in after.info["empnn_warnings"]
        assert "empnn_then_energy_per_atom" not in after.info


def test_reports_tell_of_both(relax):
    given = written(strained_copper(0), strained_copper(1))
    result = relax(given, "-o", "out.extxyz", "--then", EMT_PATH, "--report", "report.csv")
    assert f"volume changed by {EMT_PATH} from there: " in result.stderr
    with Path("report.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row, after in zip(rows, ase.io.read("out.extxyz", ":"), strict=True):
        assert float(row["volume_after"]) == pytest.approx(after.info["empnn_then_volume_before"], abs=1e-5)
        assert float(row["then_volume"]) == pytest.approx(after.get_volume(), abs=1e-5)
        assert (row["then"], row["then_status"]) == (EMT_PATH, "converged")
    relax(given, "-o", "out.extxyz", "--then", EMT_PATH, "--report", "report.html")
    page = Path("report.html").read_text(encoding="utf-8")
    assert f", then by {EMT_PATH}, to out.extxyz" in page
    assert f"{EMT_PATH} converged: " in page


@pytest.mark.filterwarnings("ignore")
def test_predicted_errors_of_the_answer_stay(tmp_path):
    ase.io.write("in.extxyz", strained_copper())
    outcomes = []
    work = RelaxingOn(Relaxing(load("pbe")), job(EMT_PATH, OracleRelaxation(mode="all", fmax=0.05)))
    process([Path("in.extxyz")], Path("out.extxyz"), work, outcomes.append)
    info = ase.io.read("out.extxyz").info
    assert outcomes[0].errors["volume_90"] > 0
    assert {name: info[f"empnn_error_{name}"] for name in outcomes[0].errors} == pytest.approx(
        outcomes[0].errors, abs=1e-6
    )


def test_what_does_not_converge_is_said(relax):
    result = relax(written(strained_copper()), "-o", "out.extxyz", "--then", EMT_PATH, "--steps", "1", "--json")
    assert result.exit_code == 0
    (one,) = structures(result)
    assert (one["then"]["status"], one["then"]["steps"]) == ("not-converged", 1)
    said, last = told(result.stderr)
    assert "not converged after 1 steps; give more --steps" in said
    assert last == "1 relaxed, 0 skipped; then 1 not-converged; wrote 1 to out.extxyz"
    assert "not converged after 1 steps" in ase.io.read("out.extxyz").info["empnn_warnings"]


def test_what_an_earlier_run_told_is_not_told_again(relax):
    relax(written(strained_copper()), "-o", "first.extxyz", "--then", EMT_PATH, "--symmetrize", "0.5")
    assert {"empnn_then", "empnn_symmetrized"} <= set(ase.io.read("first.extxyz").info)
    relax("first.extxyz", "-o", "second.extxyz")
    info = ase.io.read("second.extxyz").info
    assert [key for key in info if "then" in key or "symmetrized" in key] == []
    assert info["empnn_source"] == "first.extxyz[0]"


def test_positions_that_are_to_stay_do(relax):
    given = strained_copper()
    given.positions[1] += 0.05
    relax(written(given), "-o", "out.extxyz", "--then", EMT_PATH, "--fix", "positions")
    (after,) = ase.io.read("out.extxyz", ":")
    apart = after.get_scaled_positions() - given.get_scaled_positions()
    assert apart - np.rint(apart) == pytest.approx(0.0, abs=1e-7)
    assert after.info["empnn_then_status"] == "converged"


@pytest.mark.parametrize("output", [("out.extxyz",), ("out", "--format", "extxyz")])
def test_a_run_that_is_resumed_computes_nothing_again(relax, output, monkeypatch):
    written(*(strained_copper(seed) for seed in range(5)))
    command = ("in.extxyz", "-o", *output, "--then", COUNTING, "--option", "file=note", "--store", "store")
    whole = relax(*command, "--json")
    (once,) = {len(Path("note").read_text().splitlines())}
    expected = [one["then"] for one in structures(whole)]
    for path in sorted(Path("store").rglob("*.json")):
        path.unlink()
    Path("note").unlink()
    told, calls = RelaxingOn._told, []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return told(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(RelaxingOn, "_told", interrupted)
        stopped = relax(*command)
    assert stopped.exit_code == 130
    assert stopped.stderr.splitlines()[-1] == "empnn: interrupted; the same command with --resume goes on from here"
    # What is left in the store of the three that are kept must not matter.
    for path in sorted(Path("store").rglob("*.json")):
        path.unlink()
    before = len(Path("note").read_text().splitlines())
    resumed = relax(*command, "--resume", "--json")
    assert "; 3 had been done before; " in resumed.stderr.splitlines()[-1]
    found = [one["then"] for one in structures(resumed)]
    for one, other in zip(found, expected, strict=True):
        assert {**one, "message": None} == pytest.approx({**other, "message": None}, abs=1e-3)
    assert len(Path("note").read_text().splitlines()) - before < 0.7 * once


def test_symmetry_stays_exact(relax):
    atoms = bulk("Cu", "fcc", 3.7, cubic=True)
    atoms.rattle(0.02, seed=1)
    noise = np.random.default_rng(0).normal(0, 0.01, (3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + noise), scale_atoms=True)
    relax(written(atoms), "-o", "out.cif", "--then", EMT_PATH, "--symmetrize", "0.5")
    text = Path("out.cif").read_text()
    assert "'F m -3 m'" in text
    assert "_empnn_symmetrized 'Fm-3m (225)'" in text
    assert "_empnn_then_status converged" in text


def test_outcomes_of_refused_structures_are_passed_on(relax):
    bad = bulk("Cu")
    bad.positions[0, 0] = np.nan
    result = relax(written(bad, strained_copper()), "-o", "out.traj", "--then", EMT_PATH, "--keep-failed", "--json")
    assert result.exit_code == 1
    found = [(one["status"], one["then"] is not None) for one in structures(result)]
    assert found == [("refused", False), ("relaxed", True)]
    assert [atoms.info["empnn_status"] for atoms in ase.io.read("out.traj", ":")] == ["refused", "relaxed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--then", "chgnot"), "did you mean chgnet?"),
        (("--then", "vasp-inputs"), "--then vasp-inputs: it writes files and relaxes nothing; see `empnn energy`"),
        (("--then", "support.calculators:EnergyOnly"), "it has no stress, which relaxing a cell takes"),
        (("--then", EMT_PATH, "--steps", "0"), "must be positive"),
        (("--then", EMT_PATH, "--option", "x"), "give KEY=VALUE"),
        (("--fmax", "0"), "--fmax belongs to --then"),
        (("--steps", "9"), "--steps belongs to --then; name an oracle there, or leave it out"),
        (("--workers", "2"), "--workers belongs to --then"),
        (("--option", "a=1"), "--option belongs to --then"),
    ],
)
def test_mistakes_get_one_line(relax, arguments, message):
    result = relax(written(bulk("Cu")), "-o", "out.extxyz", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = told(result.stderr)
    assert message in line
    assert not Path("out.extxyz").exists()


def test_the_cell_cannot_stay():
    result = run("relax", written(bulk("Cu")), "-o", "out.cif", "--then", EMT_PATH, "--fix", "cell")
    assert result.exit_code == 1
    assert f"--fix cell: {EMT_PATH} relaxes the cell and cannot keep it; leave it out" in result.stderr


def test_what_is_not_installed_says_what_to_install(relax, monkeypatch):
    monkeypatch.setattr("empnn.energy.oracle.find_spec", lambda module: None)
    for name in ("chgnet", "sevennet"):
        result = relax(written(bulk("Cu")), "-o", "out.extxyz", "--then", name)
        assert result.exit_code == 1
        assert "is not installed; pip install 'empnn[energy]' (see docs/energies.md)" in result.stderr


@pytest.mark.filterwarnings("ignore")
def test_a_real_potential():
    """Rock salt from the default model's answer: what is left to be done is little, and is done."""
    try:
        load_oracle("chgnet")
    except ConfigError as error:
        pytest.skip(str(error))
    atoms = bulk("NaCl", "rocksalt", 5.2)
    atoms.set_cell(atoms.cell.array @ np.diag([1.05, 0.98, 1.0]), scale_atoms=True)
    ase.io.write("in.cif", atoms)
    outcomes = []
    work = RelaxingOn(Relaxing(load("pbe")), job("chgnet", OracleRelaxation(mode="all", fmax=0.05)))
    process([Path("in.cif")], Path("out.extxyz"), work, outcomes.append)
    then = outcomes[0].then
    assert then["status"] == "converged"
    assert -3.8 < then["energy_per_atom"] <= then["energy_per_atom_before"] < -3.4
    (after,) = ase.io.read("out.extxyz", ":")
    assert after.cell.lengths() == pytest.approx(5.68 / np.sqrt(2), abs=0.08)
