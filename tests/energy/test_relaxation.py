"""The cell relaxes along exact gradients, and the atoms stay in their places in it."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from scipy.linalg import expm
from support.calculators import CELL, EMT_PATH, Collapsing, strained_copper

from empnn.energy import OracleRelaxation, Request, load_oracle
from empnn.energy.relaxation import FixedFractionalFilter, relax
from empnn.errors import ConfigError, CrystalError


def test_forces_are_derivatives_by_the_hencky_strain():
    atoms = strained_copper(1)
    atoms.calc = EMT()
    cell = FixedFractionalFilter(atoms)
    start = cell.get_positions()
    moved = start + np.random.default_rng(0).normal(0, 0.1, (3, 3))
    cell.set_positions(moved)
    forces, step = cell.get_forces(), 1e-5
    for place in np.ndindex(3, 3):
        energies = []
        for sign in (1, -1):
            shifted = moved.copy()
            shifted[place] += sign * step
            cell.set_positions(shifted)
            energies.append(atoms.get_potential_energy())
        assert forces[place] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-5)


def test_positions_of_the_filter_are_the_logarithm_of_the_deformation():
    atoms = strained_copper(2)
    first, frac = atoms.cell.array.copy(), atoms.get_scaled_positions()
    cell = FixedFractionalFilter(atoms)
    strain = np.random.default_rng(1).normal(0, 0.2, (3, 3))
    cell.set_positions(cell.get_positions() + strain)
    assert atoms.cell.array == pytest.approx(first @ expm(strain).T)
    assert atoms.get_scaled_positions() == pytest.approx(frac)


def test_copper_finds_its_cube_again():
    atoms = strained_copper()
    frac = atoms.get_scaled_positions()
    result = load_oracle(EMT_PATH).compute(Request(atoms=atoms, relaxation=OracleRelaxation(mode="cell", fmax=1e-4)))
    ideal = bulk("Cu", "fcc", 3.61, cubic=True)
    ideal.calc = EMT()
    relax(ideal, OracleRelaxation(mode="cell", fmax=1e-4))
    assert result.converged
    assert result.energy == pytest.approx(ideal.get_potential_energy(), abs=1e-5)
    metric = np.array(result.cell) @ np.array(result.cell).T
    assert metric == pytest.approx(ideal.cell.array @ ideal.cell.array.T, abs=0.02)
    assert result.shift is None
    assert atoms.get_scaled_positions() == pytest.approx(frac)


@pytest.mark.parametrize("fmax", [0.1, 0.02, 0.002])
def test_it_ends_where_the_virial_per_atom_is_below_the_limit(fmax):
    result = load_oracle(EMT_PATH).compute(
        Request(atoms=strained_copper(3), relaxation=OracleRelaxation(mode="cell", fmax=fmax))
    )
    xx, yy, zz, yz, xz, xy = result.stress
    virial = np.linalg.det(result.cell) * np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) / result.n_atoms
    assert result.converged
    assert np.linalg.norm(virial, axis=1).max() < 1.1 * fmax


def test_everything_relaxes():
    atoms = strained_copper(4)
    atoms.rattle(0.1, seed=0)
    oracle = load_oracle(EMT_PATH)
    held = oracle.compute(Request(atoms=atoms, relaxation=CELL))
    free = oracle.compute(Request(atoms=atoms, relaxation=OracleRelaxation(mode="all", fmax=0.01)))
    assert free.converged
    assert free.max_force < 0.01
    assert free.energy < held.energy - 0.01
    assert np.abs(free.shift).max() > 0.01


def test_a_given_up_relaxation_says_so():
    request = Request(atoms=strained_copper(), relaxation=OracleRelaxation(mode="cell", steps=2))
    result = load_oracle(EMT_PATH).compute(request)
    assert (result.converged, result.steps) == (False, 2)


def test_a_left_handed_cell_gives_the_same_and_stays_left_handed():
    oracle = load_oracle(EMT_PATH)
    right = strained_copper(5)
    right.rattle(0.05, seed=1)
    left = right.copy()
    left.set_cell(right.cell.array[[1, 0, 2]])
    for mode in ("none", "cell", "all"):
        first, second = (
            oracle.compute(Request(atoms=atoms, relaxation=OracleRelaxation(mode=mode, fmax=1e-3)))
            for atoms in (right, left)
        )
        assert second.energy == pytest.approx(first.energy, abs=1e-4)
        assert np.linalg.det(second.cell) < 0
        assert np.array(second.cell)[[1, 0, 2]] == pytest.approx(np.array(first.cell), abs=0.01)
        if mode == "all":
            assert np.array(second.shift)[:, [1, 0, 2]] == pytest.approx(np.array(first.shift), abs=0.01)


def test_a_collapse_is_an_error():
    atoms = strained_copper()
    atoms.calc = Collapsing()
    with pytest.raises(CrystalError, match="collapsed"):
        relax(atoms, CELL)


@pytest.mark.parametrize("wrong", [{"mode": "cells"}, {"fmax": 0.0}, {"fmax": float("nan")}, {"steps": 0}])
def test_settings_out_of_range(wrong):
    with pytest.raises(ConfigError):
        OracleRelaxation(**wrong)
