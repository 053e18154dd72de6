"""What docs/refusals.md lists, through the real command: what is refused, and what is accepted with a word."""

import errno
import gzip
import json
import os
import subprocess
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.core import DummySpecies, Lattice, Structure
from support import cif_texts as cif
from support.relaxing import run, salt, tiny_model, told, triclinic

from empnn.checks.memory import available_memory, memory_refusal
from empnn.data.reading import read

CELL = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3'
POSCAR = "x\n1.0\n{0}\nNa\n{1}\nDirect\n{2}\n"
CUBE = "4 0 0\n0 4 0\n0 0 4"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("model"), elements=[1, 6, 8, 11, 16, 17, 29], strain_limit=9))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def relax(model):
    return lambda *arguments: run("relax", "--model", model, *arguments)


def disordered(species):
    return json.dumps(json.loads(Structure(Lattice.cubic(4), [species], [[0, 0, 0]]).to_json()))


REFUSED = {
    "binary.extxyz": (bytes(range(256)), "not a text file; check its format"),
    "empty.cif": (b"", "the file is empty; nothing to read"),
    "words.cif": ("hello, world\n", "not valid CIF (1:0(0): expected block header (data_)); correct the file"),
    "truncated.cif": (
        cif.P1[:-20],
        "not valid CIF (18:0(466): Wrong number of values in loop",
    ),
    "truncated.cif.gz": (gzip.compress(cif.P1.encode())[:-30], "cannot be read (EOFError Compressed file ended"),
    "truncated.extxyz": (f"3\n{CELL}\nNa 0 0 0\n", "it announces 3 atoms and has lines for 1; complete or remove it"),
    "truncated.vasp": (POSCAR.format(CUBE, 2, "0 0 0"), "it announces 2 atoms and has coordinates of 1; complete or"),
    "none.extxyz": (f"0\n{CELL}\n", "it has no atoms; remove it or add the atoms"),
    "no-cell.xyz": ("1\n\nNa 0 0 0\n", "it has no lattice; give it three lattice vectors"),
    "nan.extxyz": (f"1\n{CELL}\nNa 0 nan 0\n", "atom 0 has NaN or infinite coordinates; correct its position"),
    "inf.vasp": (POSCAR.format("inf 0 0\n0 4 0\n0 0 4", 1, "0 0 0"), "the cell holds NaN or infinite values; correct"),
    "far.vasp": (POSCAR.format(CUBE, 1, "1e16 0 0"), "atom 0 lies 1e+16 cells from the origin; correct its position"),
    "flat.vasp": (POSCAR.format("4 0 0\n0 4 0\n4 4 0", 1, "0 0 0"), "its lattice vectors are linearly dependent"),
    "nearly-flat.vasp": (
        POSCAR.format("4 0 0\n0 4 0\n2.4 3.2 3e-4", 1, "0 0 0"),
        "its volume is 0.0048 cubic angstrom per atom (the cell is flat or too small); correct the lattice vectors",
    ),
    "dense.vasp": (
        POSCAR.format("0.7 0 0\n0 0.7 0\n0 0 0.7", 1, "0 0 0"),
        "its volume is 0.343 cubic angstrom per atom",
    ),
    "overlap.extxyz": (
        f"3\n{CELL}\nNa 0 0 0\nCl 2 2 2\nNa 3.9 0 0\n",
        "atoms 0 and 2 overlap (0.100 angstrom apart); remove or move one",
    ),
    "image.vasp": (
        POSCAR.format("0.2 0 0\n0 4 0\n0 0 4", 1, "0 0 0"),
        "atom 0 and its periodic image overlap (0.200 angstrom apart); correct the lattice vectors",
    ),
    "partial.cif": (
        cif.BY_SYMBOL.replace("0.5 1.", "0.5 0.5"),
        "site Cl1 has partial occupancy 0.5; order the structure before relaxing it",
    ),
    "disorder.json": (
        disordered({"Fe": 0.5, "Ni": 0.5}),
        "site 0 (Fe:0.5, Ni:0.5) is disordered or partly occupied; order the structure first",
    ),
    "dummy.json": (disordered(DummySpecies("X")), "site 0 (X0+) is a dummy species; replace it by an element"),
    "dummy.extxyz": (f"1\n{CELL}\nX 0 0 0\n", "atom 0 has atomic number 0, which is no element; replace dummy or"),
    "unknown.extxyz": (f"1\n{CELL}\nQq 0 0 0\n", "unknown element 'Qq'; replace it by an element"),
    "unknown.cif": (cif.BY_SYMBOL.replace("Na1 Na+", "M1 Qq"), "site M1 has unknown element 'Qq'; replace it"),
    "long.vasp": (
        POSCAR.format("4 0 0\n0 4 0\n0 0 20000", 1, "0 0 0"),
        "a lattice vector is 2e+04 angstrom long, over 10000; correct the lattice vectors or their unit",
    ),
}


