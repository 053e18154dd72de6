"""A training run from configuration to best weights: data, trainer, checkpoints, resume."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from empnn import models
from empnn.errors import ConfigError
from empnn.losses import ParameterScale
from empnn.nn import FeedForward, Network, build
from empnn.nn.runtime.cpu import tuned
from empnn.training.calibration import LEAST_FIT, calibrate
from empnn.training.checkpoint import RunState, load_run, save_run
from empnn.training.config import load_config, save_config
from empnn.training.data import LEAST_CALIBRATION, RunData, digest, is_whole, prepare
from empnn.training.group import Group
from empnn.training.log import Log, Losses
from empnn.training.module import Denoising, rate_factor
from empnn.training.options import Config
from empnn.training.parallel import ENDINGS, together
from empnn.training.report import WORSE, Reporter
from empnn.training.sources import is_reconstruction, validated_kinds
from empnn.training.start import copy_weights
from empnn.training.steps import DenoisingBatch, DenoisingSteps
from empnn.training.task import Outcome, Relaxing

LOG_EVERY = 50
STRAIN_LIMIT_SIGMAS = 2.0
"""A strain matrix of this many deviations is the largest that training shows often."""

Begun = tuple[Denoising, RunData, DenoisingSteps]
"""What a run takes: all that can be refused of it is refused while this is made."""


def train(config: Config, reporter: Reporter) -> Path:
    """Train from scratch; returns the run directory.

    With `train.devices` or `train.nodes` above 1 several processes train together, as `parallel.together` says.

    Raises:
        ConfigError: If the data or the configuration cannot be used, or the run directory is taken.
    """
    return together(_train, config.train, reporter, config)


def _train(group: Group, reporter: Reporter, config: Config) -> Path:
    folder = Path(group.told(config.train.out or _default_folder(config)))
    module, data, steps = group.in_turn(lambda: _begin(group, reporter, config, folder))
    if group.first:
        folder.mkdir(parents=True, exist_ok=True)
        save_config(config, folder / "config.yaml")
    return _fit(folder, module, data, steps, reporter)


def _begin(group: Group, reporter: Reporter, config: Config, folder: Path) -> Begun:
    """A network to train, its data, and the steps; a run that is refused leaves nothing behind."""
    if (folder / "config.yaml").exists():
        raise ConfigError(f"{folder} already holds a run; go on with `resume` {folder} or choose another train.out")
    data = prepare(config, reporter.watch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        network = build(config.model)
    if config.model.start_from is not None:
        copy_weights(network, config.model.start_from)
    steps = _steps(group, network, data)
    task = _task(group, config, data)
    if isinstance(network, FeedForward):
        network.set_scale(task.scale.mean, task.scale.deviation)
    state = RunState(seed=config.train.seed, data=digest(data.train, data.train_pairs))
    return Denoising(network, config, task, state, group), data, steps


def resume(folder: str | Path, reporter: Reporter, changes: Sequence[str] = ()) -> Path:
    """Go on from the last checkpoint of a run; the result is that of a run never interrupted.

    What may change is the number of processes, and `train.steps`, to more than were done. From there on the learning
    rate is that of a run with so many steps from the beginning: where it had fallen to 0 it rises again, and falls to 0
    at the new end.

    Args:
        folder: The run directory.
        reporter: Who is told.
        changes: Any of `train.steps=N` (`steps=N`), `train.devices=N` and `train.nodes=N`.

    Raises:
        ConfigError: If there is no run, its checkpoint is damaged, or something else is to change.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"{folder}: no run here (config.yaml is missing)")
    keys = [item.partition("=")[0] for item in changes]
    for key in keys:
        if key not in ("steps", "train.steps", "train.devices", "train.nodes"):
            raise ConfigError(
                f"{key}: a run goes on as it was begun, but for train.steps, train.devices and train.nodes; begin "
                "another with model.start_from=RUN to change anything else"
            )
    config = load_config(folder / "config.yaml", changes, whole=True)
    return together(_resume, config.train, reporter, config, folder, keys)


