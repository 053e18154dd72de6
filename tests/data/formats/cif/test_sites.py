"""Species and labels of a CIF's sites: a whole symbol or a label by convention, or the site is refused by name."""

import warnings

import numpy as np
import pytest
from pymatgen.io.cif import CifParser
from support import cif_texts as cif

from empnn.data.formats.cif import atoms_from_text, text_from_atoms
from empnn.data.formats.cif.plain import PlainCrystals
from empnn.errors import CrystalError

LABEL_ONLY = ("label", "fract_x", "fract_y", "fract_z")


def of_type(symbol, label="Fe1"):
    return cif.sites(f"{label} {symbol} 0 0 0")


def of_label(label, formula=None):
    stated = "" if formula is None else f"_chemical_formula_sum '{formula}'\n"
    return cif.sites(f"{label} 0 0 0", columns=LABEL_ONLY, before=stated)


def species(text):
    """The one atom's element, with D for deuterium, and its oxidation state."""
    atoms = atoms_from_text(text)
    (symbol,) = atoms.get_chemical_symbols()
    heavy = atoms.has("masses") and atoms.get_masses()[0] == pytest.approx(2.014)
    return "D" if heavy else symbol, atoms.arrays.get("oxi_states", [0])[0]


def test_labels_stay_with_the_images_of_a_site():
    atoms = atoms_from_text(cif.BY_OPERATORS)
    assert atoms.arrays["labels"].tolist() == ["Si1"] * 6 + ["O1"] * 6
    assert atoms_from_text(text_from_atoms(atoms, "a")).arrays["labels"].tolist() == ["Si1"] * 6 + ["O1"] * 6


def test_labels_that_differ_are_labels_again():
    atoms = atoms_from_text(cif.P1.replace(" O4 ", ' "O 4\'" ').replace(" O3 ", " OW "))
    text = text_from_atoms(atoms, "a")
    assert "_empnn_ase" not in text
    assert PlainCrystals().add(text)
    assert atoms_from_text(text).arrays["labels"].tolist() == ["Cs0", "Zr1", "N2", "OW", "O_4'"]


@pytest.mark.parametrize(
    "text", [cif.P1, cif.P1.replace(" Zr1 ", " Zr "), cif.P1.replace(" O3 ", " ? "), cif.P1.replace(" O4 ", " '' ")]
)
def test_labels_that_say_nothing_are_dropped(text):
    assert "labels" not in atoms_from_text(text).arrays


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        *((symbol, ("Fe", 0)) for symbol in ("Fe", "FE", "fe", "Fe0+", "Fe0", "Fe1", "Fe3", "Fe(SDS)", "?", ".", "''")),
        *((symbol, ("Fe", 2)) for symbol in ("Fe2+", "Fe+2", "Fe++", "'Fe 2+'", "Fe2.0+", '"Fe2+"', "\n;Fe2+\n;\n")),
        *((symbol, ("O", -2)) for symbol in ("O2-", "O-2", "O--", "'O2\u2212'")),
        ("Fe2.5+", ("Fe", 2.5)),
        ("Na+", ("Na", 1)),
        ("Cl1-", ("Cl", -1)),
        ("CL", ("Cl", 0)),
        ("co", ("Co", 0)),
        ("o", ("O", 0)),
        ("D", ("D", 0)),
        ("D+", ("D", 1)),
        ("Og", ("Og", 0)),
    ],
)
def test_a_whole_type_symbol_is_a_species(symbol, expected):
    assert species(of_type(symbol)) == expected


SEVERAL = [
    "FeNi",
    "Fe0.5Ni0.5",
    "Fe,Ni",
    "Fe/Ni",
    "'(Fe,Ni)'",
    "'Fe Ni'",
    "Fe2+Ni2+",
    "H2O",
    "NH4",
    "OH",
    "CH3",
    "CO",
    "NO3",
]
UNKNOWN = [
    *("X", "X1", "M", "A", "T1", "Q", "Wat", "Vac", "dummy", "Cg", "Du", "None", "nan", "FeVa", "FeX", "Fe0.5"),
    *("0.5Fe", "Na_pv", "Fe_1", "Fe1A", "Fe*", "2H", "Fe2-+", "+2Fe", "Ca2", "H2", "Fe.+", "'?'", "Fe1.5"),
]  # fmt: skip


@pytest.mark.parametrize("symbol", SEVERAL)
def test_a_type_symbol_of_several_elements_is_disorder_or_a_group(symbol):
    with pytest.raises(CrystalError, match=r"site W1 is disordered, or a group of atoms: '.*' names .*, .*; order the"):
        atoms_from_text(of_type(symbol, "W1"))


@pytest.mark.parametrize("symbol", UNKNOWN)
def test_a_type_symbol_that_is_no_element_is_refused(symbol):
    with pytest.raises(CrystalError, match=r"site .* has unknown element .*; replace it by one element"):
        atoms_from_text(of_type(symbol, "Fe1" if symbol != "'?'" else "W'"))


