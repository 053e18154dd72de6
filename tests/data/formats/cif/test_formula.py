"""What a CIF says of its contents, held against its atoms: a contradiction is a doubt that goes wherever they go."""

import json
from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.cif import CifWriter
from support import cif_texts as cif
from support.relaxing import run, tiny_model, tiny_network

from empnn.data.formats.cif.crystals import atoms_from_text
from empnn.data.formats.cif.formula import parsed
from empnn.data.reading import read
from empnn.relax import Relaxer

AMMONIUM = cif.sites("N1 N 0 0 0 4", "Cl1 Cl .5 .5 .5 0", columns=(*cif.SITE, "attached_hydrogens"))
CONTRADICT = "its atoms contradict its formula"
FOUR_MISSING = f"{CONTRADICT} 'Cl H4 N': 4 H missing (4 attached ones have no coordinates)"

FOUR_TIMES = "its atoms are 4 times its formula 'Na Cl'"


def doubt(text):
    return atoms_from_text(text).info.get("empnn_doubts")


def contents(*rows, group="P 1", **stated):
    tags = {"formula": "_chemical_formula_sum", "z": "_cell_formula_units_Z", "unit": "_chemical_formula_structural"}
    return cif.sites(*rows, group=group, before="".join(f"{tags[key]} {value}\n" for key, value in stated.items()))


def salt(**stated):
    return contents("Na1 Na 0 0 0", "Cl1 Cl .5 .5 .5", group="F m -3 m", **stated)


@pytest.mark.parametrize(
    "text",
    [
        "Cl H4 N",
        "C12 H10 N2 O4",
        "Fe0.98 O1",
        "Ca(OH)2",
        "[Co(NH3)6]Cl3",
        "Ca3 (P O4)2",
        "NaCl",
        "Fe2 O3",
        "UO2",
        "K F",
    ],
)
def test_a_formula_has_the_atoms_that_pymatgen_finds(text):
    assert parsed(text) == pytest.approx(Composition(text.replace(" ", "")).get_el_amt_dict())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SI O2", {"Si": 1, "O": 2}),
        ("NA CL", {"Na": 1, "Cl": 1}),
        ("D2 O", {"D": 2, "O": 1}),
        ("Fe.98 O1.", {"Fe": 0.98, "O": 1}),
        ("Al2.87(3) O4", {"Al": 2.87, "O": 4}),
        ("C~6~ H~6~", {"C": 6, "H": 6}),
        ("C8 H20 N 1+", {"C": 8, "H": 20, "N": 1}),
        ("[Co (N H3)6]3+", {"Co": 1, "N": 6, "H": 18}),
        ("(C2 H4)n", {"C": 2, "H": 4}),
        *((text, {}) for text in ("", "?", "CO2", "SIO2", "CuSO4.5H2O", "M O2", "Fe2 O3 x", "(Fe O", "Fe) O", "na cl")),
    ],
)
def test_a_formula_as_people_write_it(text, expected):
    assert parsed(text) == expected


@pytest.mark.parametrize(
    "stated",
    [
        {"formula": "'Na Cl'"},
        {"formula": "'Cl1 Na1'", "z": "4"},
        {"formula": "NaCl", "z": "4.0"},
        {"formula": "'Na2 Cl2'", "z": "2"},
        {"formula": "'Na4 Cl4'", "z": "1"},
        {"formula": "'Na4 Cl4'", "z": "4"},
        {"formula": "'Na2 Cl2'", "unit": "'Na Cl'", "z": "4"},
        {"formula": "'Na0.98 Cl1'", "z": "4"},
        {"formula": "'Na0.33 Cl0.33'"},
        {"formula": "\n;\nNa1\nCl1\n;\n", "z": "4"},
        {"formula": "'Na Cl'", "z": "?"},
        {"formula": "'Na Cl'", "z": "0"},
        {"formula": "?", "z": "7"},
        {"formula": "'Na M'", "z": "4"},
        {"z": "7"},
    ],
)
def test_contents_that_agree_are_no_doubt(stated):
    assert doubt(salt(**stated)) is None