def _resume(group: Group, reporter: Reporter, config: Config, folder: Path, changed: Sequence[str]) -> Path:
    extends = "steps" in changed or "train.steps" in changed
    module, data, steps = group.in_turn(lambda: _begin_again(group, reporter, config, folder, extends))
    if changed and group.first:
        save_config(config, folder / "config.yaml")
    if extends:
        peak, step = config.train.learning_rate, module.state.step
        reporter.extended(folder, module.state, peak * rate_factor(step, config.train), peak)
    return _fit(folder, module, data, steps, reporter)


def _begin_again(group: Group, reporter: Reporter, config: Config, folder: Path, extends: bool) -> Begun:
    """The network of a run as it was left, its data, and the steps."""
    network, moments, state = load_run(folder / "last")
    if extends and config.train.steps <= state.step:
        raise ConfigError(f"train.steps={config.train.steps}: {state.step} steps are done already; give more")
    data = prepare(config, reporter.watch)
    if state.data != digest(data.train, data.train_pairs, whole=is_whole(state.data)):
        what = "crystals" if data.train_pairs is None else "crystals or pairs"
        raise ConfigError(f"{folder}: the training {what} are not those the run began with; restore them")
    steps = _steps(group, network, data)
    module = Denoising(network, config, _task(group, config, data), state, group)
    module.moments = moments
    return module, data, steps


def _steps(group: Group, network: Network, data: RunData) -> DenoisingSteps:
    return DenoisingSteps(data.corruptions.source(), network.rule, group.rank, group.size)


def _task(group: Group, config: Config, data: RunData) -> Relaxing:
    return Relaxing(config, ParameterScale.of(data.train.cell), data.validation() if group.first else {})


def _default_folder(config: Config) -> str:
    given = config.data.path or config.data.pairs
    first = given[0] if isinstance(given, list) else given
    data = config.data.name or Path(first or "data").name.partition(".")[0]
    return f"runs/{data}-{time.strftime('%Y%m%d-%H%M%S')}"


def _fit(folder: Path, module: Denoising, data: RunData, steps: DenoisingSteps, reporter: Reporter) -> Path:
    settings, state, group = module.config.train, module.state, module.group
    if state.step >= settings.steps:
        if not group.first:
            return folder
        done = f"all {settings.steps} steps are done, nothing to resume"
        reporter.note(f"{folder}: {done}; for more, add train.steps={2 * state.step}")
        if data.calibration is not None and models.load_error_head(folder) is None:
            _tell_errors(folder, data, reporter)
        return folder
    if settings.threads:
        torch.set_num_threads(settings.threads)
    reporter.started(folder, module, f"{data.name}, {data.sizes}", data.refused, len(data.select))
    checkpoints = Checkpoints(folder, data, reporter, state.step, group)
    with _quiet_lightning(), tuned("cuda" if torch.cuda.is_available() else "cpu"):
        try:
            _fit_interruptible(_trainer(module, checkpoints), module, _loader(module, steps), checkpoints)
        except KeyboardInterrupt:
            reporter.interrupted(folder, state.step, checkpoints.saved_step)
            raise
        finally:
            reporter.close()
            checkpoints.close()
    if group.first:
        _tell_errors(folder, data, reporter)
        reporter.finished(folder, state, settings.batch_size, models.card_of(folder / "best"))
    return folder


def _tell_errors(folder: Path, data: RunData, reporter: Reporter) -> None:
    """Give the best weights what predicts the errors of their answers, as far as there are crystals to fit it to."""
    best = folder / "best"
    network, card = models.load_network(best)
    calibration = calibrate(network, data.corruptions, data.held_out, data.calibration)
    if calibration is None:
        few = f"fewer than {LEAST_FIT} crystals held out"
        reporter.note(f"no errors are predicted, answers are whole: {few}")
        return
    if not calibration.calibrated_by:
        few = f"fewer than {LEAST_CALIBRATION} crystals are set aside for it (data.calibration_fraction)"
        reporter.note(f"errors of answers are predicted without bounds: {few}")
    models.write_card(best, {**card, "errors": calibration.as_dict()})
    # The head comes last: where it is, everything is.
    models.save_shrinkage(best, calibration.shrinkage)
    models.save_error_head(best, calibration.head)


