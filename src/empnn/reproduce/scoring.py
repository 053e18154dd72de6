"""Scoring what was trained, beside doing nothing; a score is kept beside its run, with the weights it is of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from empnn import models
from empnn.corruption.cube import in_cube
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch
from empnn.data.sets import locate
from empnn.energy.answers import Choice
from empnn.energy.metrics import energy_metrics
from empnn.energy.oracle import OracleRelaxation
from empnn.energy.relaxer import OracleRelaxer
from empnn.energy.run import Job, energies_of
from empnn.errors import ConfigError
from empnn.evaluate import denoise, load_crystals
from empnn.files import replacing
from empnn.geometry import lattice_parameters
from empnn.relax.passes import apply_passes, split
from empnn.relax.reconstruct import load as load_reconstructor
from empnn.relax.relaxer import Relaxer, load
from empnn.relaxers import RelaxedBatch
from empnn.reproduce.paper import SIGMAS
from empnn.reproduce.plan import Cell, Run
from empnn.reproduce.training import has_diverged, state_of

SEED = 0
ENERGIES_OF = 32
"""Crystals whose energies are found, as in the paper: the first ones of the split."""
Figures = dict[str, Any]


@dataclass(frozen=True)
class Scoring:
    """What networks are scored on.

    Attributes:
        storage: Folder of the runs.
        split: Split of the sets.
        oracles: What finds the energies of Table 1.
        workers: Processes of an oracle.
        store: Folder of the oracles' results; the cache folder if None.
        say: Takes a line before something that takes long.
    """

    storage: Path
    split: str = "val"
    oracles: tuple[str, ...] = ()
    workers: int = 1
    store: Path | None = None
    say: Callable[[str], None] = print


def score(cell: Cell, how: Scoring) -> Figures | None:
    """The figures of the run that the development set chooses for a cell; None before all its runs are done.

    Runs that diverged are not chosen, and are counted; None if all of them did.

    Raises:
        ConfigError: If another run lies in the place of one.
    """
    diverged = [run for run in cell.runs if has_diverged(run, how.storage)]
    states = {run: state_of(run, how.storage) for run in cell.runs if run not in diverged}
    done = {run: state for run, state in states.items() if state is not None}
    if not done or len(done) < len(states):
        return None
    run, state = max(done.items(), key=lambda pair: pair[1].best_score)
    relaxer = load(how.storage / run.name)
    key = {"weights": relaxer.digest(), "split": how.split, "table": cell.table}
    figures = _kept(
        how.storage / run.name / f"score-{cell.table}-{how.split}.json",
        key,
        lambda: _measured(cell, run, relaxer, how),
    )
    if cell.table == "table1" and how.oracles:
        figures = {**figures, "energies": {oracle: _energies(run, relaxer, how, oracle, key) for oracle in how.oracles}}
    told = {"run": run.name, "dev_score": state.best_score, "training_seconds": state.seconds}
    return {**figures, **told, **({"diverged": len(diverged)} if diverged else {})}


def oracle_score(data: str, oracle: str, limit: int, how: Scoring) -> Figures:
    """An oracle that relaxes the cells of the first crystals, in the place of the paper's row of DFT (Table 2)."""
    crystals = load_crystals(locate(None, data), how.split)
    crystals = crystals.select(np.arange(min(limit, len(crystals))))
    job = Job(choice=Choice(oracle, {}), relaxation=OracleRelaxation(mode="cell"), workers=how.workers, store=how.store)
    how.say(f"{oracle} relaxes the cells of {len(crystals)} crystals of {data}")
    found = denoise(OracleRelaxer(job), crystals, SIGMAS["table2"], SEED)
    return {**found.metrics.as_dict(), **found.report}


def reconstruction_score(data: str, name: str, how: Scoring) -> Figures:
    """The packaged network for reconstruction in the paper's protocol (Table 3): one pass from the cube."""
    model = load_reconstructor(name)

    def measured() -> Figures:
        crystals = load_crystals(locate(None, data), how.split)
        how.say(f"{name}: scored on {len(crystals):,} crystals")
        return _parameter_errors(model.protocol(crystals), crystals)

    key = {"weights": model.first.digest(), "split": how.split, "table": "table3"}
    return {**_kept(how.storage / f"{name}-{how.split}.json", key, measured), "model": name}


