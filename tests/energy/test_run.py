"""Many crystals: each has its own fate, nothing is computed twice, and processes change nothing."""

import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from support.calculators import CELL, job, records, strained_copper

from empnn.data.records import Record
from empnn.energy import OracleRelaxation, Request
from empnn.energy.answers import answer
from empnn.energy.oracles.calculators import CalculatorOracle
from empnn.energy.run import BLIND, judge, judge_each
from empnn.errors import ConfigError

FLAT = Atoms("Cu", cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True)


def mixed():
    """Copper, one that could not be read, a flat one, one that EMT does not know, gold."""
    unread = Record(file="in.extxyz", index=1, error="cut short; complete it")
    others = records(strained_copper(), FLAT, bulk("Na"), bulk("Au"))
    return [others[0], unread, *others[1:]]


def test_each_has_its_own_fate():
    judged = judge(mixed(), job())
    assert [one.status for one in judged] == ["computed", "refused", "refused", "failed", "computed"]
    assert judged[1].message == "cut short; complete it"
    assert "linearly dependent" in judged[2].message
    assert "NotImplementedError" in judged[3].message
    assert [one.failed for one in judged] == [False, True, True, True, False]


def test_nothing_is_computed_twice(tmp_path):
    note = tmp_path / "note"
    counting = {"options": {"file": str(note)}, "store": tmp_path / "store"}
    given = records(strained_copper(0), strained_copper(1))
    first = judge(given, job("support.calculators:Counting", CELL, **counting))
    computed = len(note.read_text().splitlines())
    second = judge(given, job("support.calculators:Counting", CELL, **counting))
    assert len(note.read_text().splitlines()) == computed
    assert [one.status for one in second] == ["cached", "cached"]
    assert [one.result for one in first] == [one.result for one in second]


def test_a_damaged_entry_is_computed_again(tmp_path):
    given = records(strained_copper())
    first = judge(given, job(store=tmp_path / "store"))
    path = next((tmp_path / "store").rglob("*.json"))
    path.write_text(path.read_text()[:50])
    second = judge(given, job(store=tmp_path / "store"))
    assert second[0].status == "computed"
    assert second[0].message == "its stored result was damaged; computed again"
    assert second[0].result.energy == first[0].result.energy
    assert judge(given, job(store=tmp_path / "store"))[0].status == "cached"


def test_not_converged_stays_so():
    given, limited = records(strained_copper()), job(relaxation=OracleRelaxation(mode="cell", steps=1))
    for stored in (False, True):
        judged = judge(given, limited)[0]
        assert (judged.status, judged.stored, judged.failed) == ("not-converged", stored, False)
        assert "`steps`" in judged.message


def test_processes_change_nothing(tmp_path):
    alone = judge(mixed(), job(relaxation=CELL, store=tmp_path / "one"))
    shared = judge(mixed(), job(relaxation=CELL, store=tmp_path / "two", workers=2))
    assert [one.status for one in shared] == [one.status for one in alone]
    assert [one.record.index for one in shared] == [one.record.index for one in alone]
    for first, second in zip(alone, shared, strict=True):
        if first.result is not None:
            assert second.result.energy == pytest.approx(first.result.energy, abs=1e-9)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_dies_costs_one_crystal(workers):
    given = records(bulk("Cu"), bulk("Au"), bulk("Al"), bulk("Au"), bulk("Ag"))
    judged = judge(given, job("support.calculators:DiesOfGold", workers=workers))
    assert [one.status for one in judged] == ["computed", "failed", "computed", "failed", "computed"]
    assert "died (status 9" in judged[1].message
    assert judged[1].seconds > 0


@pytest.mark.parametrize("known", [False, True])
def test_crystals_are_taken_as_they_are_needed(tmp_path, known):
    """None is taken before the one before has been told, be it computed, stored, refused or the same as another."""
    given = [*mixed(), *mixed()]
    if known:
        judge(given, job(store=tmp_path))
    told, ahead = [], []

    def records():
        for number, record in enumerate(given):
            ahead.append(number - len(told))
            yield record

    judge_each(records(), job(store=tmp_path), lambda judged: None, told.append)
    assert [one.record for one in told] == given
    assert [one.status for one in told] == [one.status for one in judge(given, job(store=tmp_path / "other"))] or known
    assert set(ahead) == {0}