def test_what_is_refused(relax, here):
    """One line for each, the others come out, and a summary at the end."""
    for name, (content, _) in REFUSED.items():
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ase.io.write("good.extxyz", [salt("mp-1"), triclinic("mp-2")])
    result = relax(*REFUSED, "missing/", "missing.cif", "good.extxyz", "-o", "out.extxyz", "--json")
    assert result.exit_code == 1
    *lines, summary = told(result.stderr)
    expected = [(f"{name}[0]", message) for name, (_, message) in REFUSED.items()]
    expected += [(f"{name}[0]", "no such file; check the path") for name in ("missing", "missing.cif")]
    for line, (source, message) in zip(lines, expected, strict=True):
        assert line.partition(" (")[0].partition(":")[0] == source
        assert message in line
        assert "; " in line
    assert summary == f"2 relaxed, {len(expected)} skipped; wrote 2 to out.extxyz"
    assert [atoms.info["material_id"] for atoms in ase.io.read("out.extxyz", ":")] == ["mp-1", "mp-2"]
    content = json.loads(result.stdout)
    assert (content["relaxed"], content["skipped"]) == (2, len(expected))
    assert [s["status"] for s in content["structures"]] == ["refused"] * len(expected) + ["relaxed"] * 2
    strict = relax(*REFUSED, "good.extxyz", "-o", "strict.extxyz", "--strict")
    assert (strict.exit_code, strict.stderr.splitlines()) == (1, lines[:1])
    assert not Path("strict.extxyz").exists()


def test_no_permission_to_read(relax, monkeypatch):
    ase.io.write("secret.extxyz", salt())
    ase.io.write("good.extxyz", salt())
    opened = Path.open

    def denied(path, *args, **kwargs):
        if path.name == "secret.extxyz":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", denied)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "secret.extxyz")
    result = relax("secret.extxyz", "good.extxyz", "-o", "out.extxyz")
    assert result.exit_code == 1
    assert told(result.stderr) == [
        "secret.extxyz[0]: no permission to read it; change the permissions",
        "1 relaxed, 1 skipped; wrote 1 to out.extxyz",
    ]


@pytest.mark.parametrize("command", ["relax", "convert"])
def test_outputs_that_cannot_be(command, model, here, monkeypatch):
    ase.io.write("in.extxyz", salt())
    Path("soft.extxyz").symlink_to("in.extxyz")
    os.link("in.extxyz", "hard.extxyz")
    Path("full.extxyz").symlink_to("/dev/full")
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != "closed")
    Path("closed").mkdir()
    before = Path("in.extxyz").read_bytes()
    messages = {
        "in.extxyz": "in.extxyz is also an input; choose another output",
        "soft.extxyz": "soft.extxyz is also an input; choose another output",
        "hard.extxyz": "hard.extxyz is also an input; choose another output",
        "no/out.cif": "no/out.cif: the folder no does not exist; create it",
        "closed/out.cif": "closed/out.cif: no permission to write to the folder closed; choose another",
        "full.extxyz": "full.extxyz: cannot be written (No space left on device)",
    }
    for output, message in messages.items():
        options = ("-o", output, "--model", model) if command == "relax" else (output,)
        result = run(command, "in.extxyz", *options)
        (line,) = result.stderr.splitlines()
        assert (result.exit_code, line.partition("; once that is mended")[0]) == (1, f"empnn: {message}")
    assert line.endswith("; once that is mended, the same command with --resume goes on from here")
    assert Path("in.extxyz").read_bytes() == before
    # On a full disk what is done waits for --resume.
    assert [path.name for path in here.iterdir() if path.name.startswith(".")] == [".full.extxyz.parts"]


def test_columns_of_text_where_numbers_are_usual(relax):
    header = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:oxi_states:S:1:magmom:S:1'
    Path("in.extxyz").write_text(f"2\n{header}\nNa 0 0 0 1+ up\nCl 2 2 2 1- down\n")
    assert "1 relaxed, 0 skipped" in relax("in.extxyz", "-o", "out.extxyz").stderr
    assert ase.io.read("out.extxyz").arrays["oxi_states"].tolist() == ["1+", "1-"]


def test_large_structures_are_held_a_few_at_a_time(relax, monkeypatch):
    monkeypatch.setattr("empnn.bulk.resumable.ATOMS", 4)
    monkeypatch.setattr("empnn.bulk.pipeline.CHUNK_ATOMS", 2)
    ase.io.write("in.extxyz", [salt(f"mp-{index}") for index in range(9)])
    assert "9 relaxed, 0 skipped; wrote 9" in relax("in.extxyz", "-o", "out.extxyz").stderr
    assert len(ase.io.read("out.extxyz", ":")) == 9


