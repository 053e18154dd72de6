"""Configuration: layers, shorthands, and errors that help."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from empnn.errors import ConfigError
from empnn.fields import TABLE2
from empnn.losses import LOSSES
from empnn.models import DEFAULT
from empnn.nn import build
from empnn.training.config import PRESETS, load_config, save_config
from empnn.training.options import Config


def test_later_layers_win(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train:\n  steps: 7\n  batch_size: 3\nmodel:\n  graph:\n    k: 5\n")
    config = load_config(file, ["train.steps=9", "noise.sigma=0.3", "model.weight_limit=0.01"])
    assert (config.train.steps, config.train.batch_size, config.model.graph.k) == (9, 3, 5)
    assert (config.noise.sigma, config.model.weight_limit) == (0.3, 0.01)


def test_shorthands() -> None:
    assert load_config(None, ["data=mp_20"]).data.name == "mp_20"
    assert load_config(None, ["data=my/crystals"]).data.path == "my/crystals"
    assert load_config(None, ["loss=param_mse"]).loss.name == "param_mse"
    assert load_config(None, ["lr=0.5"]).train.learning_rate == 0.5


def test_radii_of_single_elements() -> None:
    assert load_config(None, ["model.graph.radii.O=4.5", "model.graph.radii.H=2"]).model.graph.radii == {
        "O": 4.5,
        "H": 2,
    }


def test_shorthands_in_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("data: perov_5\nloss: param_mse\n")
    config = load_config(file)
    assert (config.data.name, config.loss.name) == ("perov_5", "param_mse")


def test_lists_of_data(tmp_path: Path) -> None:
    assert load_config(None, ["data.path=[a.cif,b.extxyz]"]).data.path == ["a.cif", "b.extxyz"]
    assert load_config(None, ["data=[a.cif,sample]"]).data.path == ["a.cif", "sample"]
    assert load_config(None, ["data=a.cif,b.extxyz"]).data.path == "a.cif,b.extxyz"
    assert load_config(None, ["data=sample"]).data.name == "sample"
    file = tmp_path / "mine.yaml"
    file.write_text("data: [a.cif, b.extxyz]\n")
    config = load_config(file)
    assert config.data.path == ["a.cif", "b.extxyz"]
    save_config(config, file)
    assert load_config(file) == config


@pytest.mark.parametrize("path", ["7", "[a.cif,7]", "{a: b}"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.path"):
        load_config(None, [f"data.path={path}"])


def test_paper_preset_follows_appendix_c() -> None:
    config = load_config("paper")
    assert (config.model.features, config.model.message_layers, config.model.action_layers) == (128, 6, 4)
    assert (config.model.action, config.model.graph.k) == ("first_order", 8)
    assert (config.train.steps, config.train.batch_size, config.train.gradient_clip) == (32_768, 256, 1.0)
    assert (config.noise.distribution, config.noise.sigma) == ("fixed", 0.1)


def test_each_cell_of_the_tables_is_one_command() -> None:
    """The network is that of the preset with the row's fields; appendix B.2 gives the deviations of the noise."""
    cells = [("paper", 0.1, f"model.fields={row}") for row in TABLE2] + [("paper", 0.1, "model.name=ff")]
    cells += [("paper-table1", 0.3, f"loss={loss}") for loss in LOSSES]
    for preset, sigma, change in cells:
        config = load_config(preset, ["data=carbon_24", change, "model.features=4", "model.message_layers=1"])
        assert (config.noise.sigma, config.train.validate_sigma) == (sigma, sigma)
        assert config.train.batch_size == 256
        network = build(config.model)
        name, value = change.split("=")
        if name == "model.fields":
            fields = network.layers[0].action.settings.fields
            assert fields == TABLE2[value]
        assert config.loss.name == (value if name == "loss" else "param_mae")


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("train.stepps=5", "train.steps"),
        ("stps=5", "train.steps"),
        ("model.graph.kk=5", "model.graph.k"),
        ("noise.sgima=0.1", "noise.sigma"),
        ("train.lerning_rate=1", "train.learning_rate"),
    ],
)
def test_unknown_key_names_the_nearest(override: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {nearest}"):
        load_config(None, [override])


def test_unknown_key_in_a_file_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model:\n  featurs: 7\n")
    with pytest.raises(ConfigError, match=r"unknown key model\.featurs; did you mean model\.features"):
        load_config(file)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.steps=many"], "^train.steps=many: must be a whole number$"),
        (["train.steps=[1]"], r"^train.steps=\[1\]: must be a whole number$"),
        (["train.steps=null"], "^train.steps=null: must be a whole number$"),
        (["train.decay=maybe"], "^train.decay=maybe: must be true or false$"),
        (["noise.mix.strain=x"], "^noise.mix.strain=x: must be a number$"),
        (["model.weight_limit=x"], "^model.weight_limit=x: must be a number$"),
        (["model.start_from=[a]"], r"^model.start_from=\['a'\]: must be a name$"),
        (["model.deform=cell"], r"^model.deform=cell: must be a list, as in \[cell,positions\]$"),
        (["model.deform={a: 1}"], r"^model.deform={'a': 1}: must be a list, as in \[cell,positions\]$"),
        (["model.deform=null"], r"^model.deform=null: must be a list"),
        (["model.deform=[[cell]]"], r"^model.deform=\[\['cell'\]\]: must be a list"),
        (["model.graph.radii=3"], "^model.graph.radii=3: must be a mapping, as in {O: 4.0}$"),
        (["data.path=${nowhere}"], "data.path: Interpolation key 'nowhere' not found"),
        (["train.steps=0"], "must be positive"),
        (["noise.sigma=-1"], "must not be negative"),
        (["data.dev_fraction=1.5"], "between 0 and 1"),
        (["loss=nonsense"], "param_mae, param_mse"),
        (["data.select_on=test"], "dev, val"),
        (["train.steps"], "expected key=value"),
        (["noise.mix={strain:0}"], "^noise.mix.strain:0: write strain: 0, with a blank after the colon$"),
        (["noise.mix={strain:0, symmetric: 1}"], "write strain: 0, with a blank after the colon$"),
        (
            ["noise={mix:{strain:0}}"],
            r"^noise={mix:{strain:0}}: the value cannot be read; write \[a,b\] or {a: 1, b: 2}$",
        ),
        (["train=5"], "train: expected a section with steps, batch_size"),
        (["noise.sigma=inf"], "finite"),
        (["train.learning_rate=nan"], "positive and finite"),
        (["train.seed=-1"], "must not be negative"),
        (["train.validate_sigma=0"], "must be positive"),
        (["train.validate_on=[strain,decorate]"], "must be some of strain, symmetric, decorated, cube"),
        (["model.graph.radius=-1"], "must be positive"),
        (["model.weight_limit=0"], "must be positive"),
    ],
)
def test_bad_values_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, overrides)


