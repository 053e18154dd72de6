"""Usable crystals of files: what is kept of each, what is read again, and how little is in memory."""

import gc
import io
import sys
import tracemalloc
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from support.relaxing import salt, triclinic

from empnn.crystals import CrystalBatch, from_atoms
from empnn.data.curation import usable
from empnn.data.curation.composition import composition_groups, compositions
from empnn.data.curation.fingerprints import fingerprint_groups
from empnn.data.curation.statistics import statistics
from empnn.data.curation.usable import Source, collect
from empnn.data.reading import read
from empnn.data.writing import writer
from empnn.errors import ConfigError


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three files, one of a single crystal; the second crystal of the first is flat."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(usable, "_CHUNK", 2)
    flat = salt("flat")
    flat.cell[2] = flat.cell[1]
    given = [salt("a"), flat, triclinic("b"), salt("c"), triclinic("d")]
    for number, atoms in enumerate(given):
        atoms.info["gap"] = number / 4
    writer(tmp_path / "one.extxyz")(given)
    writer(tmp_path / "two.cif")(given[2:4])
    del given[4].info["material_id"]
    writer(tmp_path / "three.vasp")([given[4]])
    return [tmp_path / name for name in ("one.extxyz", "two.cif", "three.vasp", "one.extxyz")]


def test_crystals_come_again_with_all_that_the_files_say(files):
    found = collect(files)
    whole = [record for record in read(*files) if record.index != 1 or record.file.endswith("cif")]
    assert len(found) == len(whole) == 11
    together = CrystalBatch.cat([from_atoms(record.atoms) for record in whole])
    for name in ("cell", "frac", "numbers", "batch"):
        assert np.array_equal(getattr(found.crystals.select(range(11)), name), getattr(together, name))
    assert [found.source(place) for place in range(11)] == [Source(r.file, r.index, r.id) for r in whole]
    assert list(found.atoms(range(11))) == [record.atoms for record in whole]
    for chosen in ([0], [2, 5, 6], [4, 10], []):
        again = list(found.atoms(chosen))
        assert again == [whole[place].atoms for place in chosen]
        assert [a.info.get("gap") for a in again] == [whole[place].atoms.info.get("gap") for place in chosen]
        assert [a.info["material_id"] for a in again] == [whole[place].id for place in chosen]
    assert [line.partition(": ")[0] for line in found.refused] == [f"{files[0]}[1] (flat)"] * 2


@pytest.mark.parametrize("change", ["gone", "shorter", "broken"])
def test_a_file_that_changes_meanwhile_is_told(files, change):
    found = collect(files[:1])
    text = files[0].read_text()
    files[0].write_text(
        {"gone": "", "shorter": "\n".join(text.split("\n")[:5]), "broken": text.replace("Na", "Qq")}[change]
    )
    with pytest.raises(ConfigError, match="has changed since it was read; begin again"):
        list(found.atoms([2]))


def test_what_comes_from_a_stream_is_there_again(files, monkeypatch):
    content = files[0].read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    found = collect([type(files[0])("-"), files[1]])
    assert [atoms.info["material_id"] for atoms in found.atoms([0, 2, 5])] == ["a", "c", "c"]


def test_little_of_each_is_in_memory(tmp_path, monkeypatch):
    """What is kept for good, and the peak, of a set that is three times as large."""
    monkeypatch.setattr(usable, "_CHUNK", 100)
    kept, peaks = [], []
    for count in (1000, 3000):
        path = tmp_path / f"{count}.extxyz"
        ase.io.write(path, [salt(f"s{number:07d}") for number in range(count)])
        tracemalloc.start()
        found = collect([path])
        peaks.append(tracemalloc.get_traced_memory()[1])
        # What is only waiting to be collected is not kept.
        gc.collect()
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(found) == count
    assert (kept[1] - kept[0]) / 2000 < 100
    assert (peaks[1] - peaks[0]) / 2000 < 200


def test_groups_are_those_of_plain_dictionaries(files):
    crystals = collect(files).crystals
    keys = {}
    assert composition_groups(crystals).tolist() == [keys.setdefault(key, len(keys)) for key in compositions(crystals)]
    assert fingerprint_groups(crystals).tolist() == fingerprint_groups(crystals.select(range(11))).tolist()
    assert composition_groups(crystals.select([])).tolist() == []


def test_sets_are_counted_together(files, monkeypatch, tmp_path):
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    together = statistics([files[0], files[1]])
    writer(tmp_path / "all.extxyz")([r.atoms for r in read(*files[:2]) if r.atoms is not None])
    alone = statistics([tmp_path / "all.extxyz"]).as_dict()
    differs = ("sources", "refusals", "lattice", "volume_per_atom")
    assert {k: v for k, v in together.as_dict().items() if k not in differs} == {
        k: v for k, v in alone.items() if k not in differs
    }
    assert together.repeated_ids == 2
    assert np.allclose(together.parameters, [a.cell.cellpar() for a in collect(files[:2]).atoms(range(6))])