def test_refused_structures_are_written_with_all_they_had(relax):
    bad = salt("bad")
    bad.positions[0] = bad.positions[1]
    bad.calc = SinglePointCalculator(bad, energy=-3.5)
    ase.io.write("in.extxyz", [bad])
    relax("in.extxyz", "-o", "out.extxyz", "--keep-failed")
    assert ase.io.read("out.extxyz").get_potential_energy() == -3.5


def test_what_the_output_cannot_hold_does_not_hide_the_others(relax):
    frames = [salt("mp-0"), salt("mp-1"), salt("mp-2")]
    frames[1].info["waves"] = np.array([1j, 2.0])
    ase.io.write("in.traj", frames)
    result = relax("in.traj", "-o", "out.extxyz", "--json")
    assert result.exit_code == 1
    assert told(result.stderr) == [
        "in.traj[1] (mp-1): its info 'waves' cannot be written (JSON knows no complex); remove it",
        "2 relaxed, 1 skipped; wrote 2 to out.extxyz",
    ]
    assert [s["status"] for s in json.loads(result.stdout)["structures"]] == ["relaxed", "refused", "relaxed"]
    assert [atoms.info["material_id"] for atoms in ase.io.read("out.extxyz", ":")] == ["mp-0", "mp-2"]


def test_hidden_files_and_pipes(relax):
    Path("folder/.out.extxyz.parts").mkdir(parents=True)
    ase.io.write("folder/.out.extxyz.parts/000000-out.extxyz", salt("part"))
    ase.io.write("folder/a.extxyz", salt("mp-1"))
    assert "1 relaxed, 0 skipped" in relax("folder", "-o", "out.extxyz").stderr
    os.mkfifo("pipe")
    feeder = subprocess.Popen(["/bin/sh", "-c", "cat folder/a.extxyz > pipe"])
    assert "1 relaxed, 0 skipped" in relax("pipe", "-o", "out.cif").stderr
    assert feeder.wait(timeout=60) == 0


def test_energies_of_the_input_are_called_that(relax):
    given = salt("mp-1")
    given.calc = SinglePointCalculator(given, energy=-3.5, forces=np.ones((2, 3)), magmoms=np.array([1.0, 2.0]))
    plain = salt("mp-2")
    plain.info["energy"] = -1.5
    ase.io.write("in.traj", [given, plain])
    relax("in.traj", "-o", "out.traj")
    first, second = (record.atoms for record in read("out.traj"))
    assert (first.calc, first.info["input_energy"], second.info["input_energy"]) == (None, -3.5, -1.5)
    assert not {"energy", "forces"} & {*first.info, *second.info, *first.arrays, *second.arrays}
    assert first.arrays["input_forces"].tolist() == [[1.0] * 3] * 2
    assert first.arrays["magmoms"].tolist() == [1.0, 2.0]
    assert "magnetic moments are ignored" in first.info["empnn_warnings"]


def test_convert_has_a_summary_too():
    ase.io.write("in.extxyz", [salt("a")] * 1000)
    with Path("in.extxyz").open("a") as handle:
        handle.write(f"1\n{CELL}\nNa nan 0 0\n")
    result = run("convert", "in.extxyz", "out.extxyz")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "in.extxyz[1000]: atom 0 has NaN or infinite coordinates; correct its position",
        "1,000 converted, 1 skipped; wrote 1,000 to out.extxyz",
    ]
    Path("one.extxyz").write_text(f"1\n{CELL}\nNa nan 0 0\n")
    strict = run("convert", "one.extxyz", "strict.extxyz", "--strict")
    assert (strict.exit_code, len(strict.stderr.splitlines())) == (1, 1)
    assert json.loads(run("convert", "one.extxyz", "again.cif", "--json", "-q").stdout)["skipped"] == 1


def left_handed():
    atoms = salt()
    atoms.set_cell(atoms.cell.array[[1, 0, 2]], scale_atoms=True)
    return atoms if np.linalg.det(atoms.cell.array) < 0 else salt()


def charged():
    atoms = salt()
    atoms.set_initial_charges([1.0, -1.0])
    atoms.set_initial_magnetic_moments([0.5, 0.0])
    return atoms


def blown_up(factor):
    atoms = salt()
    atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
    return atoms


