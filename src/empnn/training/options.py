"""The options of training: one typed source for their names, defaults and documentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from empnn.nn import ModelConfig


@dataclass
class DataConfig:
    """Which crystals to train on."""

    path: Any = None
    """A file, pattern or folder of crystals, a folder that holds train.csv(.gz), or a list of these and of names of
    sets (`[a.cif,runs/*.extxyz]`); or the root that holds the folder `name`."""
    name: str | None = None
    """carbon_24, perov_5 or mp_20: under `path`, the variable EMPNN_DATA, or where `empnn data fetch` puts it; or
    sample, 600 crystals that come with the package."""
    pairs: Any = None
    """Unrelaxed crystals and what they relax to: a table with the columns `cif_unrelaxed` and `cif_relaxed`, a list of
    two files `[unrelaxed.extxyz,relaxed.extxyz]`, or a folder that holds either. Alone, they are all there is to train
    on; with `path` or `name` they come beside these crystals."""
    select_on: str = "dev"
    """What selects the best weights: `dev`, carved from train, or the split `val`."""
    dev_fraction: float = 0.05
    """Part of train that becomes the development set, drawn by composition."""
    calibration_fraction: float = 0.05
    """Part of train that calibrates the bounds on predicted errors, drawn likewise; nothing below 100 crystals."""


@dataclass
class MixConfig:
    """How often each kind of corruption is drawn: weights, of which only the proportions count."""

    strain: float = 1.0
    """`sigma` and `positions`: nine independent entries of A. 0 by default where `data.pairs` are all there is."""
    symmetric: float = 0.0
    """Strain and displacements that keep the space group."""
    decorated: float = 0.0
    """A crystal in the cell and at the places of an isostructural one of another composition."""
    pairs: float = 0.0
    """The pairs of `data.pairs`; 1 by default where there are any."""
    relaxed: float = 0.0
    """Crystals as they are, with nothing to do: what is relaxed then stays where it is."""
    cube: float = 0.0
    """A cube of 1 angstrom in place of the cell, for reconstruction from fractional coordinates."""


@dataclass
class SymmetricConfig:
    """Noise that keeps the space group, drawn as `distribution` and `exponent` say."""

    volume: float = 0.45
    """Deviation of the isotropic strain; the largest one if the distribution is `uniform`."""
    shape: float = 0.2
    """Deviation of the entries of A, before what the point group forbids is taken away; likewise."""
    positions: float = 0.8
    """Deviation of the displacements in angstrom, before what the space group forbids is taken away; likewise."""


@dataclass
class CubeConfig:
    """Cubes in place of cells."""

    rewritten: float = 0.0
    """Share of the crystals that are rewritten in another basis before; for what is not to know that of a data set."""
    matrices: int = 3
    """The most elementary matrices that lead to such a basis."""


@dataclass
class NoiseConfig:
    """Noise of the training crystals."""

    sigma: float = 0.25
    """Deviation of the entries of A; the largest one if the distribution is `uniform`."""
    distribution: str = "uniform"
    """`fixed`, or `uniform`: drawn per structure from [0, sigma], so that relaxed crystals stay relaxed."""
    exponent: float = 2.0
    """For `uniform`: sigma times u**exponent with u in [0, 1]; above 1 it favours small strains."""
    positions: float | None = None
    """Deviation of the displacements of the atoms in angstrom, drawn as the strain is; null: 0.1 if `model.deform`
    holds positions, else 0."""
    displaced: float = 1.0
    """Share of the strained crystals, symmetric or not, whose atoms are displaced too; those of the others stay."""
    mix: MixConfig = field(default_factory=MixConfig)
    symmetric: SymmetricConfig = field(default_factory=SymmetricConfig)
    cube: CubeConfig = field(default_factory=CubeConfig)


@dataclass
class LossConfig:
    """What is minimised."""

    name: str = "param_mae"
    """A key of `empnn.losses.LOSSES`, for the cell."""
    positions: float = 10.0
    """Weight of the mean distance of the atoms to their true positions, per angstrom, if they move."""
    layers: float = 0.0
    """Weight of the mean loss of the cells after the layers before the last one."""


@dataclass
class TrainConfig:
    """How it is minimised."""

    steps: int = 10_000
    """Optimizer steps."""
    batch_size: int = 64
    """Structures per step, of all processes together."""
    learning_rate: float = 1e-3
    """Peak rate of Adam; it rises linearly over `warmup_steps`, then falls to 0 along a cosine (`decay=true`)."""
    decay: bool = True
    """Whether the learning rate falls; if not, it stays at its peak."""
    warmup_steps: int = 200
    """Steps of linear rise."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    weight_decay: float = 0.0
    """Decoupled decay of the weights: times the learning rate, the part of each that is lost in a step."""
    seed: int = 0
    """Seed of the weights, the order of the crystals, the noise and the development set."""
    out: str | None = None
    """Run directory; `runs/<data>-<date>-<time>` by default."""
    validate_every: int = 500
    """Steps between validations, each of which writes a checkpoint."""
    validate_on: list[str] | None = None
    """Kinds of corruption that the best weights are selected by (`[strain,symmetric,decorated]`), so that scores of
    runs of different mixtures compare; null: those that `noise.mix` gives a weight. `data.pairs` come besides."""
    validate_sigma: float = 0.1
    """Noise of the validation."""
    validate_positions: float = 0.1
    """Noise of the validation on positions, in angstrom, if they move."""
    validate_structures: int = 1000
    """Validate on at most this many structures, the first of the set."""
    workers: int = 1
    """Processes that prepare batches (noise and graphs); 0 prepares them in the training process."""
    threads: int = 0
    """Threads of torch, of each process; 0 lets torch decide, and processes on a CPU share them."""
    devices: int = 1
    """Processes that train together on each machine, each with a GPU of its own if there are any."""
    nodes: int = 1
    """Machines with so many processes; `torchrun` or `srun` starts them."""


@dataclass
class Config:
    """Everything that determines a training run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