def _loader(module: Denoising, steps: DenoisingSteps) -> DataLoader[DenoisingBatch]:
    """The batches of the remaining steps, prepared ahead by other processes."""
    settings = module.config.train
    return DataLoader(
        steps,
        batch_size=None,
        sampler=range(module.state.step, settings.steps),
        num_workers=settings.workers,
        prefetch_factor=4 if settings.workers else None,
        worker_init_fn=_ignore_endings,
    )


def _trainer(module: Denoising, checkpoints: Checkpoints) -> lightning.Trainer:
    own_gpu = module.group.size > 1 and torch.cuda.is_available()
    return lightning.Trainer(
        accelerator="auto",
        devices=[module.group.device] if own_gpu else 1,
        max_steps=module.config.train.steps - module.state.step,
        max_epochs=-1,
        logger=False,
        callbacks=[checkpoints],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        plugins=[_Alone()],
    )


class _Alone(LightningEnvironment):
    """What Lightning is to know of other processes: nothing.

    Under Slurm it would hold the run to the number of tasks, and save and requeue it in its own way.
    """

    def teardown(self) -> None:
        """Leave what `torchrun` says of the processes for the next run."""


def _fit_interruptible(
    trainer: lightning.Trainer, module: Denoising, loader: DataLoader[DenoisingBatch], checkpoints: Checkpoints
) -> None:
    """Fit; a signal ends it after the current step with a checkpoint, a second Ctrl-C at once.

    Lightning turns a KeyboardInterrupt into an exit, ignores Ctrl-C from then on, and heeds SIGTERM without a
    checkpoint: all of it is undone, here and when training starts.
    """
    handlers = {number: signal.getsignal(number) for number in ENDINGS}
    try:
        trainer.fit(module, loader)
    except SystemExit:
        if not trainer.interrupted:
            raise
        raise KeyboardInterrupt from None
    except RuntimeError:
        # The signal also killed a process that prepares batches, before it had learned to leave signals alone.
        if not checkpoints.stop_asked:
            raise
        raise KeyboardInterrupt from None
    finally:
        if _in_main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _ignore_endings(worker: int) -> None:
    """What a process that prepares batches does first: a signal to all leaves it alone, and it ends with the run."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class Checkpoints(Callback):
    """Validates every `validate_every` steps, keeps the last and the best weights, logs, counts time.

    Of several processes that train, the first does so while the others wait.
    """

    def __init__(self, folder: Path, data: RunData, reporter: Reporter, saved_step: int, group: Group) -> None:
        self.folder = folder
        self.data = data
        self.reporter = reporter
        self.saved_step = saved_step
        self.stop_asked = False
        self._group = group
        self._metrics = Log(folder, saved_step) if group.first else None
        self._losses = Losses(saved_step, group.total)
        self._since = time.perf_counter()

    def close(self) -> None:
        """Nothing more is logged."""
        if self._metrics is not None:
            self._metrics.close()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """From here on, take a signal for the wish to stop after the current step; score what training starts from."""
        at_once = signal.getsignal(signal.SIGINT)

        def ask_to_stop(number: int, frame: Any) -> None:
            self.stop_asked = True
            # Whoever presses Ctrl-C again does not want to wait; other signals come twice from `timeout` and the like.
            if number == signal.SIGINT:
                signal.signal(number, at_once)

        if _in_main_thread():
            for number in ENDINGS:
                signal.signal(number, ask_to_stop)
        if self._group.first and pl_module.state.step == 0 and pl_module.config.model.start_from is not None:
            self._validate(pl_module, {})

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step; log, validate and write a checkpoint where one is due."""
        module, state, settings = pl_module, pl_module.state, pl_module.config.train
        state.step += 1
        self.reporter.step()
        self._losses.add(outputs["loss"])
        validates = state.step % settings.validate_every == 0 or state.step == settings.steps
        figures = self._training_figures(trainer, module) if validates or state.step % LOG_EVERY == 0 else {}
        if validates and self._group.first:
            self._save(trainer, module, self._validate(module, figures))
            self.reporter.saved(state)
        elif figures:
            self._log(state.step, figures)
        stops = self._group.any(self.stop_asked)
        if stops and not validates and self._group.first:
            self._save(trainer, module, self._card(module))
        if stops and state.step < settings.steps:
            # Whoever started the processes ends all when one is gone: the checkpoint has to be whole by then.
            self._group.wait()
            raise KeyboardInterrupt

    def _log(self, step: int, figures: dict[str, float]) -> None:
        if self._metrics is not None:
            self._metrics.write(step, figures)

    def _training_figures(self, trainer: lightning.Trainer, module: Denoising) -> dict[str, float]:
        """Mean loss and speed since they were asked for last, and how the optimizer stands."""
        loss, steps_per_second = self._losses.mean(module.state.step)
        self.reporter.logged(loss)
        figures = {
            "loss": loss,
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "gradient_norm": float(module.gradient_norm),
            "crystals_per_second": steps_per_second * module.config.train.batch_size,
        }
        return {f"train/{name}": value for name, value in figures.items()}

    def _validate(self, module: Denoising, figures: dict[str, float]) -> dict[str, Any]:
        """Keep the weights if they are the best so far, and log; returns their card.

        Args:
            module: What is trained.
            figures: Those of training, logged beside.
        """
        state, settings = module.state, module.config.train
        outcome = module.task.validate(module.network)
        self._count_time(state)
        better, card = outcome.score > state.best_score, self._card(module, outcome)
        if better:
            state.best_score, state.best_step = outcome.score, state.step
            models.save(self.folder / "best", module.network, card)
        found = {"score": outcome.score, **{name: value for name, value in outcome.figures.items() if name != "n"}}
        validation = {f"validation/{name}": value for name, value in found.items()}
        self._log(state.step, {**figures, **validation, "validation/seconds": state.seconds})
        self.reporter.validated(state, settings.steps, outcome, better)
        self._losses.restart()
        return card

    def _save(self, trainer: lightning.Trainer, module: Denoising, card: dict[str, Any]) -> None:
        self._count_time(module.state)
        module.count_skipped()
        save_run(self.folder / "last", module.network, trainer.optimizers[0], module.state, card)
        self.saved_step = module.state.step

    def _count_time(self, state: RunState) -> None:
        now = time.perf_counter()
        state.seconds, self._since = state.seconds + now - self._since, now

    def _card(self, module: Denoising, outcome: Outcome | None = None) -> dict[str, Any]:
        config = module.config
        card = {
            "data": self.data.name,
            "structures": len(self.data.train),
            **({"pairs": len(self.data.train_pairs)} if self.data.train_pairs is not None else {}),
            "elements": self.data.elements,
            "rare_elements": {str(number): count for number, count in self.data.rare_elements.items()},
            "strain_limit": STRAIN_LIMIT_SIGMAS * config.noise.sigma,
            "step": module.state.step,
            **({} if config.model.start_from is None else {"start_from": config.model.start_from}),
            **({"from_cube": True} if is_reconstruction(config) else {}),
            "selected_on": config.data.select_on,
        }
        if outcome is not None:
            noise = {}
            if "strain" in validated_kinds(config):
                noise["sigma"] = config.train.validate_sigma
                if module.network.moves_atoms:
                    noise["positions_sigma"] = config.train.validate_positions
            card["selection"] = {**noise, **outcome.figures}
            if outcome.worse:
                card[WORSE] = outcome.worse
        return card


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
