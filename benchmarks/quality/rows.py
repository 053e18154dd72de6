"""Train every row of Table 2 and the feed-forward baseline for some steps on each data set: loss before and after.

Batches of 32, k = 8, sigma 0.1, no strain gate: 200 steps with `exp` and the mean, then 50 with `first_order` and the
sum of the paper, for which structures with det h <= 0 are counted. Finished runs are kept in the result file, so that
the command can be stopped and started again.
Usage: python -m benchmarks.quality.rows   (EMPNN_DATA names the data)
"""

import argparse
import json
import math
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.bench import fast_process
from empnn.fields import TABLE2
from empnn.files import replacing
from empnn.losses import LOSSES, ParameterScale
from empnn.nn import FeedForward, build
from empnn.training.checkpoint import RunState
from empnn.training.config import load_config
from empnn.training.data import prepare
from empnn.training.module import Denoising
from empnn.training.options import Config
from empnn.training.sources import Corruptions
from empnn.training.steps import DenoisingSteps
from empnn.training.task import Relaxing

PLAN = {"exp": ("mean", 200), "first_order": ("sum", 50)}
"""For each action the reduction and the number of steps."""
SETS = ("carbon_24", "mp_20", "perov_5")
WINDOW, SPIKE = 20, 1.5
SETTINGS = (
    "model.strain_gate=false",
    "model.graph.k=8",
    "noise.distribution=fixed",
    "noise.sigma=0.1",
    "train.batch_size=32",
    "train.warmup_steps=50",
    "train.learning_rate=5e-4",
    "train.decay=false",
)


def configuration(data: str, row: str, action: str) -> Config:
    """The settings of one run."""
    model = ["model.name=ff"] if row == "ff" else [f"model.fields={row}"]
    model += [f"model.action={action}", f"model.reduction={PLAN[action][0]}"]
    return load_config(None, [f"data={data}", *SETTINGS, *model])


def losses_of(config: Config, steps: int) -> tuple[list[float], int, float, float]:
    """Loss of every step, how often det h was not positive, the loss of doing nothing, and seconds per step."""
    crystals = prepare(config).train
    torch.manual_seed(config.train.seed)
    network = build(config.model)
    scale = ParameterScale.of(crystals.cell)
    if isinstance(network, FeedForward):
        network.set_scale(scale.mean, scale.deviation)
    module = Denoising(network, config, Relaxing(config, scale, {}), RunState())
    optimizer = module.configure_optimizers()["optimizer"]
    batches = DenoisingSteps(Corruptions(config, crystals).source(), network.rule)
    losses, nothing, determinants = [], [], []
    network.register_forward_hook(
        lambda _, inputs, result: determinants.append(torch.linalg.det(result.steps.detach()))
    )
    started = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = config.train.learning_rate * min(1.0, (step + 1) / config.train.warmup_steps)
        optimizer.zero_grad()
        batch = batches[step]
        loss = module.training_step(batch, step)
        loss.backward()
        module.configure_gradient_clipping(optimizer)
        optimizer.step()
        losses.append(float(loss.detach()))
        nothing.append(float(LOSSES[config.loss.name](batch.crystals.cell, batch.relaxed.cell, scale)))
    seconds = (time.perf_counter() - started) / steps
    return losses, sum(int((~(d > 0)).any(0).sum()) for d in determinants), sum(nothing) / steps, seconds


def summary(losses: list[float], nothing: float) -> dict[str, Any]:
    """Means of the first and last steps, the worst step, whether all are finite, and whether spikes were overcome.

    That is so if the last steps are better than the first and nearly as good as any before.
    """
    means = [sum(losses[i : i + WINDOW]) / WINDOW for i in range(len(losses) - WINDOW + 1)]
    return {
        "loss_nothing": nothing,
        "loss_first": means[0],
        "loss_last": means[-1],
        "loss_worst": max(losses),
        "finite": all(map(math.isfinite, losses)),
        "recovered": means[-1] <= min(means[0], SPIKE * min(means)),
    }


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    fast_process()
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/rows.json"))
    options = parser.parse_args()
    result = json.loads(options.out.read_text()) if options.out.exists() else {"runs": []}
    result["description"] = __doc__
    done = {(r["data"], r["fields"], r["action"]) for r in result["runs"]}
    rows = [(row, action) for action in PLAN for row in (*TABLE2, "ff") if (row, action) != ("ff", "first_order")]
    for data, (row, action) in product(SETS, rows):
        if (data, row, action) in done:
            continue
        steps = PLAN[action][1]
        losses, inverted, nothing, seconds = losses_of(configuration(data, row, action), steps)
        run = {"data": data, "fields": row, "action": action, "steps": steps, **summary(losses, nothing)}
        run["inverted"] = inverted
        if action != "exp":
            del run["recovered"]  # Too few steps to tell a spike from a batch.
        result["runs"].append({**run, "seconds_per_step": seconds, "threads": torch.get_num_threads()})
        with replacing(options.out) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")
        print(
            f"{data:<10} {row:<20} {action:<12} loss {run['loss_first']:.3f} -> {run['loss_last']:.3f}  "
            f"{inverted} inside out  {seconds:.2f} s/step"
            f"{'' if run['finite'] and run.get('recovered', True) else '  NOT RECOVERED'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
