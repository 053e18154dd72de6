"""Spans: the same whoever makes them, however often and in whatever order; a crystal that kills is refused."""

from pathlib import Path

import ase.io
import pytest
from support.deadly import DEADLY, Deadly
from support.relaxing import run, salt, triclinic

from empnn.bulk import spans
from empnn.bulk.pipeline import Conversion, run_of
from empnn.bulk.shards import Manifest, Shard, Span, manifests
from empnn.bulk.spans import SpanWorker, grouped, spans_of, unpacked
from empnn.data.reading import files_of, read
from empnn.errors import ConfigError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    ase.io.write("in/a.extxyz", [salt(f"mp-{index}") for index in range(23)])
    for name in "bcd":
        ase.io.write(f"in/{name}.cif", triclinic())
    Path("in/e.cif").write_text("nothing of the kind")
    ase.io.write("in/f.json", salt("mp-23"))
    ase.io.write("in/g.extxyz", [triclinic(f"mp-{index}") for index in range(24, 34)])
    monkeypatch.setattr(spans, "FILES", 3)


FILES = [Path("in", name) for name in ("a.extxyz", "b.cif", "c.cif", "d.cif", "e.cif", "f.json", "g.extxyz")]


def found(records=5, done=()):
    return [one for group in grouped(FILES) for one in spans_of(group, done, records)]


def place(span=None):
    return Shard(Path("shards"), "extxyz", span or Span(0, 1, 0, True))


@pytest.fixture
def worker():
    place().make_place()
    return SpanWorker(Conversion(), run_of(FILES, Conversion()), Path("shards"), "extxyz")


def test_files_are_put_together_up_to_a_number_and_a_size(monkeypatch):
    assert [len(group.files) for group in grouped(FILES)] == [3, 3, 1]
    assert [file for group in grouped(FILES) for file in group.files] == FILES
    sizes = [file.stat().st_size for file in FILES]
    monkeypatch.setattr(spans, "BYTES", sum(sizes[1:3]))
    assert [len(group.files) for group in grouped(FILES)][:2] == [1, 2]


def test_spans_hold_every_record_once_in_order_as_it_is_read():
    records = [record for _, content, _ in found() for record in unpacked(content)]
    expected = list(read(*FILES))
    assert [(r.file, r.index, r.id, r.name, r.error) for r in records] == [
        (r.file, r.index, r.id, r.name, r.error) for r in expected
    ]
    assert all(one.atoms == other.atoms for one, other in zip(records, expected, strict=True))
    assert [(span.files, span.number, span.last) for span, _, _ in found(10)] == [
        *((0, 0, False), (0, 1, False), (0, 2, True), (1, 0, True), (2, 0, True))
    ]
    assert sum(part for _, _, part in found()) == pytest.approx(3)


def test_what_is_done_is_left_out_and_the_rest_stays_as_it_was():
    whole = {span: content for span, content, _ in found() if span.files == 0}
    left = {span: content for span, content, _ in spans_of(grouped(FILES)[0], {0, 2}, 5)}
    assert left == {span: content for span, content in whole.items() if span.number not in (0, 2)}


def test_large_contents_end_a_span(monkeypatch):
    monkeypatch.setattr(spans, "CONTENT", 300)
    assert max(len(list(unpacked(content))) for _, content, _ in found(1000)) < 5


def test_whatever_the_order_and_however_often_the_output_is_that_of_one_process(worker):
    run("convert", "in", "one.extxyz")
    for span, content, _ in [*reversed(found()), *found()[:3]]:
        assert worker(span, content) == len(list(unpacked(content)))
    merged = run("merge", "shards", "-o", "merged.extxyz")
    assert merged.exit_code == 1
    assert merged.stderr.startswith("in/e.cif[0]: not valid CIF")
    assert Path("merged.extxyz").read_bytes() == Path("one.extxyz").read_bytes()
    assert {file.suffix for file in files_of("shards")} == {".extxyz"}


@pytest.mark.parametrize("lost", [("00000", "00001"), ("00000", "00004"), ("00001", "00000")])
def test_a_span_that_is_lost_is_missed(worker, lost):
    for span, content, _ in found():
        worker(span, content)
    Path("shards/_manifest", "span-{}-{}.jsonl".format(*lost)).unlink()
    with pytest.raises(ConfigError, match=f"shards: some of span-{lost[0]} missing"):
        manifests([Path("shards")])


def test_a_crystal_that_kills_is_refused_and_the_others_are_not(worker):
    ase.io.write("in/g.extxyz", [salt(DEADLY if index == 5 else f"mp-{index}") for index in range(9)])
    ((span, content, _),) = spans_of(grouped(FILES)[2], (), 100)
    deadly = SpanWorker(Deadly(), run_of(FILES, Deadly()), Path("shards"), "extxyz")
    marks = Path("shards/_manifest", f"{span.name}.tries")
    marks.write_text("..")
    assert deadly(span, content) == 9
    assert not marks.exists()
    notes = [entry["note"] for entry in Manifest(place(span).manifest).entries()]
    assert [note["status"] for note in notes] == ["converted"] * 5 + ["refused"] + ["converted"] * 3
    died = "the process that worked on it died (status -9); leave it out, or give more memory"
    assert notes[5]["message"] == died
    ids = [atoms.info["material_id"] for atoms in ase.io.read("shards/span-00002-00000.extxyz", ":")]
    assert ids == [f"mp-{index}" for index in (0, 1, 2, 3, 4, 6, 7, 8)]


def test_what_fails_leaves_its_mark(worker, monkeypatch):
    span, content, _ = found()[0]

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Shard, "write_manifest", full)
        with pytest.raises(OSError, match="No space left"):
            worker(span, content)
    assert Path("shards/_manifest", f"{span.name}.tries").read_text() == "."
    worker(span, content)
    assert not list(Path("shards/_manifest").glob("*.tries"))
