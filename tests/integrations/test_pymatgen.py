"""pymatgen: relaxing as a transformation, in its `TransformedStructure` and its transmuters, and through JSON."""

import json
import pickle

import pytest
from monty.json import MontyDecoder
from pymatgen.alchemy.materials import TransformedStructure
from pymatgen.alchemy.transmuters import StandardTransmuter
from pymatgen.core import Lattice, Structure
from pymatgen.transformations.standard_transformations import SubstitutionTransformation
from support.relaxing import tiny_model

import empnn
from empnn.errors import ConfigError, CrystalError
from empnn.integrations.pymatgen import EMPNNTransformation

# monty warns of what it writes, pymatgen's alchemy of what it reads.
pytestmark = pytest.mark.filterwarnings("ignore")

SALT = Structure(Lattice.cubic(4.2), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.4]], site_properties={"magmom": [0.5, 0]})


@pytest.fixture
def folder(tmp_path):
    return tiny_model(tmp_path / "model")


def test_it_relaxes(folder):
    before = SALT.as_dict()
    found = EMPNNTransformation(folder).apply_transformation(SALT)
    assert SALT.as_dict() == before
    expected = empnn.load(folder).relax(SALT)
    assert found.properties.pop("empnn_status") == expected.status
    assert found.properties.pop("empnn_warnings") == "; ".join(expected.warnings) == "magnetic moments are ignored"
    assert found == expected.structures
    assert found.lattice != SALT.lattice


def test_options(folder):
    dense = SALT.copy().scale_lattice(43)
    kept = EMPNNTransformation("pbe", fix="cell").apply_transformation(dense)
    assert kept.lattice == dense.lattice
    assert kept.frac_coords != pytest.approx(dense.frac_coords, abs=1e-3)
    once, twice = (EMPNNTransformation(folder, passes=passes).apply_transformation(SALT) for passes in (1, 2))
    assert once.volume != pytest.approx(twice.volume, rel=1e-4)
    with pytest.raises(ConfigError, match="no model nothing"):
        EMPNNTransformation("nothing").apply_transformation(SALT)
    with pytest.raises(CrystalError, match="disordered"):
        EMPNNTransformation(folder).apply_transformation(Structure(Lattice.cubic(4), [{"Fe": 0.5}], [[0, 0, 0]]))


def test_through_json_and_back(folder):
    options = {"model": str(folder), "fix": "positions", "passes": 3, "device": "cpu"}
    given = EMPNNTransformation(**options)
    found = given.apply_transformation(SALT)
    content = json.loads(json.dumps(given.as_dict()))
    assert {name: content[name] for name in options} == options
    for again in (
        EMPNNTransformation.from_dict(content),
        MontyDecoder().process_decoded(content),
        pickle.loads(pickle.dumps(given)),  # noqa: S301
    ):
        assert type(again) is EMPNNTransformation
        assert again.as_dict() == given.as_dict()
        assert again.apply_transformation(SALT) == found
    assert repr(EMPNNTransformation()) == "EMPNNTransformation('pbe')"
    assert repr(given) == f"EMPNNTransformation({str(folder)!r}, fix='positions', passes=3, device='cpu')"


def test_in_a_transformed_structure(folder):
    relaxing = EMPNNTransformation(folder)
    made = TransformedStructure(SALT, [SubstitutionTransformation({"Na": "K"}), relaxing])
    assert made.final_structure.composition.reduced_formula == "KCl"
    assert made.final_structure == relaxing.apply_transformation(SALT.copy().replace_species({"Na": "K"}))
    assert made.history[-1]["model"] == str(folder)
    again = TransformedStructure.from_dict(json.loads(json.dumps(made.as_dict())))
    assert again.final_structure == made.final_structure
    again.undo_last_change()
    assert again.final_structure.lattice == SALT.lattice
    again.redo_next_change()
    assert again.final_structure == made.final_structure


def test_in_a_transmuter(folder):
    several = [TransformedStructure(SALT), TransformedStructure(SALT.copy().scale_lattice(90))]
    transmuter = StandardTransmuter(several, [EMPNNTransformation(folder)])
    for before, after in zip([SALT, SALT.copy().scale_lattice(90)], transmuter.transformed_structures, strict=True):
        assert after.final_structure == EMPNNTransformation(folder).apply_transformation(before)
