"""Package the best weights of a run under a name, with their card; `make figures` then measures them.

Usage: python scripts/package_model.py RUN NAME --commit COMMIT [--passes N] [--note TEXT]
The run must have been trained with configs/NAME.yaml; only threads and workers may differ.
"""

import argparse
import json
import os
import platform
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from empnn import models
from empnn.training.config import Config, load_config
from empnn.training.run import STRAIN_LIMIT_SIGMAS

PACKAGE = Path("src/empnn/models")
SOURCES = {
    "mp_20": ("MP-20, partial train split", "CC BY 4.0 (Materials Project); CDVAE split, MIT"),
    "carbon_24": ("Carbon-24, train split", "open access (Pickard 2020, Materials Cloud 2020.0026); CDVAE split, MIT"),
    "perov_5": ("Perov-5, train split", "Computational Materials Repository (Castelli et al. 2012); CDVAE split, MIT"),
}


def what_counts(config: Config) -> Config:
    """The configuration without what does not change the weights."""
    return replace(config, train=replace(config.train, threads=0, workers=0, out=None))


def card(run: Path, options: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Where the weights come from."""
    state = json.loads((run / "last" / "state.json").read_text())
    trained = models.card_of(run)
    data, licence = SOURCES[str(config.data.name)]
    return {
        "data": data,
        "licence": licence,
        "note": options.note,
        "command": f"empnn train configs/{options.name}.yaml",
        "commit": options.commit,
        "packaged": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__.partition('+')[0]}",
        "training_minutes": round(state["seconds"] / 60, 1),
        "structures": trained["structures"],
        "elements": trained["elements"],
        "strain_limit": STRAIN_LIMIT_SIGMAS * config.noise.sigma,
        "passes": options.passes,
        "step": trained["step"],
        "selected_on": trained["selected_on"],
        "metrics_on": "val, all structures, one noise per structure (seed 0)",
        "metrics": [],
    }


def main() -> None:
    """Package one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--commit", required=True, help="commit the run was trained with")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    config = load_config(options.run / "config.yaml")
    if what_counts(load_config(f"configs/{options.name}.yaml")) != what_counts(config):
        raise SystemExit(f"{options.run} was not trained with configs/{options.name}.yaml")
    network, _ = models.load_network(options.run)
    models.save(PACKAGE / options.name, network, card(options.run, options, config))
    print(f"packaged {options.run} as {options.name}; measure it with make figures")


if __name__ == "__main__":
    main()
