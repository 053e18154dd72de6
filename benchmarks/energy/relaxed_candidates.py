"""What a pass of EMPNN saves a potential or DFT, and how good its answer is beside theirs, on decorated candidates.

Decorated MP-20 val crystals of at most 8 atoms (see benchmarks/quality/decorated.py), relaxed fully (cell and atoms)
from the raw candidate and from the network's answer, and with the cell only from the raw one; BFGS until forces and
virial per atom are below 0.02 eV/angstrom and eV. `accuracy`: figures against the DFT cells, failures as given, seconds
per crystal on one thread. `saved`: steps and seconds, medians over pairs that end at the same crystal (within 1 meV per
atom, and alike for pymatgen's StructureMatcher), and sums over all with failures at the cap of steps. Both potentials
were trained on MPtrj, which holds these very crystals.

Usage: python -m benchmarks.energy.relaxed_candidates [--model pbe] [--limit 100] [--oracles chgnet sevennet]
       python -m benchmarks.energy.relaxed_candidates --oracles gpaw --small --limit 6 --steps 60
       (EMPNN_DATA names the data)
"""

import argparse
from statistics import median
from typing import Any

import numpy as np
import torch

import empnn
from benchmarks.energy.energy_sets import Triple, dft_settings, judged, merge, parser, small_ones
from benchmarks.quality.candidates import decorated, figures, scaled_by_dls, shown
from empnn.crystals import to_structures
from empnn.energy.oracle import OracleRelaxation
from empnn.energy.relaxer import relaxed_batch
from empnn.energy.run import Judged

LARGEST = 8
SAME = 1e-3
"""Energies per atom (eV) closer than this are the same minimum, if the crystals are alike."""
MAGNETIC = {*range(23, 29), 44, 45, 46}
"""Not for DFT without spins: V to Ni, and Ru to Pd."""
KEYS = ("crystals", "model", "oracle", "mode", "cutoff", "kpoint_density")


def candidates(options: argparse.Namespace) -> Triple:
    """Candidates raw and relaxed by the network, and the crystals they should relax to."""
    raw, truth = decorated(10**6 if options.small else options.limit, LARGEST)
    chosen = np.arange(len(truth))
    if options.small:
        elements = {place: truth.select([place]).numbers.tolist() for place in small_ones(truth)}
        fits = [p for p, found in elements.items() if len(found) <= options.largest and not MAGNETIC & set(found)]
        chosen = np.array(fits[: options.limit])
    raw, truth = raw.select(chosen), truth.select(chosen)
    ours = empnn.load(options.model).relax_batch(raw).crystals
    states = {"raw": raw, "ours": ours, "original": truth}
    return Triple("decorated", "small" if options.small else "first", [int(index) for index in chosen], states)


