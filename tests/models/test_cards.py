"""Where the data of the default model are from can be looked up, and how long its training took is not made less."""

import gzip
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import ase.io
import pytest
from ase.build import bulk
from support.relaxing import run
from support.scripts import script

from empnn import models

ROOT = Path(__file__).parents[2]
PACKAGED = Path(models.__file__).parent / "pbe" / "data.json.gz"


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return json.loads(gzip.decompress(PACKAGED.read_bytes()))


def write_table(folder: Path, crystals: dict[str, float]) -> Path:
    """Rock salt with these lattice parameters, by identifier."""
    folder.mkdir()
    with gzip.open(folder / "train.csv.gz", "wt") as file:
        file.write("material_id,cif\n")
        for name, length in crystals.items():
            text = io.BytesIO()
            ase.io.write(text, bulk("NaCl", "rocksalt", a=length), format="cif")
            cif = text.getvalue().decode().replace('"', '""')
            file.write(f'{name},"{cif}"\n')
    return folder


def test_the_manifest_says_what_was_kept_and_dropped_and_from_where(tmp_path, monkeypatch, capsys) -> None:
    prepare = script("scripts/prepare_pbe.py")
    base = write_table(tmp_path / "base", {"mp-1": 5.6, "mp-2": 5.7, "mp-3": 12.0})
    factors = {"mpts52_val:1": 1.0, "elsewhere:2": 1.05, "mpts52_val:3": 1.5, "jlaw9_battery:4": 0.7}
    extra = write_table(tmp_path / "extra", {name: 5.7 * factor for name, factor in factors.items()})
    monkeypatch.setattr("sys.argv", ["prepare_pbe.py", str(base), str(extra), "-o", str(tmp_path / "made")])
    prepare.main()
    assert "5 crystals, 2 dropped" in capsys.readouterr().out
    made = json.loads((tmp_path / "made/manifest.json").read_text())
    assert made["ids"] == ["mp-1", "mp-2", "mp-3", "mpts52_val:1", "elsewhere:2"]
    assert made["dropped"] == ["mpts52_val:3", "jlaw9_battery:4"]
    assert [row["material_id"] for row in prepare.rows(tmp_path / "made/train.csv.gz")] == made["ids"]
    counts = {name: (source["kept"], source["dropped"]) for name, source in made["sources"].items()}
    assert counts == {"mp_20": (3, 0), "mpts52_val": (1, 1), "elsewhere": (1, 0), "jlaw9_battery": (0, 1)}
    assert {made["sources"]["elsewhere"][what] for what in ("what", "repository", "licence", "commit")} == {
        "not stated"
    }
    assert made["sources"]["jlaw9_battery"]["licence"] == "MIT"
    for name, folder in (("mp_20", base), ("pbe_extra", extra)):
        digest = hashlib.sha256((folder / "train.csv.gz").read_bytes()).hexdigest()
        assert made["sha256"][f"{name}/train.csv.gz"] == digest


def test_the_packaged_manifest_is_whole(manifest) -> None:
    prepare = script("scripts/prepare_pbe.py")
    assert prepare.sources(manifest["ids"], manifest["dropped"]) == manifest["sources"]
    assert set(manifest["sources"]) == set(prepare.SOURCES)
    assert (manifest["rule"], manifest["inputs"], manifest["drawn"]) == (prepare.RULE, prepare.INPUTS, prepare.DRAWN)
    assert all(str(limit) in manifest["rule"] for limit in prepare.USUAL)
    assert "not done" in manifest["drawn"]
    assert set(manifest["sha256"]) == {"mp_20/train.csv.gz", "pbe_extra/train.csv.gz"}
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in manifest["sha256"].values())
    given = {name: source["kept"] + source["dropped"] for name, source in manifest["sources"].items()}
    assert given.pop("mp_20") == 16_725
    assert (sum(given.values()), given["lemat_validity"], given["matcalc_mp_binary"]) == (15_621, 4_579, 1_444)
    assert len(set(manifest["ids"]) | set(manifest["dropped"])) == 16_725 + 15_621


def test_the_packaged_manifest_is_small_and_always_the_same_bytes(manifest) -> None:
    assert PACKAGED.stat().st_size < 1_000_000
    assert PACKAGED.read_bytes()[4:8] == bytes(4), "a time in the header"
    assert gzip.decompress(PACKAGED.read_bytes()) == (json.dumps(manifest) + "\n").encode()


def test_the_card_says_where_the_manifest_is_and_how_many_were_dropped(manifest, tmp_path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    told = script("scripts/package_model.py").of_manifest(tmp_path / "manifest.json", "pbe")
    card = models.card_of("pbe")
    assert {key: card[key] for key in told} == told
    printed = json.loads(run("models", "pbe").stdout)
    assert printed["manifest"] == {"file": "empnn/models/pbe/data.json.gz", "crystals": 32_213, "dropped": 133}
    assert PACKAGED.as_posix().endswith(printed["manifest"]["file"])
    page = script("scripts/reference_pages.py").card("pbe")
    assert "`empnn/models/pbe/data.json.gz`" in page
    assert "133 that were dropped" in page


@pytest.mark.parametrize("name", models.packaged())
def test_the_time_is_that_of_the_last_of_several_commands(name: str) -> None:
    card = models.card_of(name)
    words = script("scripts/reference_pages.py").trained_by(card)
    assert (", the last of them in " in words) == (card["command"].count("empnn train") > 1)
    assert words.startswith(f"`{card['command']}`")
    assert f" in {card['training_minutes']:g} minutes ({card['machine']})" in words
