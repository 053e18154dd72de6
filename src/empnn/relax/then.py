"""Relaxing on from the network's answers with an energy oracle, and saying of each crystal how far both got."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from ase import Atoms

from empnn.ase_atoms import SYMMETRIZED
from empnn.bulk.pipeline import REFUSED, UNDONE, Done, Outcome, Work, marked
from empnn.crystals import CELL, from_atoms, replace_cell
from empnn.data.formats.constraints import held
from empnn.data.records import Record
from empnn.energy.files import with_result
from empnn.energy.oracle import Result, about
from empnn.energy.run import NOT_CONVERGED, Job, Judged, judged_in_turn
from empnn.errors import ConfigError
from empnn.relax.files import DIGITS, THEN, Relaxing
from empnn.relax.symmetrize import made_symmetric

CONVERGED = "converged"
_WRITES_ONLY = "vasp-inputs"
_NOISE = 1e-3
"""Distance in angstrom that an oracle may take atoms from exact symmetry by rounding."""


class RelaxingOn(Work):
    """Relaxes with a network, then from there with an oracle, cell and atoms unless the job says otherwise.

    A crystal that the oracle cannot relax is written as the network left it, and one that does not converge as far as
    it came; both are told. Each is kept as soon as it is done, so that a run which is resumed computes none of them
    again.

    Args:
        first: What the network does.
        job: The oracle, what it relaxes, and where results are kept.

    Raises:
        ConfigError: If there is no such oracle, it is not installed, it relaxes nothing, or the cell is to stay.
    """

    name = Relaxing.name
    slow = True
    said = (*Relaxing.said, "then")

    def __init__(self, first: Relaxing, job: Job) -> None:
        name = job.choice.name
        if name.partition(":")[0] == _WRITES_ONLY:
            raise ConfigError(f"`then` {name}: it writes files and relaxes nothing; see `empnn energy`")
        if first.how.fix == CELL:
            raise ConfigError(f"`fix` {CELL}: {name} relaxes the cell and cannot keep it; leave it out")
        oracle = job.choice.load()
        if not oracle.has_stress:
            raise ConfigError(f"`then` {name}: it has no stress, which relaxing a cell takes; choose another oracle")
        self._first = first
        self._job = job
        self._name = oracle.name
        self.settings = {**first.settings, "then": {**about(oracle), "relaxation": job.relaxation.settings}}

    def __call__(self, records: Sequence[Record]) -> Done:
        """Relax some structures together."""
        found = list(self._first(records))
        answers = {
            position: replace(record, atoms=atoms)
            for position, (record, (outcome, atoms)) in enumerate(zip(records, found, strict=True))
            if atoms is not None and outcome.status != REFUSED
        }
        free = [record for record in answers.values() if not self._is_held(record)]
        with closing(judged_in_turn(free, self._job, self._say_how_far)) as judged:
            for position, (outcome, atoms) in enumerate(found):
                if position not in answers:
                    yield outcome, atoms
                elif self._is_held(answers[position]):
                    reason = f"{self._name} cannot keep what the input fixes and relax the rest; free it or fix all"
                    yield self._told(outcome, Judged(record=answers[position], status=REFUSED, message=reason))
                else:
                    yield self._told(outcome, next(judged))

    def passed(self, outcome: Outcome) -> None:
        """Learn of a structure that an earlier run had done."""
        self._first.passed(outcome)

    def _is_held(self, record: Record) -> bool:
        return self._job.relaxation.mode != CELL and record.atoms is not None and bool(held(record.atoms)[0].any())

    def _told(self, outcome: Outcome, judged: Judged) -> tuple[Outcome, Atoms]:
        """The crystal as it ended, with what is to be said of it."""
        record, result = judged.record, judged.result
        before: Any = record.atoms
        after = before.copy() if result is None else self._settled(with_result(before, result))
        then = {
            "oracle": self._name,
            "status": judged.status if judged.status in (*UNDONE, NOT_CONVERGED) else CONVERGED,
            "energy_per_atom_before": _start_per_atom(result),
            "energy_per_atom": None if result is None else result.energy_per_atom,
            "steps": None if result is None else result.steps,
            "volume_before": float(before.get_volume()),
            "volume": None if result is None else float(after.get_volume()),
            "message": judged.message,
        }
        warnings = [*outcome.warnings]
        if judged.failed:
            warnings.append(f"not relaxed by {self._name}: {judged.message}")
        elif judged.status == NOT_CONVERGED:
            warnings.append(f"{self._name}: {judged.message}")
        told = {f"error_{name}": value for name, value in (outcome.errors or {}).items()}
        marked(record, after, outcome.status, warnings, told)
        for name, value in then.items():
            if value is not None and name != "message":
                written = round(value, DIGITS) if isinstance(value, float) else value
                after.info[THEN if name == "oracle" else f"{THEN}_{name}"] = written
        return replace(outcome, warnings=warnings, then=then), after

    def _settled(self, atoms: Atoms) -> Atoms:
        """The crystal without what rounding has broken of its symmetry, if that was made exact before."""
        if SYMMETRIZED not in atoms.info:
            return atoms
        crystal = from_atoms(atoms)
        still = torch.eye(3, dtype=torch.float64)[None]
        stretch, shift, (group,) = made_symmetric(crystal, still, torch.zeros_like(crystal.frac), _NOISE)
        exact = cast("Atoms", replace_cell(atoms, atoms.cell.array @ stretch[0].numpy(), shift.numpy()))
        exact.calc = atoms.calc
        exact.calc.atoms = exact.copy()
        exact.info[SYMMETRIZED] = group
        return exact

    def _say_how_far(self, judged: Judged) -> None:
        result = judged.result
        if result is None:
            return
        start, volume = _start_per_atom(result), abs(np.linalg.det(result.cell))
        before: Any = judged.record.atoms
        energies = f"{'' if start is None else f'{start:.4f} -> '}{result.energy_per_atom:.4f} eV/atom"
        volumes = f"{before.get_volume():.2f} -> {volume:.2f} cubic angstrom"
        how = judged.message or f"{result.steps} steps"
        self.say(f"{judged.record.label}: {self._name}: {energies}, {volumes}, {how}")


def _start_per_atom(result: Result | None) -> float | None:
    """Energy per atom, eV, of the network's answer."""
    return None if result is None or result.start_energy is None else result.start_energy / result.n_atoms