def _measured(cell: Cell, run: Run, relaxer: Relaxer, how: Scoring) -> Figures:
    crystals = load_crystals(locate(None, run.data), how.split)
    how.say(f"{run.name}: scored on {len(crystals):,} crystals")
    if cell.table == "table3":
        parts = [crystals.select(index) for index in split(crystals.sizes.tolist(), 2048)]
        cells = [apply_passes(relaxer.network, in_cube(part), 1).relaxed(in_cube(part)).cell for part in parts]
        return _parameter_errors(torch.cat(cells), crystals)
    found = denoise(OnePass(relaxer), crystals, SIGMAS[cell.table], SEED)
    return {**found.metrics.as_dict(), **found.report}


class OnePass:
    """A network in one pass, of which failures are to be expected: such crystals stay as they were, and are counted."""

    def __init__(self, relaxer: Relaxer) -> None:
        self._relaxer = relaxer

    @property
    def moves_atoms(self) -> bool:
        """Whether atoms move."""
        return self._relaxer.moves_atoms

    def relax_batch(self, crystals: CrystalBatch) -> RelaxedBatch:
        """The answers, and how many crystals failed."""
        found = self._relaxer.relax_batch(crystals, passes=1)
        return replace(found, report={"failed": int(found.failed.sum())})


def _parameter_errors(cells: torch.Tensor, crystals: CrystalBatch) -> Figures:
    failed = ~torch.isfinite(cells).all(-1).all(-1)
    cells = torch.where(failed[:, None, None], in_cube(crystals).cell, cells)
    errors = (lattice_parameters(cells) - lattice_parameters(crystals.cell)).abs().mean(0)
    return {
        "n": len(crystals),
        "failed": int(failed.sum()),
        "lengths_mae": float(errors[:3].mean()),
        "angles_mae": float(errors[3:].mean()),
    }


def _energies(run: Run, relaxer: Relaxer, how: Scoring, oracle: str, key: dict[str, Any]) -> Figures:
    """What the answers gain in energy by one oracle, kept beside the run."""
    path = how.storage / run.name / f"energy-{how.split}-{oracle.replace(':', '-').replace('/', '-')}.json"
    return _kept(path, {**key, "oracle": oracle}, lambda: _energies_gained(run, relaxer, how, oracle))


def _energies_gained(run: Run, relaxer: Relaxer, how: Scoring, oracle: str) -> Figures:
    """Equation 13, its median and the share that ends lower, over the crystals whose energies the oracle finds."""
    crystals = load_crystals(locate(None, run.data), how.split)
    crystals = crystals.select(np.arange(min(ENERGIES_OF, len(crystals))))
    noisy = with_fixed_noise(crystals, SIGMAS["table1"], SEED, 0.0)
    after = relaxer.relax_batch(noisy, passes=1).crystals
    how.say(f"{run.name}: energies by {oracle}")
    job = Job(choice=Choice(oracle, {}), relaxation=OracleRelaxation(), workers=how.workers, store=how.store)
    before, final = (energies_of(state, job) for state in (noisy, after))
    known = before.isfinite() & final.isfinite()
    if not known.any():
        return {"n": 0}
    found = energy_metrics(before[known].numpy(), final[known].numpy()).as_dict()
    return {name: value for name, value in found.items() if value is not None}


def _kept(path: Path, key: dict[str, Any], measure: Callable[[], Figures]) -> Figures:
    """What a file holds, if it is of these weights; else what is measured, which it then holds."""
    if path.is_file():
        found: Figures = json.loads(path.read_text())
        if found.pop("of", None) == key:
            return found
    figures = measure()
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"of": key, **figures}, indent=2) + "\n")
    return figures


def packaged_reconstruction(data: str) -> str | None:
    """The packaged network that reconstructs the crystals of a set, if there is one."""
    name = f"{data.replace('_', '-')}-reconstruct"
    try:
        return models.name_of(name)
    except ConfigError:
        return None
