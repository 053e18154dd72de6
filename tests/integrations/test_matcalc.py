"""matcalc: the interface of its `RelaxCalc`, beside the real one where it is installed."""

import inspect
from collections.abc import Iterator

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from support.needed import needed
from support.relaxing import tiny_network, triclinic

from empnn.errors import CrystalError
from empnn.integrations import matcalc as ours
from empnn.integrations.matcalc import EMPNNCalc
from empnn.relax import Relaxer

pytestmark = pytest.mark.filterwarnings("ignore")

SALT = Structure(Lattice.orthorhombic(4.2, 4.4, 4.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
BAD = Structure(Lattice.cubic(4), [{"Fe": 0.5}], [[0, 0, 0]])
LATTICE = ("a", "b", "c", "alpha", "beta", "gamma", "volume")


@pytest.fixture(scope="module")
def relaxer():
    return Relaxer(tiny_network(deform=["cell", "positions"]), {})


@pytest.fixture
def calc(relaxer):
    return EMPNNCalc(relaxer)


def test_what_it_gives(calc, relaxer):
    found = calc.calc(SALT)
    expected = relaxer.relax(SALT).structures
    assert found["final_structure"] == expected
    assert {name: found[name] for name in LATTICE} == {name: getattr(expected.lattice, name) for name in LATTICE}
    assert (found["is_converged"], found["empnn_status"]) == (True, "relaxed")
    assert set(found) == {"final_structure", "is_converged", "empnn_status", "_units", *LATTICE}
    assert repr(calc) == f"EMPNNCalc({relaxer!r})"


def test_atoms_give_a_structure(calc, relaxer):
    found = calc.calc(triclinic())["final_structure"]
    assert isinstance(found, Structure)
    assert found.lattice.matrix == pytest.approx(relaxer.relax(triclinic()).structures.cell.array)


@pytest.mark.parametrize("key", ["final_structure", "structure"])
def test_what_was_known_before_stays(calc, key):
    known = {key: SALT, "energy": -3.0, "empnn_warnings": "old", "_units": {"energy": "eV"}}
    before = {**known, "_units": {**known["_units"]}}
    found = calc.calc(known)
    assert known == before
    assert found["energy"] == -3.0
    assert "empnn_warnings" not in found
    assert found["_units"]["energy"] == "eV"
    assert found["_units"]["volume"] == "A^3"
    assert found["final_structure"].lattice != SALT.lattice
    assert found.get("structure", SALT) is SALT
    with pytest.raises(ValueError, match="the dictionary holds no structure; give one as final_structure or structure"):
        calc.calc({"energy": -3.0})


def test_an_answer_in_doubt_is_not_converged():
    found = EMPNNCalc(Relaxer(tiny_network(), {"elements": [1]})).calc(SALT)
    assert (found["is_converged"], found["empnn_status"]) == (False, "suspect")
    assert "Cl" in found["empnn_warnings"]


def test_many(calc, monkeypatch):
    """A generator of answers, in order, some at a time, and taken only as they are needed."""
    monkeypatch.setattr(ours, "_TOGETHER", 2)
    taken = []
    given = (taken.append(scale) or SALT.copy().scale_lattice(80 * scale) for scale in (1, 1.1, 1.2, 1.3, 1.4))
    found = calc.calc_many(given, n_jobs=4)
    assert isinstance(found, Iterator)
    first = next(found)
    assert taken == [1, 1.1]
    every = [first, *found]
    assert [one["volume"] for one in every] == pytest.approx(
        [calc.calc(SALT.copy().scale_lattice(80 * scale))["volume"] for scale in taken], rel=1e-5
    )


def test_errors(calc):
    found = list(calc.calc_many([SALT, BAD, None, {"a": 1}, "x", triclinic()], allow_errors=True))
    assert [one is None for one in found] == [False, True, True, True, True, False]
    with pytest.raises(CrystalError, match="disordered"):
        list(calc.calc_many([SALT, BAD]))
    with pytest.raises(CrystalError, match="disordered"):
        calc.calc(BAD)


def test_beside_the_real_one(calc):
    """The same arguments, keys, types and units, but for energies and forces."""
    matcalc = needed("matcalc")
    theirs = matcalc.RelaxCalc(EMT(), max_steps=5)
    for name in ("calc", "calc_many"):
        expected = inspect.signature(getattr(theirs, name)).parameters
        assert list(inspect.signature(getattr(calc, name)).parameters) == list(expected)
    copper = AseAtomsAdaptor.get_structure(bulk("Cu", a=3.9))
    ones, others = calc.calc(copper), theirs.calc(copper)
    shared = {"final_structure", "is_converged", "_units", *LATTICE}
    assert set(ones) - {"empnn_status"} == shared == set(others) - {"energy", "forces", "stress", "max_force"}
    assert all(type(ones[name]) is type(others[name]) for name in shared)
    assert ones["_units"] == {name: unit for name, unit in others["_units"].items() if name in LATTICE}


def test_in_a_chain_with_the_real_one(calc):
    matcalc = needed("matcalc")
    chain = matcalc.ChainedCalc([calc, matcalc.RelaxCalc(EMT(), max_steps=100)])
    copper, gold = (AseAtomsAdaptor.get_structure(bulk(name, a=a)) for name, a in (("Cu", 3.9), ("Au", 4.4)))
    one = chain.calc(copper)
    assert one["volume"] == pytest.approx(11.56, abs=0.1)
    assert {"energy", "empnn_status"} <= set(one)
    many = list(chain.calc_many([copper, BAD, gold], allow_errors=True))
    assert [found is None for found in many] == [False, True, False]
    assert np.isclose(many[0]["volume"], one["volume"], rtol=1e-3)
    assert isinstance(many[2]["final_structure"], Structure)
    assert not isinstance(many[2]["final_structure"], Atoms)