def test_what_takes_long_is_waited_for(tmp_path, monkeypatch):
    """The first dies late; meanwhile no more than so many others, known all, are taken."""
    monkeypatch.setattr("empnn.energy.run.EARLY", 3)
    others = records(*(strained_copper(seed) for seed in range(8)))
    judge(others, job("support.calculators:DiesOfGold", store=tmp_path))
    told, ahead = [], []

    def taken():
        yield Record(file="gold", index=0, atoms=bulk("Au"))
        for number, record in enumerate(others, start=1):
            ahead.append(number - len(told))
            yield record

    slow = job("support.calculators:DiesOfGold", store=tmp_path, workers=1)
    judge_each(taken(), slow, lambda judged: None, told.append)
    assert [one.status for one in told] == ["failed", *["cached"] * 8]
    assert max(ahead) == 4


class Slow(CalculatorOracle):
    """Takes a second to load, and fails after a while."""

    name = version = functional = licence = "slow"
    settings = {}  # noqa: RUF012

    def prepare(self):
        time.sleep(1)

    def calculator(self, atoms):
        return EMT()

    def compute(self, request):
        time.sleep(0.1)
        return super().compute(request)


@pytest.mark.parametrize(("symbol", "status"), [("Cu", "computed"), ("W", "failed")])
def test_time_is_that_of_the_crystal_alone(symbol, status):
    found = answer(Slow(), Request(atoms=bulk(symbol), relaxation=OracleRelaxation()))
    assert found.status == status
    assert (0.1 if status == "failed" else 0) < found.seconds < 0.9


def test_slabs_are_computed_with_a_warning():
    slab, molecule = bulk("Cu"), bulk("Cu")
    slab.pbc, molecule.pbc = [True, True, False], False
    judged = judge(records(slab, molecule, bulk("Cu")), job())
    words = "not periodic in all directions, but taken as a crystal that is"
    assert [one.as_dict()["warnings"] for one in judged] == [[words], [], []]


def test_a_crystal_beyond_the_cutoff_comes_with_a_warning():
    far = Atoms("Ar", cell=[40, 40, 40], pbc=True)
    found = judge(records(far), job("ase.calculators.lj:LennardJones", CELL))[0]
    assert found.status == "computed"
    assert found.warnings == [BLIND]


def test_a_calculator_without_stress_relaxes_no_cell():
    with pytest.raises(ConfigError, match=r"support\.calculators:EnergyOnly has no stress"):
        judge(records(bulk("Cu")), job("support.calculators:EnergyOnly", CELL))


def test_interrupted_and_resumed():
    given = records(bulk("Cu"), bulk("Ag"), bulk("Al"))
    with pytest.raises(KeyboardInterrupt, match="1 of 3 done and kept; the same command goes on from here"):
        judge(given, job("support.calculators:InterruptedBySilver"))
    assert [one.status for one in judge([given[0], given[2]], job("support.calculators:InterruptedBySilver"))] == [
        "cached",
        "computed",
    ]


def test_a_calculator_that_prints_and_knows_no_forces(capfd):
    judged = judge(records(bulk("Cu"), bulk("Pt")), job("support.calculators:EnergyOnly"))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "computing" in captured.err
    assert "computing in C" in captured.err
    assert judged[0].result.energy_per_atom == -2.0
    assert (judged[0].result.forces, judged[0].result.stress) == (None, None)
    assert judged[0].as_dict()["max_force"] is None
    assert judged[1].message == "its energy comes out as NaN or infinite; check it or choose another oracle"


def test_units_of_the_json_interface():
    shown = judge(records(bulk("Cu", "fcc", 3.7)), job())[0].as_dict()
    atoms = bulk("Cu", "fcc", 3.7)
    from ase.calculators.emt import EMT

    atoms.calc = EMT()
    assert shown["energy_per_atom"] == pytest.approx(atoms.get_potential_energy())
    assert shown["stress"] == pytest.approx(atoms.get_stress() / 0.00624150913, rel=1e-6, abs=1e-9)
    assert shown["cell"] == pytest.approx(atoms.cell.array)


def test_constraints_and_magnetic_moments_do_not_matter():
    from ase.constraints import FixAtoms

    plain, decorated = strained_copper(), strained_copper()
    decorated.set_constraint(FixAtoms([0]))
    decorated.set_initial_magnetic_moments([2.0] * 4)
    decorated.pbc = False
    first, second = judge(records(plain, decorated), job(relaxation=CELL))
    assert np.array(second.result.cell) == pytest.approx(np.array(first.result.cell))


def test_a_failure_does_not_spoil_the_next(tmp_path):
    expected = judge(records(bulk("Cu")), job())[0].result.energy
    tungsten = Atoms("W", cell=bulk("Cu").cell, pbc=True)
    judged = judge(records(tungsten, bulk("Cu"), tungsten, tungsten), job(store=tmp_path))
    assert judged[1].result.energy == expected
    assert ["NotImplementedError" in one.message for one in judged if one.failed] == [True] * 3
