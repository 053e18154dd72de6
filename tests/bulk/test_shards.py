"""Shards and what is merged of them: the same as one process writes, or refused in one line."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
from support.relaxing import SLOWLY, run, salt, tiny_model, told, triclinic

from empnn.bulk.identifiers import Identifiers
from empnn.bulk.shards import MANIFESTS
from empnn.data.reading import read
from empnn.files import replacing


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("model"), elements=[1, 8, 11, 16, 17, 29], strain_limit=9))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("empnn.bulk.resumable.RECORDS", 4)


@pytest.fixture
def inputs():
    """Files of one crystal and of several, with an identifier that is repeated, two refusals and a broken file."""
    overlapping = salt("overlapping")
    overlapping.positions[0] = overlapping.positions[1]
    frames = [salt(f"mp-{index}") if index % 2 else triclinic(f"mp-{index}") for index in range(9)]
    ase.io.write("a.extxyz", [*frames, overlapping])
    ase.io.write("b.cif", triclinic())
    Path("c.cif").write_text("nothing of the kind")
    ase.io.write("d.traj", [salt("mp-3"), triclinic("mp-10")])
    return ["a.extxyz", "b.cif", "c.cif", "d.traj"]


@pytest.fixture
def relax(model):
    return lambda *arguments: run("relax", "--model", model, *arguments)


def shards(command, count, *arguments):
    return [command(*arguments, "--shard", f"{number}/{count}") for number in range(count)]


def converting(*arguments):
    return run("convert", ".", *arguments)


@pytest.mark.parametrize("ending", ["extxyz", "extxyz.gz", "parquet", "csv", "feather"])
@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.usefixtures("inputs")
def test_merged_shards_are_what_one_process_writes(ending, count, tmp_path):
    out = tmp_path.parent / f"{tmp_path.name}-out"
    out.mkdir()
    one = converting(f"{out}/one.{ending}", "--json")
    shards(converting, count, f"{out}/shards/", "--format", ending)
    merged = run("merge", f"{out}/shards", "-o", f"{out}/merged.{ending}", "--json")
    assert (merged.exit_code, merged.stdout) == (one.exit_code, one.stdout)
    assert told(merged.stderr)[:-1] == told(one.stderr)[:-1]
    first, second = ((out / f"{name}.{ending}").read_bytes() for name in ("one", "merged"))
    if ending.endswith(".gz"):
        first, second = map(gzip.decompress, (first, second))
    assert first == second


def test_relaxed_crystals_are_the_same_up_to_the_rounding_of_another_batch(relax, inputs):
    one = relax(*inputs, "-o", "one.parquet", "--json")
    each = shards(relax, 3, *inputs, "-o", "shards/", "--format", "parquet")
    assert [result.exit_code for result in each] == [1, 0, 1]
    merged = run("merge", "shards", "-o", "merged.parquet", "--json", "--report", "report.html")
    assert merged.exit_code == one.exit_code == 1
    assert told(merged.stderr)[:2] == told(one.stderr)[:2]
    lines = [json.loads(result.stdout)["structures"] for result in (one, merged)]
    for name in ("file", "index", "id", "status", "message", "warnings"):
        assert [line[name] for line in lines[0]] == [line[name] for line in lines[1]]
    crystals = [[record.atoms for record in read(f"{name}.parquet")] for name in ("one", "merged")]
    assert len(crystals[0]) == 12
    for first, second in zip(*crystals, strict=True):
        assert np.abs(first.cell.array - second.cell.array).max() < 1e-4
        assert first.info.keys() == second.info.keys()
    assert "b.cif" in Path("report.html").read_text()


def test_a_folder_of_files_is_merged_under_the_same_names(relax, inputs):
    relax(*inputs, "-o", "one/", "--format", "cif")
    shards(relax, 2, *inputs, "-o", "shards/")
    merged = run("merge", "shards", "-o", "merged/", "--format", "cif")
    assert told(merged.stderr)[-1].endswith("wrote 12 files to merged")
    found = [sorted(path.relative_to(name) for path in Path(name).rglob("*.cif")) for name in ("one", "merged")]
    assert len(found[0]) == 12
    assert found[0] == found[1]


def test_failed_crystals_are_kept_and_merged(relax, inputs):
    relax(*inputs, "-o", "one.extxyz", "--keep-failed")
    shards(relax, 2, *inputs, "-o", "shards/", "--keep-failed")
    run("merge", "shards", "-o", "merged.extxyz")
    statuses = [[a.info["empnn_status"] for a in ase.io.read(f"{n}.extxyz", ":")] for n in ("one", "merged")]
    assert statuses[0] == statuses[1]
    assert statuses[0].count("refused") == 1


def test_identifiers_that_are_repeated_are_told_at_the_end(relax, inputs):
    shards(relax, 4, *inputs, "-o", "shards/")
    merged = run("merge", "shards", "-o", "merged.extxyz")
    one = relax(*inputs, "-o", "one.extxyz")
    for result in (one, merged):
        assert "identifiers that occur more than once: mp-3" in result.stderr.splitlines()


def test_identifiers_in_any_order():
    names = [f"mp-{index % 700}" for index in range(1000)]
    found = set()
    for order in (names, names[::-1]):
        with Identifiers() as identifiers:
            for name in [*order, None, None]:
                identifiers.add(name)
            count, few = identifiers.repeated()
        found.add((count, *few))
    assert found == {(300, "mp-0", "mp-1", "mp-10", "mp-100", "mp-101")}


def missing():
    Path("shards/_manifest/00001-of-00003.jsonl").unlink()
    return "shards: --shard 1/3 missing; make it, or name its folder too"


def double():
    shutil.copytree("shards", "again")
    return (
        "shards/_manifest/00000-of-00003.jsonl and again/_manifest/00000-of-00003.jsonl are the same shard; "
        "leave one out"
    )


def of_another_number():
    run("convert", "a.extxyz", "again/", "--shard", "0/2")
    return (
        "again/_manifest/00000-of-00002.jsonl was made from other inputs, or with other options or weights, "
        "than shards/_manifest/00000-of-00003.jsonl; merge the shards of one run"
    )


def of_another_work():
    run("relax", "a.extxyz", "-o", "again/", "--shard", "0/3")
    return (
        "again/_manifest/00000-of-00003.jsonl was made from other inputs, or with other options or weights, "
        "than shards/_manifest/00000-of-00003.jsonl; merge the shards of one run"
    )


def cut_short():
    path = Path("shards/_manifest/00001-of-00003.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    return "shards/_manifest/00001-of-00003.jsonl has fewer records than"


def lines_that_were_swapped():
    path = Path("shards/_manifest/00001-of-00003.jsonl")
    header, first, second, *others = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, second, first, *others]))
    return "a.extxyz[4] is not what follows in the inputs; the shards were damaged: make them again"


def crystals_that_are_gone():
    path = Path("shards/00002-of-00003.extxyz")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    return (
        "shards/00002-of-00003.extxyz lacks structures that shards/_manifest/00002-of-00003.jsonl names; make it again"
    )


def a_file_that_is_gone():
    Path("shards/00002-of-00003.extxyz").unlink()
    return (
        "shards/00002-of-00003.extxyz lacks structures that shards/_manifest/00002-of-00003.jsonl names; make it again"
    )


def no_manifest():
    Path("shards/_manifest/00000-of-00003.jsonl").write_text("[]\n")
    return "shards/_manifest/00000-of-00003.jsonl: it is no manifest of a shard; remove it, or make the shard again"


def nothing():
    shutil.rmtree("shards")
    Path("shards").mkdir()
    return "shards: there is no complete shard here; name a folder that --shard has written to"


@pytest.mark.parametrize(
    "damage",
    [
        *(missing, double, of_another_number, of_another_work, cut_short, lines_that_were_swapped),
        *(crystals_that_are_gone, a_file_that_is_gone, no_manifest, nothing),
    ],
)
@pytest.mark.usefixtures("inputs")
def test_what_is_not_whole_is_refused_in_a_line(damage):
    shards(lambda *arguments: run("convert", "a.extxyz", *arguments), 3, "shards/")
    Path("out.extxyz").write_text("old")
    expected = damage()
    folders = [name for name in ("shards", "again") if Path(name).exists()]
    result = run("merge", *folders, "-o", "out.extxyz")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"empnn: {expected}")
    assert Path("out.extxyz").read_text() == "old"


@pytest.mark.usefixtures("inputs")
def test_inputs_may_have_been_copied_to_another_machine():
    run("convert", "a.extxyz", "shards/", "--shard", "0/2")
    os.utime("a.extxyz", (1, 1))
    run("convert", "a.extxyz", "shards/", "--shard", "1/2")
    assert run("merge", "shards", "-o", "out.extxyz", "-q").exit_code == 0
    Path("a.extxyz").write_text(Path("a.extxyz").read_text() + "\n")
    run("convert", "a.extxyz", "shards/", "--shard", "1/2")
    assert "made from other inputs" in run("merge", "shards", "-o", "out.extxyz", "-q").stderr


@pytest.mark.parametrize("given", ["4/4", "1", "-1/4", "a/b", "1/0", "²/4"])
@pytest.mark.usefixtures("inputs")
def test_what_is_no_shard(given):
    result = run("convert", "a.extxyz", "shards/", "--shard", given)
    assert result.stderr == f"empnn: --shard {given}: give I/N with 0 <= I < N, as in 0/4\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.extxyz", "out.extxyz"], "out.extxyz: with --shard this is a folder for all shards; end its name with /"),
        (["a.extxyz", "-"], "-: with --shard this is a folder for all shards; end its name with /"),
        (["a.extxyz", "b.cif/"], "b.cif: it is a file; name a folder"),
        (["-", "out/"], "--shard: what comes from a stream cannot be shared among processes; use files"),
        (["a.extxyz", "out/", "--format", "cif"], "--format cif: shards are extxyz, parquet, feather or csv"),
        (["a.extxyz", "no/out/"], "no/out: the folder no does not exist; create it"),
        ([".", "out/"], "out is in the input folder ., and would be read with it; choose another"),
    ],
)
@pytest.mark.usefixtures("inputs")
def test_where_no_shard_can_be_written(arguments, said):
    result = run("convert", *arguments, "--shard", "0/2")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"empnn: {said}")
    assert not Path("out").exists()


def test_a_complete_shard_is_left_alone_by_resume_and_made_again_without(relax, inputs):
    command = (*inputs, "-o", "shards/", "--shard", "2/3")
    first = relax(*command)
    file = Path("shards/00002-of-00003.extxyz")
    written = file.stat()
    again = relax(*command, "--resume")
    assert "; 4 had been done before; wrote 3 to shards/00002-of-00003.extxyz" in again.stderr
    assert again.exit_code == first.exit_code == 1
    assert told(again.stderr)[0] == told(first.stderr)[0]
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    other = relax(*command, "--resume", "--passes", "3")
    assert "it was begun with other inputs, options or weights" in other.stderr
    relax(*command, "--passes", "3")
    assert file.stat().st_mtime_ns != written.st_mtime_ns


def test_a_manifest_that_a_process_had_begun_before_it_was_killed_counts_for_nothing(relax, inputs):
    shards(relax, 2, *inputs, "-o", "shards/")
    whole = run("merge", "shards", "-o", "out.extxyz", "--json")
    manifest = Path("shards", MANIFESTS, "00000-of-00002.jsonl")
    with contextlib.suppress(KeyboardInterrupt), replacing(manifest) as temporary:
        begun = temporary.name
        raise KeyboardInterrupt
    manifest.with_name(begun).write_bytes(manifest.read_bytes()[:99])
    again = run("merge", "shards", "-o", "out.extxyz", "--json")
    assert (again.exit_code, again.stdout) == (whole.exit_code, whole.stdout)


def test_a_shard_that_is_killed_is_no_shard_and_resumed_loses_nothing(model, relax):
    ase.io.write("in.extxyz", [salt(f"mp-{index}") for index in range(600)])
    command = ["relax", "in.extxyz", "-o", "shards/", "--model", model, "--shard", "1/2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *command], stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        for _ in range(1200):
            if len(list(Path("shards").glob(".*.parts/*.jsonl"))) > 1:
                break
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    relax("in.extxyz", "-o", "shards/", "--shard", "0/2")
    assert "--shard 1/2 missing" in run("merge", "shards", "-o", "out.extxyz").stderr
    resumed = relax("in.extxyz", "-o", "shards/", "--shard", "1/2", "--resume")
    assert " had been done before" in resumed.stderr
    assert run("merge", "shards", "-o", "out.extxyz", "-q").exit_code == 0
    assert [atoms.info["material_id"] for atoms in ase.io.read("out.extxyz", ":")] == [f"mp-{i}" for i in range(600)]
    assert sorted(path.name for path in Path("shards").iterdir()) == [
        "00000-of-00002.extxyz",
        "00001-of-00002.extxyz",
        MANIFESTS,
    ]


@pytest.mark.usefixtures("inputs")
def test_a_folder_of_shards_is_a_data_set_to_others():
    """What reads a folder of parquet passes over what begins with an underscore or a dot."""
    import pyarrow.dataset

    shards(lambda *arguments: run("convert", "a.extxyz", *arguments), 3, "shards/", "--format", "parquet")
    assert pyarrow.dataset.dataset("shards", format="parquet").count_rows() == 10
    assert {record.file for record in read("shards")} == {
        f"shards/0000{number}-of-00003.parquet" for number in range(3)
    }


def test_energies_by_shards():
    oracle = ("--oracle", "ase.calculators.emt:EMT", "--store", "store")
    ase.io.write("in.extxyz", [ase.build.bulk("Cu", a=a) for a in (3.5, 3.6, 3.7)] + [salt()])
    one = run("energy", "in.extxyz", *oracle, "-o", "one.extxyz", "--json")
    each = shards(lambda *arguments: run("energy", "in.extxyz", *oracle, *arguments), 2, "-o", "shards/")
    assert [result.exit_code for result in each] == [0, 1]
    merged = run("merge", "shards", "-o", "merged.extxyz", "--json")
    assert merged.exit_code == one.exit_code == 1
    first, second = (json.loads(result.stdout)["structures"] for result in (one, merged))
    varies = {"stored": True, "seconds": 0.0}
    statuses = {"computed": "cached"}
    assert [{**line, **varies, "status": statuses.get(line["status"], line["status"])} for line in first] == [
        {**line, **varies} for line in second
    ]
    energies = [[atoms.get_potential_energy() for atoms in ase.io.read(f"{n}.extxyz", ":")] for n in ("one", "merged")]
    assert energies[0] == energies[1]


def test_scores_by_shards(model):
    ase.io.write("in.extxyz", [salt() if index % 3 else triclinic() for index in range(20)])
    command = ("evaluate", "--data", "in.extxyz", "--model", model, "--seed", "3")
    one = json.loads(run(*command, "--json").stdout)
    for number in range(3):
        run(*command, "--shard", f"{number}/3", "--out", "scores")
    merged = json.loads(run("merge", "scores", "-o", "score.json", "--json").stdout)
    assert merged == json.loads(Path("score.json").read_text())
    assert merged.keys() == one.keys()
    for name in set(one) - {"seconds", "seconds_per_crystal", "relaxer"}:
        assert merged[name] == pytest.approx(one[name], rel=1e-6), name
    Path("scores/00001-of-00003.json").unlink()
    assert "scores: --shard 1/3 missing" in run("merge", "scores", "-o", "score.json").stderr
    run(*command, "--shard", "1/3", "--out", "scores", "--noise", "0.2")
    assert "or with other options" in run("merge", "scores", "-o", "score.json").stderr
    assert "only 20 structures" in run(*command, "--shard", "21/30", "--out", "scores").stderr
