"""Density functional theory for real: a single point at the paper's settings and a short relaxation of a cell."""

import os

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import GPa

from empnn.data.records import Record
from empnn.energy import OracleRelaxation, Request, load_oracle
from empnn.energy.answers import Choice
from empnn.energy.run import Job, judge
from empnn.errors import ConfigError

# GPAW and what it stands on warn their own programmers.
pytestmark = pytest.mark.filterwarnings("ignore")

DIAMOND = bulk("C", "diamond", 3.567)


@pytest.fixture(autouse=True)
def gpaw():
    """GPAW, or a word on how to install it."""
    try:
        return load_oracle("gpaw")
    except ConfigError as error:
        if os.environ.get("EMPNN_REQUIRE_DFT"):
            raise
        pytest.skip(f"{error}; make test-dft does it")


def judged(*crystals, relaxation=None, **options):
    given = [Record(file="in.cif", index=index, atoms=atoms) for index, atoms in enumerate(crystals)]
    return judge(given, Job(choice=Choice("gpaw", options), relaxation=relaxation or OracleRelaxation()))


def test_diamond_at_the_settings_of_the_paper(gpaw):
    result = gpaw.compute(Request(atoms=DIAMOND, relaxation=OracleRelaxation()))
    assert result.energy_per_atom == pytest.approx(-9.083, abs=0.01)
    assert np.array(result.stress[:3]) / GPa == pytest.approx(-0.41, abs=0.05)
    assert result.max_force < 1e-3


def test_elements_without_a_data_set_are_refused_by_name(gpaw):
    assert gpaw.elements == frozenset({*range(1, 84), 86} - {43})
    technetium, uranium = bulk("Tc"), Atoms("U", cell=[3, 3, 3], pbc=True)
    found = judged(technetium, DIAMOND, uranium, kpoints=[1, 1, 1], cutoff=300)
    assert [one.status for one in found] == ["refused", "computed", "refused"]
    assert found[0].message.startswith("gpaw does not cover Tc;")
    assert found[2].message.startswith("gpaw does not cover U;")


def test_a_strained_cell_relaxes():
    """A few steps at a coarser mesh: lower in energy, less stress, atoms in their places, then from the store."""
    strained = DIAMOND.copy()
    strained.set_cell(strained.cell.array @ np.diag([1.03, 0.98, 1.0]), scale_atoms=True)
    options = {"kpoint_density": 1.3, "cutoff": 500}
    before = judged(strained, **options)[0].result
    relaxation = OracleRelaxation(mode="cell", fmax=0.05, steps=15)
    found = judged(strained, relaxation=relaxation, **options)[0]
    assert found.status == "computed"
    assert found.result.energy < before.energy - 0.02
    assert np.abs(found.result.stress).max() < 0.3 * np.abs(before.stress).max()
    lengths = np.linalg.norm(np.array(found.result.cell), axis=1)
    assert np.ptp(lengths) < 0.02
    assert judged(strained, relaxation=relaxation, **options)[0].status == "cached"
