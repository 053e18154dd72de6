"""README says what the repository can show: its snippets run and its figures stand in the result files."""

import csv
import gzip
import json
import re
from pathlib import Path

import ase.io
import pytest
import typer
from support.scripts import script

import empnn
from benchmarks.energy import energy_report
from benchmarks.pages import filled
from benchmarks.quality import candidates_picture, denoising, symmetrized
from empnn.cli import app
from empnn.data.sets import load_split, locate_all
from empnn.evaluate import denoise
from empnn.fields import TABLE2
from empnn.models import card_of, packaged
from empnn.reproduce.plan import rows_of
from empnn.reproduce.tables import Table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SAMPLES = ROOT / "src/empnn/data/samples"
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)


def test_the_python_snippet_runs() -> None:
    snippets = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert snippets
    namespace = {"structures": ase.io.read(SAMPLES / "strained.extxyz", index=":")}
    for snippet in snippets:
        exec(snippet, namespace)  # noqa: S102
    assert len(namespace["result"].structures) == len(namespace["structures"])


def test_the_page_on_python_says_what_is_printed(capsys) -> None:
    """But for figures, which the next weights change."""
    page = (ROOT / "docs/python.md").read_text()
    snippets = "".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
    namespace: dict[str, object] = {}
    exec(snippets, namespace)  # noqa: S102
    said = re.findall(r"print\(.*\)  # (.*)", snippets)
    assert len(said) == 3
    without = re.compile(r"[-+]?\d[\d.,]*")
    assert [without.sub("#", line) for line in capsys.readouterr().out.splitlines()] == [
        without.sub("#", line) for line in said
    ]


def test_the_tutorial_adds_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    tutorial = (ROOT / "docs/adding-a-field.md").read_text()
    # The tutorial writes a new key into the table; the table is restored afterwards.
    monkeypatch.setattr("empnn.fields.TABLE2", dict(TABLE2))
    namespace: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", tutorial, flags=re.DOTALL):
        exec(snippet, namespace)  # noqa: S102
    field = re.search(r"class AcrossEdge.*?\n\n\n", tutorial, flags=re.DOTALL)
    assert field is not None
    assert len(field.group().strip().splitlines()) <= 20


