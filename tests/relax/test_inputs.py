"""What can be given to be relaxed beside crystals in memory: paths, entries, columns of tables; and what cannot."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.core import IStructure, Lattice, Structure
from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry
from support.relaxing import salt, tiny_network, triclinic

from empnn.errors import ConfigError, CrystalError
from empnn.relax import Relaxation, Relaxations, Relaxer
from empnn.relax.inputs import ACCEPTED

PEROVSKITE = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]], site_properties={"magmom": [1, 2]})


@pytest.fixture(scope="module")
def relaxer():
    return Relaxer(tiny_network(), {})


@pytest.fixture
def files(tmp_path):
    """Two crystals in one file, one in another, and a file that is none."""
    ase.io.write(tmp_path / "two.extxyz", [salt("mp-1"), triclinic()])
    ase.io.write(tmp_path / "one.cif", triclinic())
    (tmp_path / "broken.cif").write_text("data_x\nloop_\n")
    return tmp_path


def same(found, expected):
    return np.allclose(found.cell.array, expected.cell.array, atol=1e-4) and list(found.symbols) == list(
        expected.symbols
    )


def test_paths(relaxer, files):
    """All structures of all files, in order, each with a status of its own."""
    two, one = files / "two.extxyz", files / "one.cif"
    result = relaxer.relax([str(two), files / "missing.cif", one, files / "broken.cif"])
    assert [status.partition(":")[0] for status in result.status] == ["relaxed"] * 2 + ["refused", "relaxed", "refused"]
    assert result.status[2] == f"refused: {files}/missing.cif[0]: no such file; check the path"
    assert result.status[4].startswith(f"refused: {files}/broken.cif[0]")
    for found, crystal in zip(result.structures[:2], [salt(), triclinic()], strict=True):
        assert same(found, relaxer.relax(crystal).structures)
    assert (result.structures[2], result.structures[4]) == (None, None)
    sources = [f"{two}[0]", f"{two}[1]", f"{one}[0]"]
    assert [one.info["empnn_source"] for one in result.structures if one is not None] == sources
    assert result.structures[0].info["material_id"] == "mp-1"


@pytest.mark.parametrize("kind", [str, Path])
def test_one_path_is_all_that_is_in_it(relaxer, files, kind):
    result = relaxer.relax(kind(files / "two.extxyz"))
    assert isinstance(result, Relaxations)
    assert result.status == ["relaxed"] * 2
    assert relaxer.relax(kind(files)).status[1:] == ["relaxed"] * 3
    assert relaxer.relax(kind(files / "*.extxyz")).status == ["relaxed"] * 2
    with pytest.raises(CrystalError, match=r"typo.cif\[0\]: no such file; check the path"):
        relaxer.relax(kind(files / "typo.cif"))


def test_paths_and_crystals_together(relaxer, files):
    given = (one for one in (salt(), files / "two.extxyz", None, PEROVSKITE, ""))
    result = relaxer.relax(given)
    kinds = [Atoms, Atoms, Atoms, type(None), Structure, type(None)]
    assert [type(one) for one in result.structures] == kinds
    assert result.status[-1].startswith("refused: an empty path; name a file")
    with pytest.raises(CrystalError, match=r"^text of several lines is no path; name a file, or make a Structure"):
        relaxer.relax(CIF)


def test_energies_of_files_are_named_as_those_of_the_input(relaxer, tmp_path):
    """As the command does: they do not belong to the relaxed cell."""
    atoms = salt()
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0)
    ase.io.write(tmp_path / "in.extxyz", atoms)
    (relaxed,) = relaxer.relax([tmp_path / "in.extxyz"]).structures
    assert relaxed.calc is None
    assert relaxed.info["input_energy"] == -3.0
    assert "energy" not in relaxed.info


def entry(structure=PEROVSKITE):
    return ComputedStructureEntry(structure, -7.0, entry_id="mp-22865")


def test_entries_give_structures(relaxer):
    one = relaxer.relax(entry())
    assert isinstance(one, Relaxation)
    assert isinstance(one.structures, Structure)
    assert one.structures == relaxer.relax(PEROVSKITE).structures
    many = relaxer.relax([entry(), salt(), SimpleNamespace(structure=IStructure.from_sites(list(PEROVSKITE)))])
    assert [type(found) for found in many.structures] == [Structure, Atoms, IStructure]


def test_an_entry_without_a_structure_is_refused_in_words(relaxer):
    bare = ComputedEntry("CsCl", -7.0)
    said = "a ComputedEntry holds no structure; give a ComputedStructureEntry or a Structure"
    with pytest.raises(CrystalError) as caught:
        relaxer.relax(bare)
    assert str(caught.value) == said
    assert relaxer.relax([bare, entry()]).status == [f"refused: {said}", "relaxed"]
    assert relaxer.relax([bare]).status == [f"refused: {said}"]


CIF = """data_salt
_cell_length_a 5.6
_cell_length_b 5.7
_cell_length_c 5.8
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""

