"""`--fix`, and what files themselves fix, from one file to another."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.constraints import FixAtoms, FixBondLength, FixCartesian, FixScaled
from pymatgen.core import Structure
from support.relaxing import run, salt, tiny_model, tiny_network, triclinic

from empnn import models
from empnn.data.formats.constraints import held
from empnn.data.reading import read

SAID = "fractional coordinates: fixed in the input"
MASK = np.array([[1, 1, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)
OUTPUTS = ("out.extxyz", "out.cif", "out.csv", "out.parquet", "out.json", "out.traj", "out.db", "out.vasp")


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moving")
    models.save(folder, tiny_network(scale=8.0, deform=["cell", "positions"]), {"strain_limit": 9})
    return str(folder)


@pytest.fixture
def relax(moving):
    return lambda *arguments: run("relax", "--model", moving, *arguments)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def constrained():
    atoms = triclinic("mp-1")
    atoms.set_constraint([FixAtoms([0, 3]), FixScaled([1], [0, 0, 1]), FixScaled([4], [0, 1, 0])])
    return atoms


def boxed():
    """Along the axes, where fractional coordinates are Cartesian ones."""
    atoms = triclinic()
    atoms.set_cell([5.5, 7.0, 6.5], scale_atoms=True)
    return atoms


def write_poscar(path):
    ase.io.write(path, constrained(), format="vasp", direct=True)


def write_json(path):
    atoms = constrained()
    flags = {"selective_dynamics": (~MASK).tolist()}
    frac = atoms.get_scaled_positions(wrap=False)
    Path(path).write_text(Structure(atoms.cell.array, atoms.symbols, frac, site_properties=flags).to_json())


def write_move_mask(path):
    atoms = boxed()
    rows = [
        " ".join([symbol, *map(str, position), *("F" if fixed else "T" for fixed in mask)])
        for symbol, position, mask in zip(atoms.symbols, atoms.positions, MASK, strict=True)
    ]
    lattice = " ".join(map(str, atoms.cell.array.ravel()))
    head = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:move_mask:L:3'
    Path(path).write_text("\n".join(["5", head, *rows, ""]))


INPUTS = {
    "POSCAR": write_poscar,
    "in.extxyz": write_move_mask,
    "in.json": write_json,
    "in.traj": lambda path: ase.io.write(path, constrained()),
    "in.db": lambda path: ase.io.write(path, constrained()),
}


def frac(atoms):
    return atoms.get_scaled_positions(wrap=False)


def only(path):
    (record,) = read(path)
    assert record.error is None
    return record.atoms


@pytest.mark.parametrize("name", INPUTS)
def test_what_a_file_fixes_stays(relax, name):
    INPUTS[name](name)
    given = only(name)
    assert np.array_equal(held(given)[0], MASK)
    shown = json.loads(relax(name, "-o", "out.extxyz", "--passes", "2", "--json").stdout)
    (outcome,) = shown["structures"]
    kept = [words for words in outcome["warnings"] if words.endswith(SAID)]
    assert kept == [f"2 atoms keep their {SAID}", f"2 atoms keep some of their {SAID}"]
    relaxed = only("out.extxyz")
    assert relaxed.info["empnn_warnings"].endswith(SAID)
    moved = np.abs(frac(relaxed) - frac(given))
    assert moved[MASK].max() < 1e-13
    assert moved[~MASK].min() > 1e-6
    assert not np.allclose(relaxed.cell.array, given.cell.array, atol=1e-3)
    assert sorted(map(repr, relaxed.constraints)) == sorted(map(repr, given.constraints))


def test_the_last_lines_count_what_files_fix(relax):
    write_poscar("POSCAR")
    tied = constrained()
    tied.set_constraint([FixAtoms([0]), FixBondLength(0, 1)])
    skewed = triclinic()
    skewed.set_constraint(FixCartesian([1], [False, False, True]))
    ase.io.write("in.traj", [tied, skewed, salt()])
    said = "2 crystals keep fixed coordinates; 2 have constraints that are ignored (FixBondLengths, FixCartesian)"
    assert relax("POSCAR", "in.traj", "-o", "out.vasp/", "--format", "vasp").stderr.splitlines().count(said) == 1
    assert "1 crystal keeps fixed coordinates" in relax("POSCAR", "-o", "out.extxyz", "--json").stderr.splitlines()
    assert relax("POSCAR", "in.traj", "-o", "out.extxyz", "--quiet").stderr == ""
    assert "coordinates" not in relax("POSCAR", "-o", "out.extxyz", "--fix", "positions").stderr


def test_flags_that_other_programs_do_not_find_in_extxyz_are_named(relax):
    write_poscar("POSCAR")
    said = "out.extxyz has no place for its constraints (FixScaled) but empnn_aside, which other programs skip"
    assert f"POSCAR[0]: {said}" in run("convert", "POSCAR", "out.extxyz").stderr.splitlines()
    assert np.array_equal(held(only("out.extxyz"))[0], MASK)
    shown = json.loads(relax("POSCAR", "-o", "out.extxyz", "--json").stdout)
    assert shown["structures"][0]["warnings"][-1] == said
    whole = constrained()
    whole.set_constraint([FixAtoms([0]), FixCartesian([1], [True, False, False])])
    ase.io.write("whole.traj", whole)
    assert run("convert", "whole.traj", "whole.extxyz").stderr == "1 converted, 0 skipped; wrote 1 to whole.extxyz\n"


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_format_keeps_it(relax, output):
    write_poscar("POSCAR")
    given = only("POSCAR")
    assert relax("POSCAR", "-o", output, "--fix", "cell").exit_code == 0
    relaxed = only(output)
    assert np.array_equal(held(relaxed)[0], MASK)
    assert np.abs(relaxed.cell.array - given.cell.array).max() < 1e-12
    moved = frac(relaxed) - frac(given)
    assert np.abs(moved - np.round(moved))[MASK].max() < 1e-13
    assert np.abs(moved[2]).max() > 1e-3


@pytest.mark.parametrize("output", ["out.extxyz", "out.traj"])
def test_a_fixed_cell_is_written_as_it_was_read(relax, output):
    given = constrained()
    ase.io.write("in.traj", [given, salt()])
    result = relax("in.traj", "-o", output, "--fix", "cell", "--quiet")
    assert (result.exit_code, result.stdout) == (0, "")
    after, other = (record.atoms for record in read(output))
    for one, before in ((after, given), (other, salt())):
        assert one.cell.array.tobytes() == before.cell.array.tobytes()
    if output == "out.traj":
        assert after.positions[[0, 3]].tobytes() == given.positions[[0, 3]].tobytes()
    assert np.abs(after.positions - given.positions)[2].max() > 1e-3


def test_fixed_positions_are_written_as_they_were_read(relax):
    write_poscar("POSCAR")
    assert relax("POSCAR", "-o", "out.vasp", "--fix", "positions").exit_code == 0
    rows = [[line.split()[:3] for line in Path(name).read_text().splitlines()[9:14]] for name in ("POSCAR", "out.vasp")]
    assert np.abs(np.array(rows[0], dtype=float) - np.array(rows[1], dtype=float)).max() < 1e-14
    assert np.abs(only("out.vasp").cell.array - only("POSCAR").cell.array).max() > 1e-2
    shown = json.loads(relax("POSCAR", "-o", "out.extxyz", "--fix", "positions", "--json").stdout)
    assert "fixed" not in str(shown["structures"][0]["warnings"])


@pytest.mark.parametrize("word", ["cells", "", "atoms", "CELL", "cell,positions"])
@pytest.mark.parametrize("command", [("relax", "in.traj", "-o", "out.cif"), ("evaluate", "--data", "in.traj")])
def test_a_wrong_word_gets_one_line(moving, command, word):
    ase.io.write("in.traj", triclinic())
    result = run(*command, "--model", moving, "--fix", word)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [f"empnn: --fix {word}: choose cell or positions"]
    assert not Path("out.cif").exists()


@pytest.mark.parametrize("command", [("relax", "in.traj", "-o", "out.cif"), ("evaluate", "--data", "in.traj")])
def test_both_are_not_kept(moving, command):
    ase.io.write("in.traj", triclinic())
    result = run(*command, "--model", moving, "--fix", "cell", "--fix", "positions")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "empnn: --fix cell and --fix positions: nothing would move; choose one\n"
    assert not Path("out.cif").exists()
    assert run(*command, "--model", moving, "--fix", "cell", "--fix", "cell").exit_code == 0


def test_a_model_of_cells_keeps_no_cell(tmp_path):
    ase.io.write("in.traj", triclinic())
    model = str(tiny_model(tmp_path / "cells"))
    for command in (("relax", "in.traj", "-o", "out.cif"), ("evaluate", "--data", "in.traj")):
        result = run(*command, "--model", model, "--fix", "cell")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.splitlines() == [
            "empnn: --fix cell: this model moves cells only; use one that moves atoms (pbe)"
        ]
    assert run("relax", "in.traj", "-o", "out.cif", "--model", model, "--fix", "positions").exit_code == 0


def test_another_fix_is_another_run(relax, monkeypatch):
    monkeypatch.setattr("empnn.bulk.resumable.RECORDS", 2)
    overlapping = salt()
    overlapping.positions[0] = overlapping.positions[1]
    ase.io.write("in.extxyz", [triclinic(), salt(), triclinic(), overlapping])
    command = ("in.extxyz", "-o", "out.extxyz")
    assert relax(*command, "--fix", "cell", "--strict").exit_code == 1
    for other in ((), ("--fix", "positions")):
        (line,) = relax(*command, *other, "--resume").stderr.splitlines()
        assert line.startswith("empnn: out.extxyz: it was begun with other inputs, options or weights")
    result = relax(*command, "--fix", "cell", "--resume")
    assert "3 relaxed, 1 skipped; 2 had been done before; wrote 3" in result.stderr
    assert all(np.array_equal(one.cell, triclinic().cell) for one in ase.io.read("out.extxyz", "::2"))


def test_each_mode_is_scored(moving):
    ase.io.write("in.traj", [triclinic(), salt()])

    def figures(*options):
        return json.loads(run("evaluate", "--data", "in.traj", "--model", moving, "--json", *options).stdout)

    cell, positions, free = figures("--fix", "cell"), figures("--fix", "positions"), figures()
    assert (cell["fix"], positions["fix"], "fix" in free) == ("cell", "positions", False)
    assert (cell["sigma"], cell["positions_sigma"], cell["lengths_mae"], cell["angles_mae"]) == (0, 0.1, 0, 0)
    assert cell["positions_mae"] != cell["noise_positions"] > 0
    assert (positions["sigma"], positions["positions_sigma"], positions["positions_mae"]) == (0.1, 0, 0)
    assert positions["lengths_mae"] != positions["noise_lengths"] > 0
    both = figures("--fix", "cell", "--noise", "0.1")
    assert both["lengths_mae"] == both["noise_lengths"] == free["noise_lengths"]
    ase.io.write("true.traj", [triclinic(), salt()])
    compared = figures("--fix", "cell", "--reference", "true.traj")
    assert (compared["fix"], compared["lengths_mae"]) == ("cell", 0)
    shown = run("evaluate", "--data", "in.traj", "--model", moving, "--fix", "cell").stdout
    assert "2 structures, sigma 0, seed 0, cell kept" in shown


def test_an_oracle_keeps_positions_and_no_cell():
    from ase.build import bulk

    ase.io.write("in.traj", bulk("Cu", cubic=True))
    oracle = ("evaluate", "--data", "in.traj", "--relaxer", "ase.calculators.emt:EMT", "--json")
    kept = json.loads(run(*oracle, "--fix", "positions").stdout)
    plain = json.loads(run(*oracle).stdout)
    assert (kept.pop("fix"), kept["lengths_mae"]) == ("positions", plain["lengths_mae"])
    result = run(*oracle, "--fix", "cell")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "empnn: --fix cell: ase.calculators.emt:EMT relaxes the cell and cannot keep it; leave it out"
    ]