def test_the_metrics_of_energies_are_computed_as_the_page_says(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for name, energies in {"noisy": [-1.0, -2.0], "denoised": [-1.4, None], "original": [-1.5, -2.2]}.items():
        structures = [{"energy_per_atom": energy} for energy in energies]
        Path(f"{name}.json").write_text(json.dumps({"structures": structures}))
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/energies.md").read_text(), flags=re.DOTALL)
    exec(snippet, {})  # noqa: S102
    assert "EnergyMetrics(n=1, energy=-0.3999" in capsys.readouterr().out


def test_the_figures_are_those_of_the_result_file() -> None:
    rows = json.loads((ROOT / "benchmarks/results/denoising.json").read_text())["rows"]
    assert denoising.markdown(rows) in (ROOT / "docs/accuracy.md").read_text()


def test_the_table_of_candidates_is_that_of_the_result_files() -> None:
    table = candidates_picture.markdown(candidates_picture.figures())
    assert filled(README, "candidates", table) == README


def test_the_table_of_accuracy_is_that_of_the_result_file() -> None:
    rows = json.loads((ROOT / "benchmarks/results/decorated.json").read_text())["rows"]
    page = (ROOT / "docs/accuracy.md").read_text()
    for row in rows.values():
        unseen = row["unseen"]
        line = (
            f"| {row['strain_median']:.4f} / {row['strain_mean']:.3f} | {row['volume_median']:.1f} % "
            f"| {row['positions_median']:.3f} / {row['positions_mean']:.3f} Å | {100 * row['strain_worse']:.0f} % "
            f"| {unseen['strain_median']:.4f} / {unseen['strain_mean']:.3f} |"
        )
        assert line in page


def test_the_first_screen_has_two_commands_and_the_table_all_of_them() -> None:
    assert re.findall(r"^make (\w+)", README, flags=re.MULTILINE) == ["demo", "test"]
    named = {name for line in re.findall(r"^\| `empnn .*", README, flags=re.MULTILINE) for name in line.split("`")}
    group = typer.main.get_command(app)
    for name in group.commands:
        assert any(words.startswith(f"empnn {name}") for words in named), name


def test_the_tables_of_energies_are_those_of_the_result_files() -> None:
    page = (ROOT / "docs/energies.md").read_text()
    for marker, (name, make) in energy_report.BLOCKS.items():
        table = make(energy_report.load(ROOT / "benchmarks/results", name))
        assert f"<!-- {marker} -->\n{table}\n<!-- /{marker} -->" in page


def test_the_table_of_symmetrised_answers_is_that_of_the_result_file() -> None:
    rows = json.loads((ROOT / "benchmarks/results/symmetrized.json").read_text())["rows"]
    page = (ROOT / "docs/conventions.md").read_text()
    assert filled(page, "symmetrized", symmetrized.table(rows)) == page


def test_the_tables_of_the_paper_are_those_of_the_result_files() -> None:
    page = (ROOT / "docs/reproduced.md").read_text()
    for name in ("table1", "table2", "table3"):
        found = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
        cells: dict[str, dict[str, dict[str, object]]] = {row: {} for row in rows_of(name)}
        for entry in found["rows"]:
            cells.setdefault(entry["row"], {})[entry["data"]] = entry
        about = {key: value for key, value in found.items() if key not in ("table", "better", "rows")}
        table = Table(name, about, {row: by_set for row, by_set in cells.items() if by_set})
        assert filled(page, name, table.markdown().strip()) == page


def test_every_picture_is_shown_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.ipynb")]
    text = "".join(page.read_text() for page in pages)
    assert [path.name for path in sorted((ROOT / "docs/images").iterdir()) if f"images/{path.name}" not in text] == []


def test_nothing_is_left_to_be_filled_in() -> None:
    """Empty tables, and words in capitals that stand for what was to come."""
    for document in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        text = document.read_text()
        assert re.findall(r"<!-- (\S+) -->\s*<!-- /\1 -->", text) == [], document.name
        assert re.findall(r"\. [A-Z]{6,}$", text, flags=re.MULTILINE) == [], document.name


def test_linked_files_exist() -> None:
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_mentioned_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for document in (README, (ROOT / "CONTRIBUTING.md").read_text()):
        assert set(re.findall(r"`?make ([a-z-]+)", document)) <= set(targets)


PROMISED = {"mp-20": (0.66, 0.69), "carbon-24": (0.74, 0.73), "perov-5": (0.85, 0.93)}


def test_the_cards_say_what_the_result_file_says() -> None:
    rows = json.loads((ROOT / "benchmarks/results/denoising.json").read_text())["rows"]
    for name in PROMISED:
        mine = [row for row in rows if row["model"] == name and "passes" not in row]
        assert mine
        said = [
            {"data": name.replace("-", "_"), "split": "val", "model": name, **row} for row in card_of(name)["metrics"]
        ]
        assert said == mine


@pytest.mark.parametrize("name", PROMISED)
def test_the_models_do_what_their_cards_promise(name: str) -> None:
    """Measured here, on crystals of the same set that the card does not count: a sample, and a seen one."""
    with gzip.open(ROOT / "src/empnn/data/sample_set/train.csv.gz", "rt") as table:
        chosen = [i for i, row in enumerate(csv.DictReader(table)) if row["set"] == name.replace("-", "_")]
    crystals = load_split(locate_all(None, "sample"), "train").stored.select(chosen)
    card = {row["sigma"]: row for row in card_of(name)["metrics"]}
    relaxer = empnn.load(name)
    strained, relaxed = (denoise(relaxer, crystals, sigma, seed=0).as_dict() for sigma in (0.1, 0.0))
    for key, promised in zip(("lengths_removed", "angles_removed"), PROMISED[name], strict=True):
        assert promised <= min(card[0.1][key], strained[key])
        assert strained[key] == pytest.approx(card[0.1][key], abs=0.06)
    for key, promised in (("lengths_mae", 0.05), ("angles_mae", 0.5)):
        assert max(card[0.0][key], relaxed[key]) <= promised


@pytest.mark.parametrize("name", PROMISED)
def test_packaged_models_have_complete_cards(name: str) -> None:
    assert name in packaged()
    card = empnn.load(name).card
    required = {"data", "licence", "command", "commit", "training_minutes", "elements", "metrics"}
    assert required <= set(card)
    assert {row["sigma"] for row in card["metrics"]} == {0.0, 0.02, 0.05, 0.1, 0.3}
    configs = re.findall(r"configs/\S+\.yaml", card["command"])
    assert configs
    assert all((ROOT / config).is_file() for config in configs)
    assert "partial" in card["data"] or name != "mp-20"


def test_the_table_of_arrays_is_up_to_date() -> None:
    made = script("scripts/array_table.py").page()
    assert (ROOT / "docs/arrays.md").read_text() == made, "run python scripts/array_table.py"


@pytest.mark.parametrize("page", ["cli.md", "models.md"])
def test_references_are_up_to_date(page: str) -> None:
    made = script("scripts/reference_pages.py").PAGES[page]()
    assert (ROOT / "docs" / page).read_text() == made, "run python scripts/reference_pages.py"
