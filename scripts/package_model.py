"""Package the best weights of a run: copy them, measure them on `val` and write their card.

Usage: python scripts/package_model.py RUN NAME [--passes N] [--note TEXT]
"""

import argparse
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from empnn import models
from empnn.data.sets import load_split, locate
from empnn.evaluate import denoise
from empnn.relax import Relaxer
from empnn.training.config import load_config
from empnn.training.run import STRAIN_LIMIT_SIGMAS

SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.3)
SEED = 0
PACKAGE = Path("src/empnn/models")
SOURCES = {
    "mp_20": ("MP-20, partial train split", "CC BY 4.0 (Materials Project); CDVAE split, MIT"),
    "carbon_24": ("Carbon-24, train split", "open access (Pickard 2020, Materials Cloud 2020.0026); CDVAE split, MIT"),
    "perov_5": ("Perov-5, train split", "Computational Materials Repository (Castelli et al. 2012); CDVAE split, MIT"),
}


def git(*arguments: str) -> str:
    """Output of a git command."""
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def card(run: Path, passes: int, note: str, commit: str) -> dict[str, Any]:
    """Everything a user should know about the weights, measured now."""
    config = load_config(run / "config.yaml")
    state = json.loads((run / "last" / "state.json").read_text())
    trained = models.card_of(run)
    network, _ = models.load_network(run)
    relaxer = Relaxer(network, {**trained, "passes": passes})
    name = str(config.data.name)
    description, licence = SOURCES[name]
    crystals = load_split(locate(config.data.path, name), "val").crystals
    metrics = [denoise(relaxer, crystals, sigma, SEED).as_dict() for sigma in SIGMAS]
    return {
        "data": description,
        "licence": licence,
        "note": note,
        "command": f"empnn train configs/{run.name}.yaml",
        "commit": commit,
        "packaged": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__.partition('+')[0]}",
        "training_minutes": round(state["seconds"] / 60, 1),
        "structures": trained["structures"],
        "elements": trained["elements"],
        "strain_limit": STRAIN_LIMIT_SIGMAS * config.noise.sigma,
        "passes": passes,
        "step": trained["step"],
        "selected_on": trained["selected_on"],
        "metrics_on": "val, all structures, one noise per structure (seed 0)",
        "metrics": metrics,
    }


def main() -> None:
    """Package one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--note", default="")
    parser.add_argument("--commit", default=None, help="commit the run was trained with; HEAD by default")
    options = parser.parse_args()
    content = card(options.run, options.passes, options.note, options.commit or git("rev-parse", "HEAD"))
    network, _ = models.load_network(options.run)
    models.save(PACKAGE / options.name, network, content)
    print(json.dumps(content["metrics"], indent=2))


if __name__ == "__main__":
    main()
