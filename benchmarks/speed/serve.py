"""How long `empnn serve` takes to answer: one crystal when warm, 200 requests at a time, 1,000 structures in one.

Asks a server in a process of its own.
Usage: python -m benchmarks.speed.serve [--repeats 30]   (EMPNN_DATA names the data folder)
"""

import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.pages import fill
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, to_atoms
from empnn.data.sets import load_split, locate
from empnn.data.writing import text_of
from empnn.files import replacing

SERVE = "from empnn.cli import main; main()"
ATOMS, AT_A_TIME, MANY = 20, 200, 1000


@contextmanager
def server() -> Iterator[int]:
    """A server in another process: the port at which it answers."""
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        try:
            line = process.stderr.readline()
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield int(line.split(" (")[0].rpartition(":")[2])
        finally:
            process.terminate()


def timed(port: int, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Seconds until the whole answer is here, and the answer."""
    content = json.dumps(body)
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", "/api/relax", content, {"Content-Type": "application/json"})
    response = connection.getresponse()
    found = response.read()
    seconds = time.perf_counter() - started
    connection.close()
    return seconds, json.loads(found) | {"http": response.status}


def asked(text: str, **options: Any) -> dict[str, Any]:
    """A request for the structures in extxyz."""
    return {"files": [{"name": "given.extxyz", "text": text}], **options}


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Median, nine tenths and most of some times, in milliseconds."""
    tenths = statistics.quantiles(seconds, n=10)
    return {"median_ms": 1e3 * tenths[4], "nine_of_ten_ms": 1e3 * tenths[8], "most_ms": 1e3 * max(seconds)}


def texts(crystals: CrystalBatch) -> list[str]:
    """Each crystal, strained, in extxyz."""
    return [text_of([atoms], "extxyz") for atoms in to_atoms(with_fixed_noise(crystals, 0.1, 0))]


def markdown(result: dict[str, Any]) -> str:
    """The table of docs/serve.md."""
    rows = {
        "one crystal of 20 atoms": "20_atoms",
        "the same, with space groups": "20_atoms_with_space_groups",
        "the same, with all that the page shows": "20_atoms_for_the_page",
        "200 requests at a time, one crystal each": "200_at_a_time",
    }
    lines = ["| | median | nine of ten | most |", "|---|---|---|---|"]
    for what, key in rows.items():
        figures = [f"{result[key][name]:,.0f} ms" for name in ("median_ms", "nine_of_ten_ms", "most_ms")]
        lines.append(f"| {what} | {' | '.join(figures)} |")
    whole = result["1000_in_one"]
    lines.append(f"| 1,000 structures in one request | {1e3 * whole['seconds']:,.0f} ms | | |")
    lines.append(f"| the same, with all that the page shows | {1e3 * whole['for_the_page_seconds']:,.0f} ms | | |")
    return "\n".join(lines)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--page", type=Path, help="Also fill the table of this page: docs/serve.md.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serve.json"))
    options = parser.parse_args()
    crystals = load_split(locate(None, "mp_20"), "val").crystals
    twenty = texts(
        crystals.select([int(i) for i in torch.nonzero(crystals.sizes == ATOMS).squeeze(-1)[: options.repeats]])
    )
    many = texts(crystals.select(range(MANY)))
    busy = os.getloadavg()[0]
    with server() as port:
        timed(port, asked(twenty[0]))
        alone = [timed(port, asked(text, space_groups=groups)) for groups in (False, True) for text in twenty]
        page = [timed(port, asked(text, pictures=True, write="extxyz")) for text in twenty]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            started = time.perf_counter()
            together = list(pool.map(lambda text: timed(port, asked(text, space_groups=False)), many[:AT_A_TIME]))
            wall = time.perf_counter() - started
        whole, answer = timed(port, asked("".join(many)))
        on_page, _ = timed(port, asked("".join(many), pictures=True, write="extxyz"))
    lost = sum(found["http"] != 200 or found["relaxed"] != 1 for _, found in together)
    result = {
        "description": "empnn serve (pbe), strained MP-20 val crystals, asked by a second process on the same machine",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__.partition('+')[0]}",
        "busy_processes_at_start": busy,
        f"{ATOMS}_atoms": quantiles([seconds for seconds, _ in alone[: len(twenty)]]),
        f"{ATOMS}_atoms_with_space_groups": quantiles([seconds for seconds, _ in alone[len(twenty) :]]),
        f"{ATOMS}_atoms_for_the_page": quantiles([seconds for seconds, _ in page]),
        f"{AT_A_TIME}_at_a_time": {"lost": lost, "seconds": wall, **quantiles([seconds for seconds, _ in together])},
        f"{MANY}_in_one": {"relaxed": answer["relaxed"], "seconds": whole, "for_the_page_seconds": on_page},
    }
    with replacing(options.out) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    if options.page is not None:
        fill(options.page, "serve", markdown(result))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
