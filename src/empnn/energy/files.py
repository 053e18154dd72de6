"""Energies of files of crystals: what `empnn energy` does with each structure, and how it is written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import cast

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from empnn.ase_atoms import with_input_results
from empnn.bulk.pipeline import Done, Outcome, Work, marked, outcome_of
from empnn.crystals import replace_cell
from empnn.data.records import Record
from empnn.energy.oracle import Result, about
from empnn.energy.run import Job, Judged, judged_in_turn
from empnn.errors import ConfigError


class Judging(Work):
    """Computes energies, of crystals relaxed first if the job says so. Each is kept as soon as it is done.

    Args:
        job: The oracle, what it relaxes, and where results are kept.

    Raises:
        ConfigError: If there is no such oracle, or it is not installed.
    """

    name = "energy"
    slow = True

    def __init__(self, job: Job) -> None:
        self.job = job
        self.settings = {"oracle": about(job.choice.load()), "relaxation": job.relaxation.settings}

    def __call__(self, records: Sequence[Record]) -> Done:
        """The energies of some structures, in order, each with the structure at its end."""
        with closing(judged_in_turn(records, self.job)) as found:
            for judged in found:
                yield outcome_of_energy(judged), None if judged.result is None else with_energy(judged)


def outcome_of_energy(judged: Judged) -> Outcome:
    """What became of a crystal, with all figures of the JSON interface of `empnn energy`."""
    told = judged.as_dict()
    common = ("file", "index", "id", "status", "warnings", "message")
    figures = {name: value for name, value in told.items() if name not in common}
    outcome = outcome_of(judged.record, judged.status, judged.warnings, judged.message)
    return replace(outcome, figures=figures)


def with_energy(judged: Judged) -> Atoms:
    """The crystal at the end with its energy; status, source and warnings in info.

    Raises:
        ConfigError: If there is no energy.
    """
    result, record = judged.result, judged.record
    if result is None or record.atoms is None:
        raise ConfigError(f"{record.label}: there is no result to be written")
    return marked(record, with_result(record.atoms, result), judged.status, judged.warnings)


def with_result(given: Atoms, result: Result) -> Atoms:
    """The crystal as it ended, with energy, forces and stress as ASE keeps them; those that it came with are renamed.

    The energy per atom, eV, is in info, too.
    """
    shift = 0.0 if result.shift is None else np.array(result.shift)
    atoms = cast("Atoms", replace_cell(with_input_results(given), np.array(result.cell), shift))
    held = {"energy": result.energy, "forces": result.forces, "stress": result.stress}
    atoms.calc = SinglePointCalculator(atoms, **{key: value for key, value in held.items() if value is not None})
    atoms.info["empnn_energy_per_atom"] = result.energy_per_atom
    return atoms
