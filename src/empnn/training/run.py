"""A training run from configuration to best weights: data, trainer, checkpoints, resume."""

from __future__ import annotations

import logging
import math
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from empnn import models
from empnn.crystals import CrystalBatch
from empnn.data.sets import carve_development, load_split, locate
from empnn.errors import ConfigError
from empnn.losses import ParameterScale
from empnn.nn import FeedForward, build
from empnn.training.checkpoint import RunState, load_run, save_run
from empnn.training.config import Config, load_config, save_config
from empnn.training.module import Denoising, selection_score, validate
from empnn.training.report import Reporter
from empnn.training.steps import DenoisingBatch, DenoisingSteps

STRAIN_LIMIT_SIGMAS = 2.0
"""A strain matrix of this many deviations is the largest that training shows often."""


@dataclass(frozen=True)
class RunData:
    """Crystals of a run.

    Attributes:
        train: What the weights are fitted to.
        select: What the best weights are chosen by.
        name: The data set in words, for the card.
        refused: Messages about structures that could not be used.
    """

    train: CrystalBatch
    select: CrystalBatch
    name: str
    refused: tuple[str, ...]


def train(config: Config, reporter: Reporter) -> Path:
    """Train from scratch; returns the run directory.

    Raises:
        ConfigError: If the data or the configuration cannot be used, or the run directory is taken.
    """
    folder = Path(config.train.out or _default_folder(config))
    if (folder / "config.yaml").exists():
        raise ConfigError(f"{folder} already holds a run; resume it with --resume {folder} or choose another train.out")
    data = prepare(config)
    lightning.seed_everything(config.train.seed, verbose=False)
    network = build(config.model)
    scale = ParameterScale.of(data.train.cell)
    if isinstance(network, FeedForward):
        network.set_scale(scale.mean, scale.deviation)
    folder.mkdir(parents=True, exist_ok=True)
    save_config(config, folder / "config.yaml")
    module = Denoising(network, config, scale, RunState(seed=config.train.seed))
    return _fit(folder, module, data, reporter)


def resume(folder: str | Path, reporter: Reporter) -> Path:
    """Go on from the last checkpoint of a run; the result is that of a run never interrupted.

    Raises:
        ConfigError: If there is no run or its checkpoint is damaged.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"{folder}: no run here (config.yaml is missing)")
    config = load_config(folder / "config.yaml")
    network, moments, state = load_run(folder / "last")
    data = prepare(config)
    module = Denoising(network, config, ParameterScale.of(data.train.cell), state)
    module.moments = moments
    return _fit(folder, module, data, reporter)


def prepare(config: Config) -> RunData:
    """The training and selection crystals that a configuration names.

    Raises:
        ConfigError: If they cannot be found or used.
    """
    location = locate(config.data.path, config.data.name)
    train_set = load_split(location, "train")
    name = config.data.name or location.name
    if config.data.select_on == "val":
        chosen = load_split(location, "val")
        select, refused = chosen.crystals, train_set.refused + chosen.refused
        kept = train_set.crystals
    else:
        rest, held_out = carve_development(train_set.crystals, config.data.dev_fraction, config.train.seed)
        select, refused = train_set.crystals.select(held_out), train_set.refused
        kept = train_set.crystals.select(rest)
    limit = min(len(select), config.train.validate_structures)
    return RunData(kept, select.select(np.arange(limit)), name, refused)


def _default_folder(config: Config) -> str:
    data = config.data.name or Path(config.data.path or "data").name.partition(".")[0]
    return f"runs/{data}-{time.strftime('%Y%m%d-%H%M%S')}"


def _fit(folder: Path, module: Denoising, data: RunData, reporter: Reporter) -> Path:
    settings, state = module.config.train, module.state
    remaining = settings.steps - state.step
    if remaining <= 0:
        reporter.note(f"{folder}: all {settings.steps} steps are done, nothing to resume")
        return folder
    if settings.threads:
        torch.set_num_threads(settings.threads)
    reporter.started(folder, module, data.name, len(data.train), len(data.select), data.refused)
    rule = module.network.rule
    steps = DenoisingSteps(data.train, rule, module.config.noise, settings.batch_size, settings.seed)
    loader: DataLoader[DenoisingBatch] = DataLoader(
        steps,
        batch_size=None,
        sampler=range(state.step, settings.steps),
        num_workers=settings.workers,
        prefetch_factor=4 if settings.workers else None,
    )
    checkpoints = Checkpoints(folder, data, reporter, state.step)
    with _quiet_lightning():
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=1,
            max_steps=remaining,
            max_epochs=-1,
            logger=[
                CSVLogger(folder, name="logs", version=f"from-{state.step}"),
                TensorBoardLogger(folder, name="tensorboard", version=f"from-{state.step}"),
            ],
            callbacks=[checkpoints],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=min(50, settings.validate_every),
            num_sanity_val_steps=0,
        )
        try:
            _fit_interruptible(trainer, module, loader)
        except KeyboardInterrupt:
            reporter.interrupted(folder, state.step, checkpoints.saved_step)
            raise
        finally:
            reporter.close()
    reporter.finished(folder, state)
    return folder


def _fit_interruptible(trainer: lightning.Trainer, module: Denoising, loader: DataLoader[DenoisingBatch]) -> None:
    """Fit; Ctrl-C stays a KeyboardInterrupt, where Lightning makes it an exit and ignores the signal from then on."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, loader)
    except SystemExit:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


class Checkpoints(Callback):
    """Validates every `validate_every` steps, keeps the last and the best weights, counts time."""

    def __init__(self, folder: Path, data: RunData, reporter: Reporter, saved_step: int) -> None:
        self.folder = folder
        self.data = data
        self.reporter = reporter
        self.saved_step = saved_step
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step; validate and write a checkpoint where one is due."""
        module, state = pl_module, pl_module.state
        state.step += 1
        loss = float(outputs["loss"])
        self.reporter.step(loss)
        settings = module.config.train
        if state.step % settings.validate_every and state.step != settings.steps:
            return
        metrics = validate(module.network, self.data.select, settings.validate_sigma)
        if not math.isfinite(metrics.lengths_mae):
            raise ConfigError(f"training diverged at step {state.step}; lower train.learning_rate and start again")
        now = time.perf_counter()
        state.seconds, self._since = state.seconds + now - self._since, now
        score = selection_score(metrics)
        better = score > state.best_score
        if better:
            state.best_score, state.best_step = score, state.step
            models.save(self.folder / "best", module.network, self._card(module, metrics.as_dict()))
        save_run(self.folder / "last", module.network, trainer.optimizers[0], replace(state))
        self.saved_step = state.step
        figures = {k: float(v) for k, v in metrics.as_dict().items() if k != "n"}
        module.log_dict(figures)
        self.reporter.validated(state, settings.steps, metrics, better)

    def _card(self, module: Denoising, metrics: dict[str, Any]) -> dict[str, Any]:
        config = module.config
        return {
            "data": self.data.name,
            "structures": len(self.data.train),
            "elements": sorted(set(self.data.train.numbers.tolist())),
            "strain_limit": STRAIN_LIMIT_SIGMAS * config.noise.sigma,
            "step": module.state.step,
            "selected_on": config.data.select_on,
            "selection": {"sigma": config.train.validate_sigma, **metrics},
        }


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's banners and advice, which do not concern the user of `empnn train`."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec.*")
            yield
    finally:
        logger.setLevel(level)
