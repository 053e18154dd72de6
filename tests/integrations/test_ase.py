"""ASE: `Atoms` relaxed in place, by a function and by what is used like an optimizer."""

import io

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.io import read
from ase.io.trajectory import Trajectory
from ase.optimize import BFGS
from support.relaxing import salt, tiny_network, triclinic

from empnn.errors import CrystalError
from empnn.integrations.ase import EMPNNRelax, relax
from empnn.relax import Relaxer


@pytest.fixture(scope="module")
def relaxer():
    return Relaxer(tiny_network(deform=["cell", "positions"]), {})


def equal(one, other):
    return np.array_equal(one.cell.array, other.cell.array) and np.array_equal(one.positions, other.positions)


def test_in_place(relaxer):
    given = triclinic()
    result = relax(given, relaxer)
    assert equal(given, relaxer.relax(triclinic()).structures)
    assert not equal(given, triclinic())
    assert result.status == given.info["empnn_status"] == "relaxed"
    assert "empnn_warnings" not in given.info


def test_all_else_stays(relaxer):
    given = salt("mp-1")
    given.calc = EMT()
    given.info["empnn_warnings"] = "of the last time"
    calculator, info, site = given.calc, given.info.copy(), given.arrays["site"].copy()
    relax(given, relaxer)
    assert given.calc is calculator
    said = given.info.pop("empnn_status"), given.info.pop("empnn_warnings", None)
    assert said == ("relaxed", None)
    info.pop("empnn_warnings")
    assert given.info == info
    assert given.arrays["site"].tolist() == site.tolist()


def test_energies_of_the_old_cell_are_not_those_of_the_new_one(relaxer):
    given = triclinic()
    given.calc = SinglePointCalculator(given, energy=-3.0)
    relax(given, relaxer)
    with pytest.raises(NotImplementedError):
        given.get_potential_energy()


def test_constraints_hold(relaxer):
    given = triclinic()
    given.set_constraint(FixAtoms([0, 2]))
    assert EMPNNRelax(given, relaxer).run()
    moved = given.get_scaled_positions(wrap=False) - triclinic().get_scaled_positions(wrap=False)
    assert np.abs(moved[[0, 2]]).max() < 1e-12
    assert np.abs(moved[[1, 3, 4]]).max() > 1e-4
    assert given.constraints[0].index.tolist() == [0, 2]
    in_its_cell = triclinic()
    in_its_cell.set_constraint(FixAtoms([0, 2]))
    EMPNNRelax(in_its_cell, relaxer, fix="cell").run()
    assert np.array_equal(in_its_cell.cell.array, triclinic().cell.array)
    assert in_its_cell.positions[[0, 2]] == pytest.approx(triclinic().positions[[0, 2]], abs=1e-12)
    assert np.abs(in_its_cell.positions - triclinic().positions).max() > 1e-3


@pytest.mark.parametrize("use", [relax, lambda atoms, model: EMPNNRelax(atoms, model).run()])
def test_what_cannot_be_relaxed_is_left_as_it_was(relaxer, use):
    for given, reason in ((Atoms("Cu"), "no lattice"), (Atoms("Cu2", cell=[3, 3, 3], pbc=True), "overlap")):
        before = given.copy()
        with pytest.raises(CrystalError, match=reason):
            use(given, relaxer)
        assert given == before
        assert given.info == {}
    with pytest.raises(TypeError, match=r"expected ASE Atoms, got FrechetCellFilter; give the atoms themselves"):
        use(FrechetCellFilter(triclinic()), relaxer)


def test_in_the_place_of_an_optimizer(relaxer, tmp_path):
    """What is done with one of ASE can be done with this one."""
    for kind in (EMPNNRelax, BFGS):
        atoms = bulk("Cu", a=3.7)
        atoms.calc = EMT()
        seen = []
        options = {"model": relaxer} if kind is EMPNNRelax else {}
        log, path = tmp_path / f"{kind.__name__}.log", tmp_path / f"{kind.__name__}.traj"
        with kind(atoms, logfile=str(log), trajectory=str(path), **options) as optimizer:
            optimizer.attach(lambda seen=seen, atoms=atoms: seen.append(atoms.get_volume()), interval=1)
            assert optimizer.run(fmax=0.05, steps=5) is True or kind is BFGS
        assert optimizer.nsteps == optimizer.get_number_of_steps()
        lines = log.read_text().splitlines()
        assert len(lines) == 2 + optimizer.nsteps
        assert all(line.startswith(f"{kind.__name__}:") for line in lines[1:])
        assert len(seen) == len(read(path, ":")) == 1 + optimizer.nsteps


def test_log_and_trajectory(relaxer, tmp_path, capsys):
    atoms, log = triclinic(), io.StringIO()
    with Trajectory(tmp_path / "a.traj", "w") as trajectory:
        EMPNNRelax(atoms, relaxer, logfile=log, trajectory=trajectory).run()
    before, after = read(tmp_path / "a.traj", ":")
    assert equal(before, triclinic())
    assert equal(after, atoms)
    first, second = log.getvalue().splitlines()[1:]
    assert first.split()[3] == f"{before.get_volume():.4f}"
    assert second.split()[3] == f"{after.get_volume():.4f}"
    assert second.endswith("relaxed")
    EMPNNRelax(triclinic(), relaxer, logfile="-", trajectory=tmp_path / "a.traj", append_trajectory=True).run()
    assert capsys.readouterr().out.splitlines()[1].startswith("EMPNNRelax:    0 ")
    assert len(read(tmp_path / "a.traj", ":")) == 4
    EMPNNRelax(triclinic(), relaxer, trajectory=tmp_path / "a.traj").run()
    assert len(read(tmp_path / "a.traj", ":")) == 2
    assert capsys.readouterr().out == ""


def test_converged_is_an_answer_that_is_not_suspect(relaxer):
    optimizer = EMPNNRelax(triclinic(), relaxer)
    assert not optimizer.converged()
    assert list(optimizer.irun(fmax=0.01)) == [False, True]
    assert optimizer.converged()
    assert optimizer.result.status == "relaxed"
    assert EMPNNRelax(triclinic(), relaxer).run(steps=0) is False
    doubtful = Relaxer(tiny_network(), {"elements": [1]})
    atoms = salt()
    optimizer = EMPNNRelax(atoms, doubtful)
    assert optimizer.run() is optimizer.converged() is False
    assert atoms.info["empnn_status"] == "suspect"
    assert "Cl" in atoms.info["empnn_warnings"]
    optimizer.run()
    assert optimizer.nsteps == 2