NOTED = {
    "left.extxyz": (left_handed(), ["left-handed cell, kept so"]),
    "charged.extxyz": (charged(), ["magnetic moments are ignored", "charges are ignored"]),
    "ions.cif": (cif.BY_SYMBOL, ["oxidation states are ignored"]),
    "ice.cif": (cif.DEUTERIUM, ["oxidation states are ignored", "deuterium counts as hydrogen"]),
    "first.extxyz": (salt("twice"), []),
    "second.extxyz": (salt("twice"), []),
}
DOUBTED = {
    "sparse.extxyz": (blown_up(3.0), "given volume 584.1 cubic angstrom per atom is outside 2-200"),
    "uranium.extxyz": (Atoms("U", cell=[3, 3, 3], pbc=True), "elements not in the training data: U"),
}


def test_what_is_accepted_with_a_word(relax):
    for name, (content, _) in {**NOTED, **DOUBTED}.items():
        Path(name).write_text(content) if isinstance(content, str) else ase.io.write(name, content)
    result = relax(*NOTED, *DOUBTED, "-o", "out.extxyz", "--json")
    assert result.exit_code == 0
    outcomes = json.loads(result.stdout)["structures"]
    written = [record.atoms for record in read("out.extxyz")]
    for outcome, atoms, (_, expected) in zip(outcomes, written, NOTED.values(), strict=False):
        assert (outcome["status"], outcome["warnings"]) == ("relaxed", expected)
        assert atoms.info["empnn_status"] == "relaxed"
        assert atoms.info.get("empnn_warnings", "") == "; ".join(expected)
    for outcome, (_, expected) in zip(outcomes[len(NOTED) :], DOUBTED.values(), strict=True):
        assert outcome["status"] == "suspect"
        assert expected in outcome["warnings"][0]
    left, charges, ions, ice = written[:4]
    assert np.linalg.det(left.cell.array) < 0
    assert charges.get_initial_charges().tolist() == [1, -1]
    assert charges.get_initial_magnetic_moments().tolist() == [0.5, 0]
    assert ions.arrays["oxi_states"].tolist() == [1] * 4 + [-1] * 4
    assert ice.get_masses()[:2] == pytest.approx(2.014)
    assert [atoms.info["material_id"] for atoms in written[4:6]] == ["twice", "twice"]
    assert "(2 suspect: see empnn_warnings" in result.stderr


def test_skewed_bases_give_the_same_answer(relax):
    """A basis whose |det| / (abc) is under 1e-4 describes the same crystal, and is answered alike."""
    skewed = triclinic()
    frac = skewed.get_scaled_positions()
    change = np.array([[1, 0, 0], [150, 1, 0], [-40, 90, 1]])
    skewed.set_cell(change @ skewed.cell.array)
    skewed.set_scaled_positions(frac @ np.rint(np.linalg.inv(change)))
    assert abs(np.linalg.det(skewed.cell)) / np.prod(skewed.cell.lengths()) < 1e-4
    ase.io.write("in.traj", [triclinic(), skewed])
    assert relax("in.traj", "-o", "out.traj", "-q").exit_code == 0
    plain, other = ase.io.read("out.traj", ":")
    assert other.cell.array == pytest.approx(change @ plain.cell.array, abs=2e-2)
    back = np.linalg.solve(change.astype(float), other.cell.array)
    assert back @ back.T == pytest.approx(plain.cell.array @ plain.cell.array.T, abs=1e-3)


def test_what_does_not_fit_into_memory(relax, monkeypatch):
    message = (
        "its 100,000 atoms take about 2.7 GiB of memory to relax and 1.0 GiB are available; close other programs, "
        "use a larger machine or a smaller cell"
    )
    monkeypatch.setattr("empnn.checks.memory.available_memory", lambda: 1 << 30)
    assert memory_refusal(100_000) == message
    assert memory_refusal(9_000) is None
    monkeypatch.setattr("empnn.checks.memory._WORTH_A_LOOK", 5)
    monkeypatch.setattr("empnn.checks.memory.available_memory", lambda: 100_000)
    ase.io.write("in.extxyz", [salt(), triclinic("large")])
    result = relax("in.extxyz", "-o", "out.extxyz")
    assert result.exit_code == 1
    assert result.stderr.startswith("in.extxyz[1] (large): its 5 atoms take about 0.0 GiB of memory to relax")
    monkeypatch.setattr("empnn.checks.memory.available_memory", lambda: None)
    assert memory_refusal(10**9) is None


def test_available_memory(monkeypatch, tmp_path):
    assert available_memory() > 1 << 20
    monkeypatch.setattr("empnn.checks.memory._MEMINFO", tmp_path / "nothing")
    assert available_memory() > 1 << 20
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   2048 kB\n")
    monkeypatch.setattr("empnn.checks.memory._MEMINFO", tmp_path / "meminfo")
    assert available_memory() == 2 << 20
