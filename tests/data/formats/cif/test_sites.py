"""Labels of a CIF's sites stay with the atoms, where they say more than the elements and the order."""

import pytest
from empnn.data.formats.cif.crystals import atoms_from_text, text_from_atoms
from support import cif_texts as cif

from empnn.data.formats.cif.plain import PlainCrystals


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
