"""A small network that is trained to start from cubes."""

from pathlib import Path

import ase.io
from ase.build import bulk

from empnn.training import run
from empnn.training.report import Reporter
from support.runs import config


def trained_on_cubes(folder: Path) -> Path:
    """Its run directory in a folder."""
    frames = [bulk(s, "fcc", a=a) for s, a in (("Cu", 3.61), ("Al", 4.05), ("Ag", 4.09), ("Au", 4.08), ("Ni", 3.52))]
    frames += [bulk("Fe", "bcc", a=2.87), bulk("ZnO", "wurtzite", a=3.25, c=5.2)]
    frames += [bulk("NaCl", "rocksalt", a=5.64, cubic=True)]
    ase.io.write(folder / "train.extxyz", frames)
    settings = ("noise.mix.strain=0", "noise.mix.cube=1", "model.exponent_limit=3", "model.strain_gate=false")
    more = ("train.steps=60", "train.validate_every=60", "train.learning_rate=0.02", "loss=hencky")
    return run.train(config(folder, folder / "run", *settings, *more), Reporter(quiet=True))
