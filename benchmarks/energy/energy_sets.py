"""What the energy benchmarks share: which crystals, their noise, the packaged models, progress, results as files.

Crystals are those of `val`, strained by the fixed noise of their place in the file, so that every oracle and every
subset sees the same ones. Results of oracles are kept in a store: a script that was stopped goes on where it was.
"""

import argparse
import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

import empnn
from benchmarks.bench import RESULTS, machine
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, to_atoms
from empnn.data.records import Record
from empnn.data.sets import locate
from empnn.energy.answers import Choice
from empnn.energy.oracle import OracleRelaxation
from empnn.energy.oracles.gpaw import mesh_of
from empnn.energy.run import Job, Judged, judge
from empnn.evaluate import load_crystals
from empnn.files import replacing
from empnn.geometry import volume

MODELS = {"carbon_24": "carbon-24", "perov_5": "perov-5", "mp_20": "mp-20"}
SIGMA, SEED = 0.1, 0
SMALL_ATOMS = (2, 8)
SMALL_VOLUME = 75.0
"""Largest volume of a small crystal, cubic angstrom: the number of plane waves grows with it."""
SMALL_ELECTRONS = 32
"""Most valence electrons of a small crystal, as GPAW counts them."""
COSTLY = {43, *range(57, 72), *range(84, 119)}
"""Not for DFT: elements without a data set, and lanthanides, whose f shells converge badly."""
ROW = ("data", "crystals", "oracle", "cutoff", "kpoint_density")
"""What tells rows of results apart; the last two only those of DFT have."""
KPOINT_DENSITY = 2.5
"""k-points per inverse angstrom, see benchmarks/energy/convergence.py."""


@dataclass(frozen=True)
class Triple:
    """The same crystals strained, relaxed by EMPNN and as they are in the set.

    Attributes:
        data: Name of the set.
        which: `first` or `small`.
        indices: Their places in `val`.
        states: The crystals by state: noisy, denoised, original.
    """

    data: str
    which: str
    indices: list[int]
    states: dict[str, CrystalBatch]


def parser(description: str | None, limit: int, oracles: Iterable[str]) -> argparse.ArgumentParser:
    """The options of every script."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--sets", nargs="+", choices=list(MODELS), default=list(MODELS))
    made.add_argument("--limit", type=int, default=limit, help="crystals of each set")
    made.add_argument("--oracles", nargs="+", default=list(oracles))
    made.add_argument("--small", action="store_true", help="crystals that DFT can afford instead of the first ones")
    made.add_argument("--kpoint-density", type=float, default=KPOINT_DENSITY, help="of gpaw; 0 for 7x7x7")
    made.add_argument("--cutoff", type=float, default=500.0, help="of gpaw, eV")
    made.add_argument("--workers", type=int, default=1)
    made.add_argument("--store", type=Path, help="folder of results; `energies` in the cache folder by default")
    made.add_argument("--results", type=Path, default=RESULTS, help="folder of the result file")
    return made


def triple(data: str, limit: int, small: bool) -> Triple:
    """Crystals of a set: the first ones, or the first small ones."""
    crystals = load_crystals(locate(None, data), "val")
    indices = (small_ones(crystals) if small else list(range(len(crystals))))[:limit]
    # Noise belongs to the place in the file: all are strained, then the chosen ones taken.
    noisy = with_fixed_noise(crystals, SIGMA, SEED).select(indices)
    denoised = empnn.load(MODELS[data]).relax_batch(noisy).crystals
    states = {"noisy": noisy, "denoised": denoised, "original": crystals.select(indices)}
    return Triple(data, "small" if small else "first", indices, states)


def small_ones(crystals: CrystalBatch) -> list[int]:
    """Places of the crystals with few atoms and electrons, a small cell and no element that is costly or missing."""
    numbers, batch, sizes = crystals.numbers.numpy(), crystals.batch.numpy(), crystals.sizes.numpy()
    costly = np.bincount(batch, np.isin(numbers, list(COSTLY)), len(crystals)) > 0
    fits = (sizes >= SMALL_ATOMS[0]) & (sizes <= SMALL_ATOMS[1]) & (volume(crystals.cell).numpy() <= SMALL_VOLUME)
    electrons = np.bincount(batch, [0 if z in COSTLY else valence(int(z)) for z in numbers], len(crystals))
    return [int(index) for index in np.flatnonzero(fits & ~costly & (electrons <= SMALL_ELECTRONS))]


@functools.cache
def valence(number: int) -> int:
    """Valence electrons of GPAW's data set for an element."""
    from gpaw.setup_data import SetupData

    return int(SetupData(chemical_symbols[number], "PBE").Nv)


def judged(
    chosen: Triple, states: Iterable[str], oracle: str, relaxation: OracleRelaxation, options: argparse.Namespace
) -> dict[str, list[Judged]]:
    """What an oracle says of some states of the crystals; for DFT with one mesh of k-points per crystal."""
    found: dict[str, list[Judged | None]] = {state: [None] * len(chosen.indices) for state in states}
    for settings, places in _groups(chosen, oracle, options).items():
        for state in found:
            atoms = to_atoms(chosen.states[state].select(places))
            records = [
                Record(file=f"{chosen.data}/{state}", index=chosen.indices[place], atoms=one)
                for place, one in zip(places, atoms, strict=True)
            ]
            choice = Choice(oracle, json.loads(settings))
            job = Job(choice=choice, relaxation=relaxation, workers=options.workers, store=options.store)
            for place, one in zip(places, judge(records, job, progress(oracle)), strict=True):
                found[state][place] = one
    return {state: [one for one in several if one is not None] for state, several in found.items()}


def _groups(chosen: Triple, oracle: str, options: argparse.Namespace) -> dict[str, list[int]]:
    """Crystals by the options of the oracle, in JSON."""
    groups: dict[str, list[int]] = {}
    for place, settings in enumerate(options_of(chosen, oracle, options)):
        groups.setdefault(json.dumps(settings), []).append(place)
    return groups


def options_of(chosen: Triple, oracle: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The options of the oracle for each crystal."""
    if oracle != "gpaw":
        return [{}] * len(chosen.indices)
    density = {"kpoint_density": options.kpoint_density} if options.kpoint_density else {"kpoints": [7, 7, 7]}
    meshes = [mesh_of(atoms, density) for atoms in to_atoms(chosen.states["original"])]
    return [{"cutoff": options.cutoff, "kpoints": list(mesh)} for mesh in meshes]


def progress(oracle: str) -> Callable[[Judged], None]:
    """Print a line for each crystal."""

    def show(one: Judged) -> None:
        figures = "" if one.result is None else f" {one.result.energy_per_atom:.4f} eV/atom, {one.result.steps} steps"
        print(f"  {oracle:<20} {one.record.source:<28} {one.status}{figures} {one.message or ''}".rstrip(), flush=True)

    return show


def merge(path: Path, description: str, rows: list[dict[str, Any]], keys: tuple[str, ...]) -> None:
    """Write rows into a result file; rows that were there stay unless a new one agrees in all keys, missing or not."""
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    new = {tuple(map(row.get, keys)) for row in rows}
    kept = [row for row in before if tuple(map(row.get, keys)) not in new]
    content = {"description": description.strip(), "machine": machine(), "rows": kept + rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def dft_settings(oracle: str, options: argparse.Namespace) -> dict[str, Any]:
    """The settings of DFT for a row, or nothing."""
    if oracle != "gpaw":
        return {}
    return {"cutoff": options.cutoff, "kpoint_density": options.kpoint_density or None}