CELLS = {
    "structures": ([PEROVSKITE, PEROVSKITE.copy()], Structure),
    "atoms": ([salt(), triclinic()], Atoms),
    "entries": ([entry(), entry()], Structure),
    "dictionaries": ([PEROVSKITE.as_dict(), entry().as_dict()], Structure),
    "dictionaries of ASE": ([salt().todict(), triclinic().todict()], Atoms),
    "JSON": ([json.dumps(PEROVSKITE.as_dict())] * 2, Structure),
    "CIF": ([CIF, CIF.replace("5.6", "5.5")], Atoms),
}


@pytest.mark.parametrize("name", CELLS)
def test_the_column_of_crystals_is_found(relaxer, name):
    cells, kind = CELLS[name]
    others = {"material_id": ["a", "b"], "gap": [1.0, 2.0], "tags": [["x"], {"y": 1}], "note": ["{}", None]}
    table = pd.DataFrame({**others, "what": pd.Series(cells, dtype=object)}).set_index("gap")
    for given in (table, table["what"]):
        result = relaxer.relax(given)
        assert isinstance(result, Relaxations)
        assert [type(one) for one in result.structures] == [kind, kind]
        assert result.status == ["relaxed", "relaxed"]


def test_crystals_go_before_what_describes_them(relaxer):
    table = pd.DataFrame({"cif": [CIF], "structure": pd.Series([PEROVSKITE], dtype=object)})
    assert relaxer.relax(table).structures == relaxer.relax([PEROVSKITE]).structures
    assert len(relaxer.relax(table["cif"])[0].structures) == 2


@pytest.mark.parametrize("cell", [PEROVSKITE, CIF])
def test_two_columns_are_one_too_many(relaxer, cell):
    table = pd.DataFrame({name: pd.Series([cell], dtype=object) for name in ("initial", "final")})
    with pytest.raises(ConfigError) as caught:
        relaxer.relax(table)
    said = r"the table has 2 columns of crystals (initial, final); give one of them: table[name]"
    assert str(caught.value) == said
    assert relaxer.relax(table["final"]).status == ["relaxed"]


def test_what_is_missing_or_wrong_in_a_table_hides_no_other(relaxer):
    cells = [
        PEROVSKITE,
        None,
        float("nan"),
        pd.NA,
        "data_x\n_cell_length_a 1",
        {"lattice": 5},
        7,
        ComputedEntry("Cu", 0),
    ]
    result = relaxer.relax(pd.DataFrame({"structure": pd.Series(cells, dtype=object)}))
    assert result.status[0] == "relaxed"
    for status in result.status[1:4]:
        assert status.startswith("refused: there is no structure (None)")
    assert [one is None for one in result.structures] == [False] + [True] * 7
    assert "holds no structure" in result.status[7]


def test_tables_without_crystals(relaxer):
    for table in (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), pd.Series([1.5]), pd.DataFrame(index=[0])):
        with pytest.raises(TypeError) as caught:
            relaxer.relax(table)
        assert str(caught.value).startswith(f"expected {ACCEPTED}, got a {type(table).__name__} in which no column")
    assert relaxer.relax(pd.DataFrame({"structure": []})).status == []


def test_pandas_is_not_imported_for_anything_else():
    code = (
        "import sys, empnn; from ase.build import bulk; from support.relaxing import tiny_network\n"
        "empnn.Relaxer(tiny_network(), {}).relax([bulk('Cu'), 'missing.cif'])\n"
        "print('pandas' in sys.modules, 'load' in dir(empnn), 'Relaxations' in dir(empnn))"
    )
    tests = str(Path(__file__).parents[1])
    path = {"PYTHONPATH": f"{tests}:{Path(sys.modules['empnn'].__file__).parents[1]}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path)
    assert done.stdout.split() == ["False", "True", "True"]


def test_progress(relaxer, files, capsys):
    given = [files / "one.cif", *[bulk("Cu")] * 9]
    relaxer.relax(given, progress=True)
    lines = capsys.readouterr().err.splitlines()
    for what in ("reading", "checking", "relaxing"):
        assert f"{what}: 10 of 10" in lines
    relaxer.relax([bulk("Cu")] * 1000, batch_atoms=500)
    relaxer.relax(given, progress=False)
    assert capsys.readouterr() == ("", "")
