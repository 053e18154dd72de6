"""Which runs the paper's tables are made of."""

from pathlib import Path

import pytest

from empnn.errors import ConfigError
from empnn.fields import TABLE2 as FIELDS
from empnn.reproduce.paper import TABLE1, TABLE2, TABLE3
from empnn.reproduce.plan import FULL, SMALL, cells_of, rows_of
from empnn.reproduce.training import unique
from empnn.training.config import load_config
from empnn.training.options import Config


def test_rows_are_those_of_the_paper() -> None:
    assert rows_of("table2") == [*FIELDS, "ff", "dft"]
    assert rows_of("table1") == list(TABLE1)
    assert rows_of("table3") == list(TABLE3)
    # One of each table, read off the paper by hand.
    assert TABLE1["metric_mse"]["mp_20"] == (0.683, 2.645, 10.964, 18.5)
    assert TABLE2["gradsym-r-e-t-area"]["mp_20"] == (0.124, 1.160)
    assert TABLE2["dft"]["perov_5"] == (0.150, -1.446)


def test_rows_that_are_one_function_are_trained_once() -> None:
    cells = cells_of("table2", SMALL)
    assert len(cells) == 16 * 3
    assert len(unique(cells)) == 11 * 3
    by_row = {(cell.row, cell.data): cell.runs for cell in cells}
    assert by_row["grad-r-e-t", "mp_20"] == by_row["gradsym-r-e-t", "mp_20"]


def test_the_full_budget_is_the_papers_schedule_and_grid() -> None:
    runs = {table: unique(cells_of(table, FULL)) for table in ("table1", "table2", "table3")}
    # Ten fields of six settings, the baseline of three, in three sets; five losses; the baseline of Table 3.
    assert {table: len(some) for table, some in runs.items()} == {"table1": 90, "table2": 189, "table3": 6}
    for run in (runs["table1"][0], runs["table2"][0]):
        config = run.config(Path("storage"))
        assert (config.train.steps, config.train.batch_size, config.train.decay) == (32_768, 256, False)
        assert config.model == load_config("paper", [f"model.fields={config.model.fields}"]).model
    searched = [run.overrides[-2:] for run in cells_of("table2", FULL, sets=("mp_20",))[0].runs]
    limits = [(f"train.learning_rate={rate}", limit) for rate in ("1e-4", "3e-5", "1e-5") for limit in _LIMITS]
    assert searched == limits


_LIMITS = ("model.weight_limit=null", "model.weight_limit=0.01")


def test_the_small_budget_is_the_same_for_every_row() -> None:
    configs = {table: _configs(table) for table in ("table1", "table2", "table3")}
    for config in [config for some in configs.values() for config in some]:
        assert config.train.steps * config.train.batch_size == SMALL.fraction * 32_768 * 256
    noise = {table: {config.noise.sigma for config in configs[table]} for table in ("table1", "table2")}
    assert noise == {"table1": {0.3}, "table2": {0.1}}


def _configs(table: str) -> list[Config]:
    return [run.config(Path()) for run in unique(cells_of(table, SMALL, sets=("mp_20",)))]


def test_the_settings_of_the_public_code() -> None:
    run = unique(cells_of("table2", FULL, "pegnn", ("mp_20",)))[0].config(Path())
    assert (run.model.message_layers, run.model.action_layers, run.model.graph.k) == (8, 4, 16)
    assert run.model.radial.count == 100
    assert run.model.radial.width == pytest.approx(0.2236, abs=1e-4)
    # Its own fields are of triplets; Table 1 has those of edges by either preset.
    fields = {run.config(Path()).model.fields for run in unique(cells_of("table1", SMALL, "pegnn"))}
    assert fields == {"ketbra-e"}


def test_what_does_not_exist_is_refused() -> None:
    for arguments, match in (
        (("table2", SMALL, "ours"), "preset ours"),
        (("table2", SMALL, "paper", ("oqmd",)), "oqmd"),
        (("figure4", SMALL), "figure4"),
    ):
        with pytest.raises(ConfigError, match=match):
            cells_of(*arguments)
