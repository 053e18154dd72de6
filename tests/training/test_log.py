"""The figures of a run as tables: one row per step, whatever is logged when, and however often a run is resumed."""

import csv
import math
import time
from pathlib import Path

import pytest
import torch
from support.runs import config
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import RecordWriter

from empnn.training import log, run
from empnn.training.log import Log, Losses
from empnn.training.report import Reporter


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / log.TABLE).open(newline="") as handle:
        return list(csv.DictReader(handle))


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and value of each scalar, by name, from the records of all files: length, checksum, content, checksum."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted((folder / log.EVENTS).glob("events*")):
        content, place = path.read_bytes(), 0
        while place < len(content):
            length = int.from_bytes(content[place : place + 8], "little")
            event = event_pb2.Event.FromString(content[place + 12 : place + 12 + length])
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
            place += 16 + length
    return found


def test_the_records_are_read_as_tensorboard_frames_them(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path / "a"))
    writer.write(b"abc")
    writer.close()
    assert len((tmp_path / "a").read_bytes()) == 8 + 4 + 3 + 4


def test_a_column_that_comes_later_is_empty_before(tmp_path: Path) -> None:
    table = Log(tmp_path, 0)
    table.write(50, {"train/loss": 0.5})
    table.write(100, {"train/loss": 0.25, "validation/score": 0.75})
    table.write(150, {"train/loss": 0.125})
    table.close()
    assert rows(tmp_path) == [
        {"step": "50", "loss": "0.5", "score": ""},
        {"step": "100", "loss": "0.25", "score": "0.75"},
        {"step": "150", "loss": "0.125", "score": ""},
    ]
    found = events(tmp_path)
    assert found == {"train/loss": [(50, 0.5), (100, 0.25), (150, 0.125)], "validation/score": [(100, 0.75)]}


def test_a_step_that_is_done_again_has_one_row(tmp_path: Path) -> None:
    for start, steps in ((0, (50, 100, 150)), (100, (150, 200))):
        table = Log(tmp_path, start)
        for step in steps:
            table.write(step, {"train/loss": float(step + start)})
        table.close()
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [
        ("50", "50.0"),
        ("100", "100.0"),
        ("150", "250.0"),
        ("200", "300.0"),
    ]


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path: Path) -> None:
    table = Log(tmp_path, 0)
    table.write(50, {"train/loss": 0.5, "train/learning_rate": 0.001})
    table.close()
    with (tmp_path / log.TABLE).open("a") as handle:
        handle.write("10")
    table = Log(tmp_path, 100)
    table.write(150, {"train/loss": 0.25})
    table.close()
    assert [row["step"] for row in rows(tmp_path)] == ["50", "150"]


def test_what_belongs_to_no_checkpoint_is_dropped(tmp_path: Path) -> None:
    """Of a run that was stopped before its first checkpoint, and begins again."""
    table = Log(tmp_path, 0)
    table.write(50, {"train/loss": 0.5})
    table.close()
    Log(tmp_path, 0).close()
    assert not (tmp_path / log.TABLE).exists()


def test_the_mean_is_that_of_the_steps_since_it_was_asked_for() -> None:
    losses = Losses(10)
    for value in (1.0, math.nan, 3.0, math.inf):
        losses.add(torch.tensor(value))
    time.sleep(0.01)
    mean, speed = losses.mean(14)
    assert mean == 2.0
    assert 0 < speed <= 400
    losses.add(torch.tensor(8.0))
    assert losses.mean(15)[0] == 8.0
    assert math.isnan(losses.mean(16)[0])


def test_the_log_of_a_run_holds_loss_and_metrics_of_its_steps(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "LOG_EVERY", 3)
    folder = run.train(config(data, tmp_path / "run"), Reporter(quiet=True))
    table = rows(folder)
    assert [int(row["step"]) for row in table] == [3, 4, 6, 8, 9, 12]
    assert all(float(row["loss"]) > 0 and float(row["gradient_norm"]) > 0 for row in table)
    assert [row["step"] for row in table if row["score"]] == ["4", "8", "12"]
    assert {"lengths_improvement", "lengths_removed", "noise_lengths", "learning_rate", "seconds"} <= set(table[0])
    assert float(table[-1]["crystals_per_second"]) > 0
    mean = (float(table[-1]["lengths_removed"]) + float(table[-1]["angles_removed"])) / 2
    assert float(table[-1]["score"]) == pytest.approx(mean)
    found = events(folder)
    assert [step for step, _ in found["train/loss"]] == [3, 4, 6, 8, 9, 12]
    assert [step for step, _ in found["validation/lengths_removed"]] == [4, 8, 12]
    assert found["train/loss"][0][1] == pytest.approx(float(table[0]["loss"]))
    assert not list(folder.rglob("hparams.yaml"))
