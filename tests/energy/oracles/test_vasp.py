"""Inputs as the appendix prints them, and runs read back: made by hand, and as ASE ships them."""

import re
import shutil
from pathlib import Path

import ase
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from support.calculators import records

from empnn.energy import OracleRelaxation
from empnn.energy.answers import Choice
from empnn.energy.oracles.vasp_runs import read_run
from empnn.energy.run import Job, judge
from empnn.energy.store import crystal_digest
from empnn.errors import CrystalError

RUNS = Path(ase.__file__).parent / "test/testdata/vasp"
DIAMOND = read(RUNS / "vasprun_pstress.xml", format="vasp-xml")

INCAR = """\
ISTART = 0
IBRION = 2
ISIF = 6
NSW = 100
ENCUT = 500
PREC = Accurate
EDIFF = 1e-7

LREAL = .FALSE.
ISMEAR = 0
SIGMA = 0.10
POTIM = 0.020
LCHARG = .FALSE.
LWAVE = .FALSE.

GGA = PE
"""
KPOINTS = "Automatic mesh\n0\nMonkhorst-pack\n7 7 7\n0. 0. 0.\n"
PEROVSKITE = Atoms(
    "OTiOSrO",
    cell=np.diag([3.9, 3.9, 4.1]),
    scaled_positions=[[0.5, 0.5, 0], [0.5, 0.5, 0.5], [0.5, 0, 0.5], [0, 0, 0], [0, 0.5, 0.5]],
    pbc=True,
)


def place(root, atoms, number=0):
    """The folder of a crystal, which does not depend on what else a run holds."""
    return root / f"c-{number}-{crystal_digest(atoms)[:8]}"


def judged(folder, *crystals, mode="cell", **options):
    choice = Choice("vasp-inputs", {"folder": str(folder), **options})
    return judge(records(*crystals), Job(choice=choice, relaxation=OracleRelaxation(mode=mode)))


def test_inputs_are_those_of_the_listings(tmp_path):
    found = judged(tmp_path / "runs", PEROVSKITE, bulk("Cu"))
    assert [one.status for one in found] == ["written", "written"]
    folder = place(tmp_path / "runs", PEROVSKITE)
    assert sorted(path.name for path in folder.iterdir()) == ["INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"]
    assert (folder / "INCAR").read_text().partition("\n\n")[2] == INCAR
    assert (folder / "KPOINTS").read_text() == KPOINTS
    assert (folder / "POTCAR.spec").read_text() == "O\nTi_pv\nSr_sv\n"
    assert (place(tmp_path / "runs", bulk("Cu"), 1) / "POTCAR.spec").read_text() == "Cu_pv\n"
    written = read(folder / "POSCAR", format="vasp")
    assert str(written.symbols) == "O3TiSr"
    assert written.cell.array == pytest.approx(PEROVSKITE.cell.array)
    assert written.get_scaled_positions() == pytest.approx(PEROVSKITE.get_scaled_positions()[[0, 2, 4, 1, 3]])


def test_limits_of_a_relaxation(tmp_path):
    judged(tmp_path, bulk("Cu"), nsw=300, ediffg=-0.02)
    text = (place(tmp_path, bulk("Cu")) / "INCAR").read_text()
    assert "NSW = 300\n" in text
    assert "EDIFFG = -0.02\n" in text
    judged(tmp_path / "still", bulk("Cu"), mode="none", ediffg=-0.02)
    assert "EDIFFG" not in (place(tmp_path / "still", bulk("Cu")) / "INCAR").read_text()


def test_files_that_are_there_are_left_alone(tmp_path):
    judged(tmp_path, DIAMOND)
    folder = place(tmp_path, DIAMOND)
    (folder / "POTCAR.spec").write_text("C_s\n")
    assert judged(tmp_path, DIAMOND)[0].status == "written"
    assert (folder / "POTCAR.spec").read_text() == "C_s\n"
    for name in ("INCAR", "POTCAR.spec"):
        (folder / name).unlink()
    shutil.copy(RUNS / "vasprun_pstress.xml", folder / "vasprun.xml")
    assert judged(tmp_path, DIAMOND)[0].status == "computed"
    assert sorted(path.name for path in folder.iterdir()) == ["KPOINTS", "POSCAR", "vasprun.xml"]