def by_network(chosen: Triple, model: str) -> dict[str, Any]:
    """The network's answers, and how long one crystal takes on one thread."""
    relaxer, raw = empnn.load(model), chosen.states["raw"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    relaxer.relax_batch(raw)
    seconds = min(relaxer.relax_batch(raw).seconds for _ in range(3)) / len(raw)
    torch.set_num_threads(threads)
    return {**figures(raw, chosen.states["ours"], chosen.states["original"]), "seconds_per_crystal": seconds}


def by_oracle(chosen: Triple, start: str, found: list[Judged]) -> dict[str, Any]:
    """An oracle's answers from the raw candidates or from the network's answers."""
    relaxed = relaxed_batch(chosen.states[start], found)
    seconds = [one.result.seconds for one in found if one.result is not None]
    own = figures(chosen.states["raw"], relaxed.crystals, chosen.states["original"])
    return {**own, **relaxed.report, "seconds_per_crystal": float(np.mean(seconds))}


def saved(chosen: Triple, found: dict[str, list[Judged]], cap: int) -> dict[str, Any]:
    """Steps and seconds of full relaxations from both starts."""
    answers = {state: relaxed_batch(chosen.states[state], several).crystals for state, several in found.items()}
    ends = {state: to_structures(crystals) for state, crystals in answers.items()}
    crystals = []
    for place, (raw, ours) in enumerate(zip(found["raw"], found["ours"], strict=True)):
        one: dict[str, Any] = {"index": chosen.indices[place]}
        for name, judgement in (("raw", raw), ("ours", ours)):
            result = judgement.result
            ended = result is not None and result.converged
            one[name] = {
                "converged": ended,
                "steps": result.steps if result is not None and ended else cap,
                "seconds": judgement.seconds if result is None else result.seconds,
                "energy_per_atom": None if result is None else result.energy_per_atom,
            }
        both = one["raw"]["converged"] and one["ours"]["converged"]
        close = both and abs(one["raw"]["energy_per_atom"] - one["ours"]["energy_per_atom"]) <= SAME
        one["same"] = bool(close and _alike(ends["raw"][place], ends["ours"][place]))
        crystals.append(one)
    return {**summary(crystals), "per_crystal": crystals}


def summary(crystals: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over those that end at the same crystal, sums over all."""
    same = [one for one in crystals if one["same"]]
    made: dict[str, Any] = {"n": len(crystals), "same": len(same)}
    for state in ("raw", "ours"):
        made[f"converged_from_{state}"] = sum(one[state]["converged"] for one in crystals)
        for name in ("steps", "seconds"):
            made[f"{name}_from_{state}"] = median(one[state][name] for one in same) if same else None
            made[f"{name}_from_{state}_sum"] = sum(one[state][name] for one in crystals)
    if same:
        made["steps_saved_median"] = median(1 - one["ours"]["steps"] / max(1, one["raw"]["steps"]) for one in same)
        made["steps_saved_of_sum"] = 1 - made["steps_from_ours_sum"] / made["steps_from_raw_sum"]
    return made


def _alike(first: Any, second: Any) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return bool(StructureMatcher().fit(first, second))


def main() -> None:
    """Measure, and write the result file after every row."""
    made = parser(__doc__, 100, ["chgnet", "sevennet"])
    made.add_argument("--model", default="pbe")
    made.add_argument("--steps", type=int, default=300, help="cap of a relaxation")
    made.add_argument("--largest", type=int, default=4, help="atoms of a crystal for DFT")
    options = made.parse_args()
    chosen = candidates(options)
    raw, truth = chosen.states["raw"], chosen.states["original"]
    path = options.results / "relaxed_candidates.json"

    def keep(oracle: str, mode: str, row: dict[str, Any]) -> None:
        named = {"crystals": chosen.which, "model": options.model, "oracle": oracle, "mode": mode}
        merge(path, str(__doc__), [{**named, **dft_settings(oracle, options), **row}], KEYS)

    def show(name: str, mode: str, answer: dict[str, Any]) -> None:
        keep(name, mode, answer)
        print(shown(f"{name} {mode}", answer), flush=True)

    show("nothing", "accuracy", {**figures(raw, raw, truth), "seconds_per_crystal": 0.0})
    show("dls", "accuracy", {**figures(raw, scaled_by_dls(raw), truth), "seconds_per_crystal": None})
    show("empnn", "accuracy", by_network(chosen, options.model))
    for oracle in options.oracles:
        everything = OracleRelaxation(mode="all", steps=options.steps)
        found = judged(chosen, ("raw", "ours"), oracle, everything, options)
        show(oracle, "accuracy, all", by_oracle(chosen, "raw", found["raw"]))
        show(oracle, "accuracy, all after empnn", by_oracle(chosen, "ours", found["ours"]))
        spent = saved(chosen, found, options.steps)
        keep(oracle, "saved", spent)
        print({name: value for name, value in spent.items() if name != "per_crystal"}, flush=True)
        if not options.small:
            cell = judged(chosen, ("raw",), oracle, OracleRelaxation(mode="cell", steps=options.steps), options)
            show(oracle, "accuracy, cell", by_oracle(chosen, "raw", cell["raw"]))


if __name__ == "__main__":
    main()
