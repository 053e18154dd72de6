"""A real cluster of two nodes on this machine: the answers of one process, whatever is killed in between."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import ase.io
import pytest
from support.deadly import DEADLY, Deadly, Full, Slow
from support.needed import needed
from support.relaxing import run, salt, tiny_model, told, triclinic

from empnn.bulk import spans
from empnn.bulk.pipeline import Conversion
from empnn.bulk.shards import manifests
from empnn.bulk.spans import Place

ray = needed("ray", of="cluster")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NAMES = [f"mp-{index}" for index in range(60)]
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with a core each, whose processes find the work of these tests."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]))
        patched.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        node = {"num_cpus": 1, "object_store_memory": 80 << 20}
        found = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        found.add_node(**node)
        yield found
        found.shutdown()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spans, "FILES", 2)
    Path("in").mkdir()
    ase.io.write("in/a.extxyz", [salt(name) for name in NAMES])
    ase.io.write("in/b.cif", triclinic())
    Path("in/c.cif").write_text("nothing of the kind")


@pytest.fixture
def process(cluster, monkeypatch):
    """Go through the folder of inputs by spans of five records; the identifiers that came out."""
    from empnn.bulk import on_ray

    monkeypatch.setattr(on_ray, "RECORDS", 5)

    def process(work, **options):
        place = Place(address=cluster.address, folder=Path("shards"), ending="extxyz")
        told = []
        on_ray.process([Path("in")], place, work, told.append, **options)
        return told

    return process


def whole(outcomes):
    """All that went in came out once, in order."""
    found = [(outcome.file, outcome.index) for outcome in outcomes]
    expected = [*(("in/a.extxyz", index) for index in range(len(NAMES))), ("in/b.cif", 0), ("in/c.cif", 0)]
    run("merge", "shards", "-o", "merged.extxyz", "-q")
    ids = [atoms.info["material_id"] for atoms in ase.io.read("merged.extxyz", ":")]
    return found == expected and ids == [*NAMES, "b"]


def interfering(ready, act):
    """Do something once something is the case, while the test goes on."""

    def wait():
        for _ in range(30_000):
            if ready():
                act()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_answers_statuses_and_status_of_one_machine(cluster, tmp_path_factory):
    model = str(tiny_model(tmp_path_factory.mktemp("model"), elements=[1, 8, 11, 16, 17, 29], strain_limit=9))
    one = run("relax", "in", "-o", "one.extxyz", "--model", model, "--json")
    several = run("relax", "in", "-o", "shards/", "--model", model, "--cluster", cluster.address, "--json")
    assert several.exit_code == one.exit_code == 1
    assert told(several.stderr)[:1] == told(one.stderr)[:1]
    assert told(several.stderr)[-1] == "61 relaxed, 1 skipped; wrote 61 to shards"
    first, second = (json.loads(result.stdout)["structures"] for result in (one, several))
    assert [(line["file"], line["index"], line["status"]) for line in first] == [
        (line["file"], line["index"], line["status"]) for line in second
    ]
    run("merge", "shards", "-o", "merged.extxyz")
    # All of a.extxyz is one span, in the batches in which one process works on it.
    lines = [Path(f"{name}.extxyz").read_text().splitlines()[: 4 * 60] for name in ("one", "merged")]
    without = [[line.partition(" empnn_space")[0] for line in each] for each in lines]
    assert without[0] == without[1]


def test_a_worker_that_is_killed_loses_nothing(process, tmp_path):
    (tmp_path / "at").mkdir()
    work = Slow(tmp_path / "at", 0.1)

    def kill():
        for file in (tmp_path / "at").iterdir():
            os.kill(int(file.name), signal.SIGKILL)

    thread = interfering(lambda: len(list(Path("shards/_manifest").glob("*.jsonl"))) > 1, kill)
    assert whole(process(work))
    thread.join()
    assert len(list((tmp_path / "at").iterdir())) > 2


def test_a_node_that_is_killed_loses_nothing(process, cluster, tmp_path):
    (tmp_path / "at").mkdir()
    node = cluster.add_node(num_cpus=2, object_store_memory=80 << 20)
    thread = interfering(
        lambda: len(list(Path("shards/_manifest").glob("*.jsonl"))) > 1,
        lambda: cluster.remove_node(node, allow_graceful=False),
    )
    assert whole(process(Slow(tmp_path / "at", 0.1)))
    thread.join()


def test_a_crystal_that_kills_its_process_is_refused(process):
    ase.io.write("in/a.extxyz", [salt(DEADLY if index == 33 else name) for index, name in enumerate(NAMES)])
    outcomes = process(Deadly())
    assert [outcome.index for outcome in outcomes if outcome.status == "refused"] == [33, 0]
    assert outcomes[33].message.startswith("the process that worked on it died (status -9); leave it out")
    assert len(outcomes) == 62


def test_a_disk_that_is_full_ends_it_in_a_line_and_resume_goes_on(process):
    with pytest.raises(OSError, match="cannot be written") as error:
        process(Full(500))
    assert error.value.strerror.endswith("once that is mended, the same command with `resume` goes on from here")
    assert whole(process(Conversion(), resume=True))


def test_a_driver_that_is_killed_is_resumed(process, cluster, tmp_path):
    (tmp_path / "at").mkdir()
    code = f"""
from pathlib import Path
from empnn.bulk import on_ray, spans
from empnn.bulk.spans import Place
from support.deadly import Slow
on_ray.RECORDS, spans.FILES = 5, 2
place = Place(address={cluster.address!r}, folder=Path("shards"), ending="extxyz")
on_ray.process([Path("in")], place, Slow(Path({str(tmp_path / "at")!r}), 0.1), print)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as driver:
        for _ in range(30_000):
            if len(list(Path("shards/_manifest").glob("*.jsonl"))) > 1:
                break
            assert driver.poll() is None
            time.sleep(0.02)
        driver.kill()
    done = len(list(Path("shards/_manifest").glob("*.jsonl")))
    assert 1 < done < 14
    outcomes = process(Slow(tmp_path / "at", 0.0), resume=True)
    assert whole(outcomes)
    assert len(manifests([Path("shards")])) == 14