def test_a_run_that_did_not_converge_comes_with_advice(tmp_path):
    folder = place(tmp_path, DIAMOND)
    folder.mkdir()
    text = (RUNS / "vasprun_pstress.xml").read_text()
    (folder / "vasprun.xml").write_text(re.sub('NELM">.*?<', 'NELM">8<', text))
    one = judged(tmp_path, DIAMOND)[0]
    assert one.status == "not-converged"
    assert "`options` nsw=300" in one.message
    assert "`steps`" not in one.message


@pytest.mark.parametrize(("mode", "lines"), [("none", ("-1", "2", "0")), ("all", ("2", "3", "100"))])
def test_other_modes(tmp_path, mode, lines):
    judged(tmp_path, bulk("Cu"), mode=mode, cutoff=800.0, kpoint_density=1.9)
    text = (place(tmp_path, bulk("Cu")) / "INCAR").read_text()
    assert re.findall(r"(?:IBRION|ISIF|NSW|ENCUT) = (.*)", text) == [*lines, "800"]
    assert "Gamma\n6 6 6" in (place(tmp_path, bulk("Cu")) / "KPOINTS").read_text()


def test_pymatgen_reads_the_inputs(tmp_path):
    from pymatgen.io.vasp import Incar, Kpoints, Poscar

    judged(tmp_path, PEROVSKITE)
    folder = place(tmp_path, PEROVSKITE)
    incar = Incar.from_file(folder / "INCAR")
    assert (incar["ISIF"], incar["ENCUT"], incar["LCHARG"]) == (6, 500, False)
    assert Kpoints.from_file(folder / "KPOINTS").kpts == [(7, 7, 7)]
    assert Poscar.from_file(folder / "POSCAR", check_for_potcar=False).site_symbols == ["O", "Ti", "Sr"]


def test_a_finished_run_is_read_back(tmp_path):
    judged(tmp_path, DIAMOND, mode="none")
    shutil.copy(RUNS / "vasprun_pstress.xml", place(tmp_path, DIAMOND) / "vasprun.xml")
    one = judged(tmp_path, DIAMOND, mode="none")[0]
    assert one.status == "computed"
    assert one.result.energy_per_atom == pytest.approx(-20.24720095 / 2, abs=1e-6)
    assert np.array(one.result.cell) == pytest.approx(DIAMOND.cell.array)
    assert np.array(one.result.stress) == pytest.approx(DIAMOND.get_stress())


def test_an_outcar_is_read_back():
    nickel = read(RUNS / "OUTCAR_example_1", format="vasp-out")
    result = read_run(_copied("OUTCAR_example_1", "OUTCAR"), nickel)
    assert result.energy == pytest.approx(-68.23102426)
    assert result.converged
    assert result.seconds == pytest.approx(124.967)
    assert np.array(result.forces) == pytest.approx(nickel.get_forces())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _copied(name, new, change=lambda text: text):
    path = Path(new).absolute()
    path.write_text(change((RUNS / name).read_text()))
    return path


def test_a_run_that_reached_its_limits_has_not_converged():
    electronic = _copied("vasprun_pstress.xml", "vasprun.xml", lambda text: re.sub('NELM">.*?<', 'NELM">8<', text))
    assert not read_run(electronic, DIAMOND).converged
    ionic = _copied("OUTCAR_example_1", "OUTCAR", lambda text: text.replace("NSW    =      0", "NSW    =    100"))
    nickel = read(RUNS / "OUTCAR_example_1", format="vasp-out")
    assert not read_run(ionic, nickel).converged


def test_runs_that_cannot_be_used():
    cut = _copied("vasprun_pstress.xml", "vasprun.xml", lambda text: text[:-100])
    with pytest.raises(CrystalError, match="not complete"):
        read_run(cut, DIAMOND)
    broken = _copied("vasprun_pstress.xml", "vasprun.xml", lambda text: "<modeling></modeling>")
    with pytest.raises(CrystalError, match="cannot be read"):
        read_run(broken, DIAMOND)
    other = _copied("vasprun_pstress.xml", "vasprun.xml")
    with pytest.raises(CrystalError, match="other atoms"):
        read_run(other, bulk("Cu"))
    strained = DIAMOND.copy()
    strained.set_cell(strained.cell.array * [1.05, 1, 1], scale_atoms=True)
    with pytest.raises(CrystalError, match="another structure"):
        read_run(other, strained)


