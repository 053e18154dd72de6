"""Package the weights of a run under a name, with their card; `make figures` then measures them.

Usage: python scripts/package_model.py RUN NAME --commit COMMIT [--config CONFIG...] [--weights best|last] [--data NAME]
[--manifest FILE] [--machine TEXT] [--note TEXT]
The run must have been trained with the last of the configurations (configs/NAME.yaml if none is given); only threads,
workers and places may differ. `--weights last` is for a run whose development set the weights it started from were
fitted to, so that it tells nothing. `--data` names the model whose data it was trained on. A manifest of
scripts/prepare_pbe.py is packaged too, so that the data can be made again.
"""

import argparse
import gzip
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from empnn import models
from empnn.training.config import load_config
from empnn.training.options import Config
from empnn.training.run import STRAIN_LIMIT_SIGMAS

PACKAGE = Path("src/empnn/models")
SOURCES = {
    "mp-20": ("MP-20, partial train split", "CC BY 4.0 (Materials Project); CDVAE split, MIT"),
    "pbe": (
        "MP-20, partial train split, and further PBE crystals (see data.json.gz of pbe)",
        "CC BY 4.0 (Materials Project, Alexandria and OQMD, in LeMat-Bulk, matcalc, matminer, WyckoffTransformer and "
        "chemeleon); CDVAE split, Heuslers (github.com/ksyang2013/Heusler) and batteries "
        "(github.com/jlaw9/upper-bound-energy-gnn), MIT",
    ),
    "carbon-24": ("Carbon-24, train split", "open access (Pickard 2020, Materials Cloud 2020.0026); CDVAE split, MIT"),
    "perov-5": ("Perov-5, train split", "Computational Materials Repository (Castelli et al. 2012); CDVAE split, MIT"),
}

MANIFEST = "data.json.gz"
BEST, LAST = "best", "last"
"""Folders of a run."""
RECONSTRUCTS = "-reconstruct"
"""How names end of networks that find cells from a cube."""
PURPOSES = {
    "mp-20": ("strained inorganic crystals", "wrong volumes of a right shape, carbon, high pressure"),
    "pbe": ("candidates from prototypes, strained crystals", "carbon, high pressure"),
    "carbon-24": ("strained carbon", "anything else"),
    "perov-5": ("strained cubic perovskites", "anything else"),
}
"""What each model is for, and what it is not for."""


def what_counts(config: Config) -> Config:
    """The configuration without what does not change the weights, and without places."""
    return replace(
        config,
        data=replace(config.data, path=None),
        model=replace(config.model, start_from=None),
        train=replace(config.train, threads=0, workers=0, out=None),
    )


def commands(configs: Sequence[Path]) -> Iterator[str]:
    """How the model is trained: with one configuration after the other, each from the weights of the one before."""
    yield f"empnn train {configs[0]}"
    for before, path in pairwise(configs):
        yield f"empnn train {path} model.start_from=runs/{before.stem}"


def of_manifest(manifest: Path, name: str) -> dict[str, Any]:
    """Number of crystals by source, and where the manifest is packaged that has all of them and what was dropped."""
    told = json.loads(manifest.read_text())
    return {
        "sources": {source: known["kept"] for source, known in told["sources"].items()},
        "manifest": {
            "file": f"empnn/models/{name}/{MANIFEST}",
            "crystals": len(told["ids"]),
            "dropped": len(told["dropped"]),
        },
    }


def card(run: Path, options: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Where the weights come from."""
    state = json.loads((run / "last" / "state.json").read_text())
    trained = models.card_of(run)
    base = options.name.removesuffix(RECONSTRUCTS)
    data, licence = SOURCES[options.data or base]
    purpose, limits = PURPOSES[base]
    reconstruction: dict[str, Any] = {}
    if base != options.name:
        purpose, limits = "cells from scratch", "relaxing cells"
        reconstruction = {"from_cube": True, "goes_on_with": "pbe" if base == "mp-20" else base}
    return {
        **reconstruction,
        "for": purpose,
        "not_for": limits,
        "data": data,
        "licence": licence,
        "note": options.note,
        **(of_manifest(options.manifest, options.name) if options.manifest else {}),
        "command": "; ".join(commands(options.config)),
        "commit": options.commit,
        "packaged": datetime.now(UTC).date().isoformat(),
        "machine": options.machine,
        "training_minutes": round(state["seconds"] / 60, 1),
        "structures": trained["structures"],
        "elements": trained["elements"],
        "rare_elements": trained.get("rare_elements", {}),
        "strain_limit": STRAIN_LIMIT_SIGMAS * config.noise.sigma,
        "step": state["step"] if options.weights == LAST else trained["step"],
        "selected_on": "nothing, the last step" if options.weights == LAST else trained["selected_on"],
        "metrics_on": "val, all structures, one noise per structure (seed 0)",
        "metrics": [],
    }


def main() -> None:
    """Package one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--commit", required=True, help="commit the run was trained with")
    parser.add_argument("--note", default="")
    here = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__.partition('+')[0]}"
    parser.add_argument("--machine", default=here, help="that it was trained on, if not this one")
    parser.add_argument("--config", type=Path, nargs="*", help="those trained with, one after the other")
    parser.add_argument("--weights", choices=(BEST, LAST), default=BEST)
    parser.add_argument("--data", choices=SOURCES, help="the model whose data it was trained on, if not its own")
    parser.add_argument("--manifest", type=Path, help="of scripts/prepare_pbe.py")
    options = parser.parse_args()
    options.config = options.config or [Path(f"configs/{options.name}.yaml")]
    config = load_config(options.run / "config.yaml", whole=True)
    if what_counts(load_config(options.config[-1], whole=True)) != what_counts(config):
        raise SystemExit(f"{options.run} was not trained with {options.config[-1]}")
    network, _ = models.load_network(options.run / options.weights)
    # The card tells what it went on from; the place means nothing elsewhere.
    network.config = replace(network.config, start_from=None)
    models.save(PACKAGE / options.name, network, card(options.run, options, config))
    if options.manifest:
        (PACKAGE / options.name / MANIFEST).write_bytes(gzip.compress(options.manifest.read_bytes(), mtime=0))
    print(f"packaged {options.run} as {options.name}; measure it with make figures")


if __name__ == "__main__":
    main()
