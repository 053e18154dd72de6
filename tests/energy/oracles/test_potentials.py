"""The potentials of the extra `energy`, for real; skipped where it is not installed."""

import numpy as np
import pytest
from ase.build import bulk
from support.calculators import job, records

from empnn.energy import OracleRelaxation, load_oracle
from empnn.energy.run import judge
from empnn.errors import ConfigError

# TorchScript and checkpoints of theirs warn their own programmers.
pytestmark = pytest.mark.filterwarnings("ignore")

DIAMOND = {"chgnet": -9.0641, "sevennet": -9.0860, "sevennet:7net-l3i5": -9.0917}
"""Energies per atom at a = 3.567 angstrom, eV."""


def needed(name):
    try:
        return load_oracle(name)
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", DIAMOND)
def test_diamond(name):
    needed(name)
    judged = judge(records(bulk("C", "diamond", 3.567), bulk("Po", "sc", 3.4)), job(name))
    assert judged[0].result.energy_per_atom == pytest.approx(DIAMOND[name], abs=2e-3)
    assert judged[0].result.max_force < 1e-3
    assert judged[1].status == "refused"
    assert judged[1].message.startswith(f"{name.partition(':')[0]} does not cover Po")


@pytest.mark.parametrize("name", ["chgnet", "sevennet"])
def test_a_strained_cell_relaxes(name, capsys):
    needed(name)
    strained = bulk("NaCl", "rocksalt", 5.64)
    strained.set_cell(strained.cell.array @ np.array([[1.05, 0.02, 0], [0, 0.97, 0.03], [0, 0, 1.0]]), scale_atoms=True)
    left = strained.copy()
    left.set_cell(strained.cell.array[[1, 0, 2]])
    first, second = judge(records(strained, left), job(name, OracleRelaxation(mode="cell")))
    assert first.status == "computed"
    assert np.linalg.norm(np.array(first.result.cell), axis=1) == pytest.approx(5.68 / np.sqrt(2), abs=0.06)
    assert second.result.energy == pytest.approx(first.result.energy, abs=2e-3)
    assert capsys.readouterr().out == ""


def test_stress_is_the_derivative_of_the_energy():
    """Neither unit nor sign of the stress is taken on trust."""
    for name in ("chgnet", "sevennet"):
        oracle = needed(name)
        atoms = bulk("NaCl", "rocksalt", 5.5)
        energies = []
        for scale in (0.999, 1.001):
            scaled = atoms.copy()
            scaled.set_cell(atoms.cell.array * scale, scale_atoms=True)
            energies.append(judge(records(scaled), job(name))[0].result.energy)
        trace = sum(judge(records(atoms), job(name))[0].result.stress[:3]) * atoms.get_volume()
        assert trace == pytest.approx((energies[1] - energies[0]) / 0.002, rel=0.02), oracle.name