def test_an_incar_may_say_more(tmp_path):
    judged(tmp_path, DIAMOND)
    with (place(tmp_path, DIAMOND) / "INCAR").open("a") as incar:
        incar.write("NCORE = 4 ! for this machine\nLREAL = .false.\n")
    assert judged(tmp_path, DIAMOND)[0].status == "written"
    with (place(tmp_path, DIAMOND) / "INCAR").open("a") as incar:
        incar.write("ENCUT = 400\n")
    assert "holds another INCAR" in judged(tmp_path, DIAMOND)[0].message


def test_runs_are_found_in_other_company(tmp_path):
    judged(tmp_path, bulk("Cu"), DIAMOND, mode="none")
    shutil.copy(RUNS / "vasprun_pstress.xml", place(tmp_path, DIAMOND, 1) / "vasprun.xml")
    choice = Choice("vasp-inputs", {"folder": str(tmp_path)})
    (one,) = judge(records(bulk("Cu"), DIAMOND)[1:], Job(choice=choice, relaxation=OracleRelaxation(mode="none")))
    assert one.status == "computed"


def test_a_folder_of_another_run_is_left_alone(tmp_path):
    judged(tmp_path, bulk("Cu"))
    before = (place(tmp_path, bulk("Cu")) / "POSCAR").read_text()
    for change in ({"mode": "all"}, {"cutoff": 600.0}):
        assert "holds another INCAR" in judged(tmp_path, bulk("Cu"), **change)[0].message
    assert judged(tmp_path, bulk("Al"))[0].status == "written"
    assert (place(tmp_path, bulk("Cu")) / "POSCAR").read_text() == before


def test_order_and_basis_come_back_as_given(tmp_path):
    left = Atoms("BNB", cell=[[0, 3, 0], [4, 0, 0], [0, 0, 5]], scaled_positions=[[0, 0, 0], [0.5] * 3, [0.2] * 3])
    judged(tmp_path, left)
    written = read(place(tmp_path, left) / "POSCAR", format="vasp")
    assert str(written.symbols) == "B2N"
    assert np.linalg.det(written.cell.array) > 0
    text = _vasprun(written)
    (place(tmp_path, left) / "vasprun.xml").write_text(text)
    result = judged(tmp_path, left)[0].result
    assert np.array(result.cell) == pytest.approx(left.cell.array)
    assert np.array(result.forces)[:, 0] == pytest.approx([0.1, 0.3, 0.2])
    assert result.energy == pytest.approx(-12.5)


def _vasprun(atoms):
    """The least that ASE reads."""
    rows = lambda name, values: (  # noqa: E731
        f'<varray name="{name}">' + "".join(f"<v> {a:.8f} {b:.8f} {c:.8f} </v>" for a, b, c in values) + "</varray>"
    )
    structure = (
        f'<structure><crystal>{rows("basis", atoms.cell.array)}<i name="volume"> {atoms.get_volume():.8f} </i>'
        f"</crystal>{rows('positions', atoms.get_scaled_positions())}</structure>"
    )
    initial = structure.replace("<structure>", '<structure name="initialpos">')
    species = "".join(f"<rc><c>{symbol} </c><c> 1</c></rc>" for symbol in atoms.get_chemical_symbols())
    forces = [[0.1 * (row + 1), 0, 0] for row in range(len(atoms))]
    energies = "".join(f'<i name="{name}"> -12.5 </i>' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy"))
    return (
        "<modeling><kpoints></kpoints><atominfo>"
        f'<array name="atoms"><set>{species}</set></array></atominfo>'
        f"{initial}<calculation>"
        f"<scstep><energy>{energies}</energy></scstep>{structure}"
        f"{rows('forces', forces)}{rows('stress', np.zeros((3, 3)))}"
        f"<energy>{energies}</energy></calculation></modeling>"
    )