@pytest.mark.parametrize(
    ("label", "formula", "expected"),
    [
        *((label, None, ("Fe", 0)) for label in ("Fe", "Fe1", "FE1", "fe1", "Fe1A", "Fe(1)", "Fe_1", "Fe-1", "Fe#1")),
        *((label, None, ("O", 0)) for label in ("O1W", "O1", "O-2", "'O 1'", "O1*", "O1.2")),
        ("C1B", None, ("C", 0)),
        ("H1N", None, ("H", 0)),
        ("D1", None, ("D", 0)),
        ("Mg2+", None, ("Mg", 2)),
        ("Cl-", None, ("Cl", -1)),
        ("OW1", "H2 Na O", ("O", 0)),
        ("MgM1", "Mg2 O4 Si", ("Mg", 0)),
        ("SiT1m", "Al Na O8 Si3", ("Si", 0)),
        ("OBo", "Al Na O8 Si3", ("O", 0)),
        ("FEM1", "Fe2 O3", ("Fe", 0)),
        ("CA1", "C6 H6", ("C", 0)),
        ("CA1", "C Ca O3", ("Ca", 0)),
        ("CO1", "Co O", ("Co", 0)),
        ("SI1", None, ("Si", 0)),
    ],
)  # fmt: skip
def test_a_label_begins_with_the_species(label, formula, expected):
    assert species(of_label(label, formula)) == expected


@pytest.mark.parametrize(
    ("label", "formula"),
    [
        *(
            (label, None)
            for label in ("OW1", "OH", "H2O", "H2O1", "NH4", "CO3", "Wat", "X1", "M1", "Cg1", "Q1", "MgM1")
        ),
        *((label, None) for label in ("FeNi", "Fe0.5Ni0.5", "Fe,Ni", "Fe/Ni", "Fe1Ni1", "C0.5N0.5", "Fe0.5", "1Fe")),
        ("OH", "H Na O"),
        ("H2O", "H2 Na O"),
        ("NH4", "Cl H4 N"),
        ("Wat", "H2 O W"),
        ("FeNi", "Fe0.5 Ni0.5"),
        ("FEM1", "F2 Fe3 K O10"),
        ("HO1", "C H2 O"),
        ("M1", "Fe Ni"),
        ("Cg1", "C6 H6"),
    ],
)
def test_a_label_that_begins_with_no_species_is_refused(label, formula):
    with pytest.raises(CrystalError, match=f"site {label} (has unknown element|is disordered)"):
        atoms_from_text(of_label(label, formula))


def test_dummies_are_refused():
    columns = (*LABEL_ONLY, "calc_flag")
    assert len(atoms_from_text(cif.sites("Fe1 0 0 0 d\nO1 0.5 0.5 0.5 calc", columns=columns))) == 2
    with pytest.raises(CrystalError, match=r"^site O1 is a dummy .*; remove it$"):
        atoms_from_text(cif.sites("Fe1 0 0 0 d\nO1 0.5 0.5 0.5 dum", columns=columns))


def test_sites_without_labels_are_refused():
    with pytest.raises(CrystalError, match="does not name its sites; add a column _atom_site_label"):
        atoms_from_text(cif.sites("Fe 0 0 0", "O .5 .5 .5", columns=("type_symbol", *LABEL_ONLY[1:])))


ROCK_SALT = ("Mg1 Mg 0 0 0", "O1 O .5 .5 .5")
STATES = "loop_\n_atom_type_symbol\n_atom_type_oxidation_number\n"


@pytest.mark.parametrize(
    "text",
    [
        cif.sites("Mg1 Mg+2 0 0 0", "O1 O-2 .5 .5 .5", group="F m -3 m"),
        cif.sites("Mg1 Mg2+ 0 0 0", "O1 O2- .5 .5 .5", group="F m -3 m"),
        cif.sites(*ROCK_SALT, group="F m -3 m", before=f"{STATES}Mg 2\nO -2.000\n"),
        cif.sites(*ROCK_SALT, group="F m -3 m", before=f"{STATES}O -2\nMg +2\nSi 4\n"),
        cif.sites("Mg1 Mg2+ 0 0 0", "O1 O2- .5 .5 .5", group="F m -3 m", before=f"{STATES}Mg2+ 2\nO2- ?\n"),
        cif.sites("Mg1 0 0 0", "O1 .5 .5 .5", columns=LABEL_ONLY, group="F m -3 m", before=f"{STATES}Mg 2\nO -2\n"),
        cif.sites(*ROCK_SALT, group="F m -3 m") + f"{STATES}Mg 2\nO -2\n",
    ],
)  # fmt: skip
def test_oxidation_states_are_kept(text):
    atoms = atoms_from_text(text)
    assert atoms.arrays["oxi_states"].tolist() == [2] * 4 + [-2] * 4
    again = atoms_from_text(text_from_atoms(atoms, "a"))
    assert again.arrays["oxi_states"].tolist() == [2] * 4 + [-2] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (judge,) = CifParser.from_str(text_from_atoms(atoms, "a")).parse_structures(primitive=False)
    assert [site.specie.oxi_state for site in judge] == [2] * 4 + [-2] * 4


def test_states_that_are_no_whole_numbers_are_kept():
    atoms = atoms_from_text(cif.sites("Fe1 Fe2.67+ 0 0 0", "O1 O2- .5 .5 .5"))
    assert atoms_from_text(text_from_atoms(atoms, "a")).arrays["oxi_states"] == pytest.approx(np.array([2.67, -2]))