@pytest.mark.parametrize("content", ["- a\n- b\n", "train: 5\n", "train: [\n", ""])
def test_files_that_are_no_configuration(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    if content:
        with pytest.raises(ConfigError):
            load_config(file)
    else:
        assert load_config(file) == Config()


@pytest.mark.parametrize("name", ["Paper-Table1", "paper_table1", "PAPER TABLE1"])
def test_presets_are_found_in_any_spelling(name: str) -> None:
    assert load_config(name) == load_config("paper-table1") != load_config("paper")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("papr", "paper"), ("finetuning", "fine-tune"), ("mp-20", "data=mp_20"), ("samples", "data=sample")],
)
def test_what_is_no_preset_names_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {meant}\\?$"):
        load_config(name)


def test_a_file_wins_over_another_spelling_of_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Paper").write_text("train: {steps: 7}")
    assert load_config("Paper").train.steps == 7
    assert load_config("paper").train.steps == 32_768


def mix(*overrides: str) -> dict[str, float]:
    return {name: weight for name, weight in vars(load_config("fine-tune", overrides).noise.mix).items() if weight}


def test_fine_tuning_trains_on_what_there_is() -> None:
    assert mix("data=sample") == {"strain": 0.4, "symmetric": 0.4, "relaxed": 0.2}
    assert mix("data.pairs=a.csv") == {"pairs": 1.0, "relaxed": 0.2}
    assert mix("data.pairs=a.csv", "data=sample") == {"strain": 0.4, "symmetric": 0.4, "relaxed": 0.2, "pairs": 1.0}
    assert mix("data.pairs=a.csv", "noise.mix.symmetric=0.1") == {"symmetric": 0.1, "pairs": 1.0, "relaxed": 0.2}


def test_fine_tuning_takes_the_architecture_of_the_model_it_starts_from(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config("fine-tune", ["data=sample"])
    assert (config.model.start_from, config.model.deform) == (DEFAULT, ["cell", "positions"])
    config = load_config("fine-tune", ["data=sample", "model.start_from=mp_20"])
    assert (config.model.start_from, config.model.deform) == ("mp_20", ["cell"])
    monkeypatch.setitem(PRESETS, "other", {"model": {"start_from": "mp-20"}})
    assert load_config("other").model.start_from == "mp-20"
    # What follows from the model wins over a preset, what is given over both.
    assert load_config("paper", ["model.start_from=mp-20"]).model.graph.k == 16
    assert load_config("paper", ["model.start_from=mp-20", "model.graph.k=9"]).model.graph.k == 9


def test_missing_file_names_the_presets() -> None:
    with pytest.raises(ConfigError, match=", ".join(PRESETS)):
        load_config("nowhere.yaml")


def test_round_trip(tmp_path: Path) -> None:
    config = load_config("paper", ["data=mp_20", "model.weight_limit=0.01", "train.out=here"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


def test_committed_configurations_load() -> None:
    files = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
    assert files
    for file in files:
        data = load_config(file).data
        assert data.name is not None or data.path is not None
    schedule = load_config(files[0].with_name("carbon-24-paper.yaml"))
    settings = [
        "data=carbon_24",
        "model.radial.count=16",
        "train.validate_every=512",
        f"train.out={schedule.train.out}",
    ]
    assert schedule == load_config("paper", settings)


def test_every_section_is_a_dataclass_with_defaults() -> None:
    assert all(is_dataclass(getattr(Config(), f.name)) for f in fields(Config))


def test_a_saved_configuration_can_be_the_base_of_one_with_positions(tmp_path: Path) -> None:
    save_config(load_config(), tmp_path / "saved.yaml")
    config = load_config(tmp_path / "saved.yaml", ["model.deform=[cell,positions]"])
    assert config.noise.positions is None
    with pytest.raises(ConfigError, match="must be"):
        load_config(None, ["model.deform=[positions]"])
    with pytest.raises(ConfigError, match="must not be negative"):
        load_config(None, ["noise.positions=-1"])


@pytest.mark.parametrize("value", ["3", "null", "", "true", "[1,2]", "[ketbra,ketbra]", "nonsense"])
def test_fields_that_are_none_are_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.fields"):
        load_config(None, [f"model.fields={value}", "model.name=ff"])
