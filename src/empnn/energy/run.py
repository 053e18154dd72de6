"""Energies of many crystals: stored results first, the rest computed, a word on each."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.units import GPa
from jaxtyping import Float64
from torch import Tensor

from empnn.checks.doubts import doubtful_periodicity, doubts_when_read
from empnn.checks.notes import notes
from empnn.checks.refusals import refusals
from empnn.crystals import CrystalBatch, from_atoms, to_atoms
from empnn.data.records import Record
from empnn.energy.answers import COMPUTED, FAILED, REFUSED, Answer, Choice, answers
from empnn.energy.oracle import EnergyOracle, OracleRelaxation, Request, Result, check_covered
from empnn.energy.store import Store, crystal_digest, key_of
from empnn.errors import ConfigError, CrystalError
from empnn.files import cache_folder

CACHED, NOT_CONVERGED = "cached", "not-converged"
EARLY = 1024
"""Crystals that may be done before one that takes long; then that one is waited for."""
BLIND = (
    "forces and stress are all exactly zero: perhaps no atom has a neighbour that the oracle sees; distrust its cell"
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of one crystal.

    Attributes:
        record: The crystal as it was read.
        status: `computed`, `cached`, `not-converged`, `written`, `refused` or `failed`.
        result: What the oracle found, where it found something.
        message: Why it did not, or what to do: `what; what to do`.
        stored: Whether an earlier run had computed it.
        seconds: Time that the oracle took, in vain too; None if it was not asked.
    """

    record: Record
    status: str
    result: Result | None = None
    message: str | None = None
    stored: bool = False
    seconds: float | None = None

    @property
    def failed(self) -> bool:
        """Whether there is no energy and none to be expected."""
        return self.status in (REFUSED, FAILED)

    @property
    def warnings(self) -> list[str]:
        """Doubts, then notes (see `empnn.checks.notes`), in words."""
        atoms, result = self.record.atoms, self.result
        if atoms is None or self.failed:
            return []
        blind = result is not None and result.is_blind
        return doubtful_periodicity(atoms) + doubts_when_read(atoms) + [BLIND] * blind + notes(atoms)

    def as_dict(self) -> dict[str, Any]:
        """The JSON interface of `empnn energy`: eV, eV/angstrom, GPa, angstrom; null where there is no figure."""
        result = self.result
        figures = {
            "energy_per_atom": None if result is None else result.energy_per_atom,
            "energy": None if result is None else result.energy,
            "n_atoms": None if self.record.atoms is None else len(self.record.atoms),
            "max_force": None if result is None else result.max_force,
            "stress": None if result is None or result.stress is None else [s / GPa for s in result.stress],
            "steps": None if result is None else result.steps,
            "converged": None if result is None else result.converged,
            "seconds": self.seconds,
            "cell": None if result is None else result.cell,
        }
        names = {"file": self.record.file, "index": self.record.index, "id": self.record.id}
        words = {"stored": self.stored, "warnings": self.warnings, "message": self.message}
        return {**names, "status": self.status, **figures, **words}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is computed, how, and where it is kept.

    Attributes:
        choice: The oracle.
        relaxation: What is relaxed first.
        workers: Number of processes; 0 to compute in this one.
        store: Folder of results; `energies` in the cache folder if None.
    """

    choice: Choice
    relaxation: OracleRelaxation
    workers: int = 0
    store: Path | None = None

    def open_store(self) -> Store:
        """The store of results."""
        return Store(cache_folder() / "energies" if self.store is None else self.store)


def judge(records: Sequence[Record], job: Job, on_judged: Callable[[Judged], None] | None = None) -> list[Judged]:
    """Energies of crystals, in their order; see `judge_each`."""
    judged: list[Judged] = []
    judge_each(records, job, on_judged or _ignore, judged.append)
    return judged


def energies_of(crystals: CrystalBatch, job: Job) -> Float64[Tensor, " structures"]:
    """Energies per atom of crystals in memory, eV; infinite where the oracle has none."""
    records = [Record(index=index, atoms=atoms) for index, atoms in enumerate(to_atoms(crystals))]
    results = [judged.result for judged in judge(records, job)]
    return torch.tensor([torch.inf if one is None else one.energy_per_atom for one in results], dtype=torch.float64)


def judge_each(
    records: Iterable[Record], job: Job, on_judged: Callable[[Judged], None], in_turn: Callable[[Judged], None]
) -> None:
    """Energies of crystals, however many there are.

    Each result is stored as soon as it is there: a run that was interrupted goes on when it is started again. An entry
    of the store that was damaged is computed again.

    Args:
        records: The crystals; taken as there is somebody to compute them.
        job: What to do.
        on_judged: Called for each, in the order in which they end.
        in_turn: Called for each, in the order of the crystals: as soon as it and all before it are there.

    Raises:
        ConfigError: If there is no such oracle, it cannot relax, or the store is not a folder.
        KeyboardInterrupt: On Ctrl-C, with a word on how to go on.
        OSError: If a result cannot be stored.
    """
    run = _Run(records, job, on_judged, in_turn)
    try:
        for _ in run():
            pass
    except KeyboardInterrupt as error:
        total = f" of {len(records)}" if isinstance(records, Sized) else ""
        error.args = (f"{run.done}{total} done and kept; the same command goes on from here",)
        raise


def judged_in_turn(
    records: Iterable[Record], job: Job, on_judged: Callable[[Judged], None] | None = None
) -> Generator[Judged, None, None]:
    """The same, each as soon as it and all before it are there; close it to end the processes."""
    found: deque[Judged] = deque()
    with closing(_Run(records, job, on_judged or _ignore, found.append)()) as steps:
        for _ in steps:
            while found:
                yield found.popleft()
    yield from found


class _Run:
    def __init__(
        self,
        records: Iterable[Record],
        job: Job,
        on_judged: Callable[[Judged], None],
        in_turn: Callable[[Judged], None],
    ) -> None:
        self._records = records
        self._job = job
        self._oracle = job.choice.load()
        if job.relaxation.mode != "none" and not self._oracle.has_stress:
            raise ConfigError(f"{self._oracle.name} has no stress, which relaxing a cell takes; choose another oracle")
        self._store = job.open_store() if self._oracle.keeps_results else None
        self._on_judged = on_judged
        self._in_turn = in_turn
        self._asked: dict[int, _Asked] = {}
        """What is being computed, or waits for one that is alike."""
        self._alike: dict[str, list[int]] = {}
        """Who waits for what is being computed."""
        self._early: dict[int, Judged] = {}
        """What came before its turn."""
        self._told = 0
        self.done = 0

    def __call__(self) -> Generator[None, None, None]:
        # Closing the generator ends its processes, however this ends.
        with closing(answers(self._job.choice, self._requests(), self._job.workers)) as found:
            for position, answer in found:
                if answer is not None:
                    self._keep(position, answer)
                yield

    def _requests(self) -> Iterator[tuple[int, Request | None]]:
        """What is left to be computed; what is known or refused is settled on the way."""
        for position, record in enumerate(self._records):
            while len(self._early) >= EARLY:
                yield position, None
            try:
                request = Request(
                    atoms=_sound(record, self._oracle), relaxation=self._job.relaxation, label=_label(record)
                )
            except CrystalError as error:
                self._settle(position, Judged(record=record, status=REFUSED, message=str(error)))
                continue
            if self._store is None:
                self._asked[position] = _Asked(record)
            else:
                key = key_of(request.atoms, self._oracle, request.relaxation)
                damaged = len(self._store.damaged)
                known = self._store.get(key)
                if known is not None:
                    self._settle(position, self._found(record, known, stored=True))
                    continue
                self._asked[position] = _Asked(record, key, len(self._store.damaged) > damaged)
                waiting = self._alike.setdefault(key, [])
                waiting.append(position)
                if len(waiting) > 1:
                    continue
            yield position, request

    def _keep(self, position: int, answer: Answer) -> None:
        for other in self._alike.pop(self._asked[position].key, [position]):
            self._take(other, answer)

    def _take(self, position: int, answer: Answer) -> None:
        asked = self._asked.pop(position)
        record = asked.record
        if answer.result is None:
            judged = Judged(record=record, status=answer.status, message=answer.message, seconds=answer.seconds)
            self._settle(position, judged)
            return
        if self._store is not None:
            self._store.put(asked.key, self._oracle, self._job.relaxation, answer.result)
        judged = self._found(record, answer.result, stored=False)
        if asked.damaged and judged.message is None:
            judged = replace(judged, message="its stored result was damaged; computed again")
        self._settle(position, judged)

    def _found(self, record: Record, result: Result, stored: bool) -> Judged:
        found = Judged(record=record, status=COMPUTED, result=result, stored=stored, seconds=result.seconds)
        if not result.converged:
            message = f"not converged after {result.steps} steps; {self._oracle.to_converge}"
            return replace(found, status=NOT_CONVERGED, message=message)
        return replace(found, status=CACHED) if stored else found

    def _settle(self, position: int, judged: Judged) -> None:
        self.done += 1
        self._on_judged(judged)
        self._early[position] = judged
        while self._told in self._early:
            self._in_turn(self._early.pop(self._told))
            self._told += 1


@dataclass(frozen=True)
class _Asked:
    """A crystal that an oracle was asked about: its key in the store, and whether what was there was damaged."""

    record: Record
    key: str = ""
    damaged: bool = False


def _sound(record: Record, oracle: EnergyOracle) -> Any:
    """The atoms of a record.

    Raises:
        CrystalError: If it could not be read, is unusable or holds elements the oracle does not cover.
    """
    if record.atoms is None:
        raise CrystalError(str(record.error))
    reason = refusals(from_atoms(record.atoms))[0]
    if reason is not None:
        raise CrystalError(reason)
    check_covered(np.asarray(record.atoms.numbers), oracle)
    return record.atoms


def _label(record: Record) -> str:
    """A name for a folder, the same in whatever company: what the crystal is called, and a digest of it."""
    name = re.sub(r"[^\w.-]+", "_", record.id or Path(record.file).stem)[:60].strip("._")
    digest = crystal_digest(record.atoms)[:8] if record.atoms is not None else ""
    return f"{name}-{digest}" if name else digest


def _ignore(judged: Judged) -> None:
    """Nobody is told."""
