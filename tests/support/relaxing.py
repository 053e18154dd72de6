"""A tiny network that really deforms, saved as a model folder, small crystals as ASE `Atoms`, and the command line."""

from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from typer.testing import CliRunner, Result

from empnn import models
from empnn.cli import app
from empnn.nn import ModelConfig, Network, RadialConfig, build
from support.field_weights import field_weights

SLOWLY = """
import time
import empnn.bulk.resumable as resumable, empnn.bulk.pipeline as pipeline, empnn.relax.files as files
resumable.RECORDS = pipeline.CHUNK = 64
once = files.Relaxing.__call__
def slowly(self, records):
    time.sleep(0.25)
    return once(self, records)
files.Relaxing.__call__ = slowly
from empnn.cli import main
main()
"""
"""A program that is the command line, slow enough to be stopped on the way."""


def tiny_network(scale: float = 3.0, **options: object) -> Network:
    """A seeded network; its last layers are scaled up, for a fresh one hardly deforms."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig(features=16, message_layers=1, action_layers=2, radial=RadialConfig(count=8), **options)
        network = build(config)
    with torch.no_grad():
        for weight in field_weights(network):
            weight.mul_(scale)
    return network.eval()


def tiny_model(folder: Path, **card: object) -> Path:
    """The tiny network on disk."""
    models.save(folder, tiny_network(), {"data": "nothing", **card})
    return folder


def salt(identifier: str | None = None) -> Atoms:
    """A strained rock salt whose atoms are partly outside the cell, with info and an array of its own."""
    atoms = Atoms(
        "NaCl",
        cell=[[0.1, 2.9, 2.7], [2.8, -0.1, 3.0], [2.9, 2.6, 0.2]],
        scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]],
        pbc=True,
    )
    atoms.positions += [[-2, -1, 3] @ atoms.cell.array, [4, 0, -1] @ atoms.cell.array]
    atoms.set_array("site", np.array([7, 8]))
    atoms.info["gap"] = 8.5
    if identifier:
        atoms.info["material_id"] = identifier
    return atoms


def triclinic(identifier: str | None = None) -> Atoms:
    """Five atoms without symmetry."""
    atoms = Atoms(
        "CuSO2H",
        cell=[[5.57, 0.1, -0.3], [1.46, 7.0, 0.2], [-1.9, 0.8, 6.4]],
        scaled_positions=[[0.0, 0.1, 0.1], [0.5, 0.6, 0.6], [0.8, 0.2, 0.4], [0.3, 0.9, 0.1], [0.6, 0.3, 0.9]],
        pbc=True,
    )
    if identifier:
        atoms.info["material_id"] = identifier
    return atoms


def run(*arguments: str) -> Result:
    """What the command line does with these arguments, in this process."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    return result


def told(stderr: str) -> list[str]:
    """The lines of a run but those that say what changed."""
    changed = ("volume changed by ", "volume changed by: ", "atoms moved by: ", "predicted error of ", "suspect: ")
    return [line for line in stderr.splitlines() if not line.startswith(changed)]
