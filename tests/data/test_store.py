"""Files are parsed once; the cache is never trusted blindly and never needed."""

import csv
import subprocess
import sys
import time

import pytest
import torch
from support import cif_texts as cif

from empnn.data import reading
from empnn.data.store import load_file
from empnn.errors import ConfigError


def table(path, *texts):
    with path.open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["material_id", "cif"])
        rows.writerows((f"id{i}", text) for i, text in enumerate(texts))
    return path


@pytest.fixture
def data(tmp_path):
    return table(tmp_path / "train.csv", cif.P1, "nonsense", cif.BY_SYMBOL)


@pytest.fixture
def parsed(monkeypatch):
    """How often a file was parsed."""
    calls = []

    def counting(path):
        calls.append(path)
        return entries(path)

    entries = reading.entries
    monkeypatch.setattr(reading, "entries", counting)
    return calls


def same(first, second):
    tensors = ("cell", "frac", "numbers", "batch")
    return first.ids == second.ids and all(
        torch.equal(getattr(first.crystals, t), getattr(second.crystals, t)) for t in tensors
    )


def test_second_load_comes_from_the_cache(data, parsed):
    first, second = load_file(data), load_file(data)
    assert len(parsed) == 1
    assert same(first, second)
    assert first.ids == ("id0", "id2")
    assert first.refused == second.refused
    assert first.refused[0].startswith(f"{data}[1] (id1): not valid CIF")


def test_a_copy_is_named_as_itself(data, parsed, tmp_path):
    load_file(data)
    copy = data.rename(tmp_path / "copy.csv")
    assert load_file(copy).refused[0].startswith(f"{copy}[1]")
    assert len(parsed) == 1


def test_changed_file_and_other_suffix_are_parsed_again(data, parsed, tmp_path):
    load_file(data)
    assert len(load_file(table(data, cif.P1)).ids) == 1
    assert len(parsed) == 2
    with pytest.raises(ConfigError):
        load_file(data.rename(tmp_path / "train.cif"))


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda b: b[:-40], lambda b: b"", lambda b: b"no" + b[2:], lambda b: b[:-9] + b"\x07" + b[-8:]),
        lambda b: b.replace(b'"shape": [2, 3, 3]', b'"shape": [1, 3, 3]'),
    ],
)
def test_damaged_cache_is_rebuilt(data, parsed, cache, damage):
    first = load_file(data)
    assert len(first.crystals) == 2
    (cached,) = cache.iterdir()
    cached.write_bytes(damage(cached.read_bytes()))
    assert same(load_file(data), first)
    assert len(parsed) == 2
    assert same(load_file(data), first)
    assert len(parsed) == 2


def test_unwritable_cache_does_no_harm(data, parsed, cache):
    cache.write_text("a file where the folder should be")
    load_file(data)
    assert len(load_file(data).ids) == 2
    assert len(parsed) == 2


def test_nothing_usable(tmp_path):
    with pytest.raises(ConfigError, match=r"a\.csv\[0\] \(id0\): .*\(and 1 more\)"):
        load_file(table(tmp_path / "a.csv", "x", "y"))
    with pytest.raises(ConfigError, match="no such file"):
        load_file(tmp_path / "b.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="no such file"):
        load_file(tmp_path / "folder")


def test_overlaps_are_refused(tmp_path):
    onto_another = cif.P1.replace("0.99000000  0.01000000  0.00000000", "0.50000000  0.50000000  0.53000000")
    atoms = cif.P1.index("  Cs  Cs0")
    alone = cif.with_value(cif.P1[:atoms], "_chemical_formula_sum", "Cs1") + "  Cs  Cs0  1  0.0  0.0  0.0  1\n"
    onto_its_image = cif.with_value(alone, "_cell_length_a", "0.2")
    loaded = load_file(table(tmp_path / "a.csv", cif.P1, onto_another, onto_its_image, cif.BY_SYMBOL))
    assert loaded.ids == ("id0", "id3")
    first, second = loaded.refused
    assert "a.csv[1] (id1): atoms 0 and 1 overlap (0.096 angstrom apart)" in first
    assert "a.csv[2] (id2): atom 0 and its periodic image overlap (0.200 angstrom apart)" in second


LOADING = """
import sys, time
from pathlib import Path
from empnn.data.store import load_file
Path(sys.argv[2]).touch()
while not Path("go").exists():
    time.sleep(0.001)
for _ in range(5):
    loaded = load_file(sys.argv[1])
    print(len(loaded.ids), len(loaded.refused), float(loaded.crystals.frac.sum()))
    for cached in Path("cache").iterdir():
        if cached.suffix == ".safetensors" and not cached.name.startswith(".") and sys.argv[3] == "damage":
            Path("damaged").write_bytes(cached.read_bytes()[:-3])
            Path("damaged").replace(cached)
"""


def test_processes_that_start_together(tmp_path, monkeypatch):
    """One of them also puts a damaged cache in place again and again while the other reads it."""
    monkeypatch.chdir(tmp_path)
    texts = [cif.with_value(cif.P1, "_cell_length_a", str(4 + i / 1000)) for i in range(300)]
    path = table(tmp_path / "train.csv", *texts, "nonsense")
    running = [
        subprocess.Popen([sys.executable, "-c", LOADING, path, ready, what], stdout=subprocess.PIPE, text=True)
        for ready, what in (("first", "read"), ("second", "damage"))
    ]
    while not all((tmp_path / ready).exists() for ready in ("first", "second")):
        assert all(process.poll() is None for process in running)
        time.sleep(0.01)
    (tmp_path / "go").touch()
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    expected = load_file(path)
    line = f"300 1 {float(expected.crystals.frac.sum())}\n"
    assert outputs == [5 * line, 5 * line]
    assert len(list((tmp_path / "cache").iterdir())) == 1
