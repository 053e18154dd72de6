"""What k-points and cutoff DFT needs: energies and pressures of a few relaxed crystals by GPAW, beside the finest.

k-points at a cutoff of 500 eV, by density (per inverse angstrom, the mesh beside it) and the paper's 7x7x7; cutoffs at
a density of 2. `energy_error` is to the finest of the same crystal and kind, eV/atom.
Usage: python -m benchmarks.energy.convergence [--densities 1.5 2 2.5 3 4] [--cutoffs 400 500 600 800] [--limit 1]
"""

import argparse
from typing import Any

import numpy as np

from benchmarks.energy.energy_sets import merge, parser, progress, triple
from empnn.crystals import CrystalBatch, from_arrays, to_atoms
from empnn.data.records import Record
from empnn.energy.answers import Choice
from empnn.energy.oracle import OracleRelaxation
from empnn.energy.oracles.gpaw import mesh_of
from empnn.energy.run import Job, judge

DIAMOND = from_arrays(3.567 / 2 * (1 - np.eye(3)), np.array([[0.0] * 3, [0.25] * 3]), np.array([6, 6]))
SRTIO3 = from_arrays(
    3.945 * np.eye(3),
    np.array([[0.0] * 3, [0.5] * 3, [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]),
    np.array([38, 22, 8, 8, 8]),
)
DENSITY = 2.0


def crystals(options: argparse.Namespace) -> dict[str, CrystalBatch]:
    """Diamond, strontium titanate, and the first small crystals of each set."""
    found = {"diamond": DIAMOND, "SrTiO3": SRTIO3}
    for data in options.sets:
        chosen = triple(data, options.limit, True)
        for place, index in enumerate(chosen.indices):
            one = chosen.states["original"].select([place])
            found[f"{to_atoms(one)[0].get_chemical_formula()} ({data} {index})"] = one
    return found


def measure(name: str, crystal: CrystalBatch, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows of one crystal."""
    atoms = to_atoms(crystal)[0]
    density = {d: list(mesh_of(atoms, {"kpoint_density": d})) for d in sorted({*options.densities, DENSITY})}
    points = [("kpoints", f"{d:g}", {"cutoff": 500.0, "kpoints": density[d]}) for d in sorted(options.densities)]
    points.append(("kpoints", "7x7x7", {"cutoff": 500.0, "kpoints": [7, 7, 7]}))
    points += [("cutoff", f"{c:g}", {"cutoff": c, "kpoints": density[DENSITY]}) for c in sorted(options.cutoffs)]
    rows = []
    for kind, value, settings in points:
        job = Job(choice=Choice("gpaw", settings), relaxation=OracleRelaxation(), workers=1, store=options.store)
        one = judge([Record(file=name, index=0, atoms=atoms)], job, progress(f"gpaw {kind} {value}"))[0].as_dict()
        pressure = None if one["stress"] is None else -float(np.mean(one["stress"][:3]))
        kept = {key: one[key] for key in ("energy_per_atom", "seconds", "message")}
        rows.append({"crystal": name, "kind": kind, "value": value, **settings, **kept, "pressure_gpa": pressure})
    for kind in ("kpoints", "cutoff"):
        known = [row for row in rows if row["kind"] == kind and row["energy_per_atom"] is not None]
        finest = max(known, key=lambda row: (np.prod(row["kpoints"]), row["cutoff"]), default=None)
        for row in known:
            row["energy_error"] = row["energy_per_atom"] - (finest or row)["energy_per_atom"]
    return rows


def main() -> None:
    """Measure, and write the result file after every crystal."""
    made = parser(__doc__, 1, ["gpaw"])
    made.add_argument("--densities", type=float, nargs="+", default=[1.5, 2.0, 2.5, 3.0, 4.0])
    made.add_argument("--cutoffs", type=float, nargs="+", default=[400.0, 500.0, 600.0, 800.0])
    options = made.parse_args()
    for name, crystal in crystals(options).items():
        rows = measure(name, crystal, options)
        merge(options.results / "convergence.json", str(__doc__), rows, ("crystal", "kind", "value"))


if __name__ == "__main__":
    main()