def test_deuterium_counts_as_hydrogen_in_formula_and_atoms():
    for formula in ("'D2 O'", "'H2 O'", "'H D O'"):
        assert doubt(contents("O1 O 0 0 0", "D1 D .2 0 0", "H1 H 0 .2 0", formula=formula)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (salt(formula="'Na Cl O3'"), f"{CONTRADICT} 'Na Cl O3': 12 O missing"),
        (salt(formula="'Na2 Cl'"), f"{CONTRADICT} 'Na2 Cl': 4 Na missing"),
        (salt(formula="'Na Br'"), f"{CONTRADICT} 'Na Br': 4 Br missing, 4 Cl too many"),
        (salt(formula="'Na Cl'", z="8"), f"{FOUR_TIMES} where Z is 8: 4 Cl missing, 4 Na missing"),
        (salt(formula="'Na Cl'", z="2"), f"{FOUR_TIMES} where Z is 2: 2 Cl too many, 2 Na too many"),
        (salt(formula="'Na0.9 Cl'"), f"{CONTRADICT} 'Na0.9 Cl': 0.44 Cl missing"),
        (contents("C1 C 0 0 0", "H1 H 0 0 .2", formula="'C H4'"), f"{CONTRADICT} 'C H4': 3 H missing"),
        (AMMONIUM.replace("loop_", "_chemical_formula_sum 'Cl H4 N'\nloop_", 1), FOUR_MISSING),
        (AMMONIUM, "4 H missing, which are attached to its atoms but have no coordinates"),
    ],
)  # fmt: skip
def test_contents_that_contradict_are_named(text, expected):
    assert doubt(text) == expected


def test_attached_hydrogens_that_are_listed_too_are_no_doubt():
    columns = (*cif.SITE, "attached_hydrogens")
    text = cif.sites("O1 O 0 0 0 2", "H1 H .2 0 0 0", "H2 H 0 .2 0 .", columns=columns)
    assert doubt(text.replace("loop_", "_chemical_formula_sum 'H2 O'\nloop_", 1)) is None


def test_missing_operators_show_in_the_number_of_formula_units():
    operators = ["x,y,z", "-x,1/2+y,1/2-z", "-x,-y,-z", "x,1/2-y,1/2+z"]
    stated = "_chemical_formula_sum 'C O'\n_cell_formula_units_Z 4\n"

    def listing(operators):
        loop = "loop_\n_space_group_symop_operation_xyz\n" + "\n".join(operators) + "\n"
        return cif.sites("C1 C .1 .2 .3", "O1 O .3 .1 .2", group=None, before=stated + loop)

    assert doubt(listing(operators)) is None
    assert doubt(listing(operators[:2])).endswith("where Z is 4: 2 C missing, 2 O missing")


@pytest.mark.filterwarnings("ignore:.*:Warning:spglib")
@pytest.mark.parametrize("symprec", [None, 0.01])
@pytest.mark.parametrize("species", [["Na", "Cl"], ["Fe2+", "O2-"], ["D", "F"]])
def test_what_pymatgen_and_ase_write_is_no_doubt(species, symprec, tmp_path):
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), species, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert doubt(str(CifWriter(structure * (1, 1, 2), symprec=symprec))) is None
    ase.io.write(
        tmp_path / "a.cif", Atoms("Na2Cl2", scaled_positions=structure.frac_coords[:4], cell=[4, 4, 4], pbc=True)
    )
    assert doubt((tmp_path / "a.cif").read_text()) is None


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("model"), elements=[7, 17], strain_limit=9))


@pytest.mark.parametrize("name", ["b.extxyz", "b.cif", "b.json", "b.csv", "b.parquet", "b.feather", "b.traj", "b.db"])
def test_a_doubt_survives_every_conversion(tmp_path, monkeypatch, model, name):
    monkeypatch.chdir(tmp_path)
    Path("a.cif").write_text(AMMONIUM.replace("loop_", "_chemical_formula_sum 'Cl H4 N'\nloop_", 1))
    converted = run("convert", "a.cif", name, "--json")
    assert converted.exit_code == 0
    assert json.loads(converted.stdout)["structures"][0]["warnings"] == [FOUR_MISSING]
    relaxed = run("relax", name, "-o", "c.extxyz", "--model", model, "--json")
    (structure,) = json.loads(relaxed.stdout)["structures"]
    assert (structure["status"], structure["warnings"]) == ("suspect", [FOUR_MISSING])
    (record,) = read("c.extxyz")
    assert record.atoms.info["empnn_warnings"] == FOUR_MISSING
    assert "1 suspect: see empnn_warnings in the output" in relaxed.stderr


def test_a_format_that_cannot_hold_a_doubt_is_written_with_a_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.cif").write_text(AMMONIUM)
    assert (
        "1 converted (1 suspect: see empnn_doubts in the output, or --json)" in run("convert", "a.cif", "POSCAR").stderr
    )


def test_doubts_of_structures_count_too():
    structure = Structure(Lattice.cubic(3.9), ["N", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    relaxer = Relaxer(tiny_network(), {})
    assert relaxer.relax(structure).status == "relaxed"
    structure.properties["empnn_doubts"] = FOUR_MISSING
    result = relaxer.relax(structure)
    assert (result.status, result.warnings) == ("suspect", [FOUR_MISSING])
