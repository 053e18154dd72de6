"""Worst equivariance error of the whole network, in float64, for every row of Table 2 and every group.

Ten layers, 128 features, random weights that deform most crystals by tens of percent; errors are those of h - I,
relative to its largest entry. Usage: python -m benchmarks.quality.equivariance [--out FILE.json]
"""

import argparse
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import ase.io
import torch
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from empnn.crystals import CrystalBatch, from_atoms
from empnn.fields import TABLE2
from empnn.files import replacing
from empnn.nn import EMPNN, ModelConfig
from empnn.nn.weights import EdgeWeights, TripletWeights
from empnn.testing import equivariance_errors

LIMIT = 1e-9
WEIGHT_DEVIATION = 0.2


def crystals() -> dict[str, Atoms]:
    """Perfect crystals full of ties, and real ones without symmetry."""
    samples = ase.io.read(str(files("empnn.data") / "samples" / "strained.extxyz"), index=":")
    cubic = {"spacegroup": 221, "cellpar": [3.9, 3.9, 3.9, 90, 90, 90]}
    return {
        "fcc": bulk("Cu", "fcc", a=3.6, cubic=True),
        "perovskite": crystal(("Sr", "Ti", "O"), basis=[(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], **cubic),
        "diamond": bulk("C", "diamond", a=3.57),
        "triclinic Carbon-24": next(a for a in samples if a.info["data"] == "carbon_24"),
        "one atom": bulk("Po", "sc", a=3.3),
        "MP-20 sample": samples[1],
    }


def network(fields: str) -> EMPNN:
    """A network of the paper's size with random weights, not tiny ones."""
    torch.manual_seed(0)
    model = EMPNN(ModelConfig(fields=fields)).double()
    for module in model.modules():
        if isinstance(module, EdgeWeights | TripletWeights):
            torch.nn.init.normal_(module.weight.weight, std=WEIGHT_DEVIATION)
    return model


def measure() -> list[dict[str, Any]]:
    """One row per row of Table 2 and crystal."""
    batches: dict[str, CrystalBatch] = {name: from_atoms(atoms) for name, atoms in crystals().items()}
    rows = []
    for fields in TABLE2:
        model = network(fields)
        for name, batch in batches.items():
            with torch.no_grad():
                deformation = float((model(batch).action - torch.eye(3)).abs().max())
            errors = equivariance_errors(lambda c, model=model: model(c).action - torch.eye(3), batch)["action"]
            rows.append({"fields": fields, "crystal": name, "deformation": deformation, **errors})
        print(markdown([r for r in rows if r["fields"] == fields]).splitlines()[-1], flush=True)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The worst over the crystals, per row and group."""
    groups = [key for key in rows[0] if key not in ("fields", "crystal", "deformation")]
    lines = [f"| fields | largest deformation | {' | '.join(groups)} |", "|---" * (len(groups) + 2) + "|"]
    for fields in dict.fromkeys(r["fields"] for r in rows):
        mine = [r for r in rows if r["fields"] == fields]
        worst = " | ".join(f"{max(r[g] for r in mine):.1e}" for g in groups)
        lines.append(f"| {fields} | {max(r['deformation'] for r in mine):.2f} | {worst} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and fail if an error is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/equivariance.json"))
    out = parser.parse_args().out
    rows = measure()
    with replacing(out) as temporary:
        temporary.write_text(json.dumps({"description": __doc__, "rows": rows}, indent=1) + "\n")
    print(f"\n{markdown(rows)}\n\nwrote {out}")
    worst = max(value for row in rows for key, value in row.items() if key not in ("fields", "crystal", "deformation"))
    if worst > LIMIT:
        raise SystemExit(f"the worst error is {worst:.1e}, over {LIMIT:.0e}")


if __name__ == "__main__":
    main()
