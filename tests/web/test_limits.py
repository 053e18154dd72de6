"""What is asked beyond the limits gets one clear line, and the server goes on."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from support.web import CSCL_CIF, SALT, Client, serving

SECONDS = 4.0


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving("perov-5", megabytes=0.1, structures=20, atoms=4, seconds=SECONDS, requests=8) as client:
        yield client


def asked(*texts: str) -> dict[str, list[dict[str, str]]]:
    return {"files": [{"text": text} for text in texts]}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (asked("x" * 200_000), 413, "more than 0.1 MB; "),
        (asked(SALT * 21), 413, "more than 20 structures; "),
        (asked(*[SALT] * 21), 413, "more than 20 structures; "),
    ],
)
def test_what_is_too_large_is_told(client: Client, body: object, status: int, said: str) -> None:
    found, answer = client.post("relax", body)
    assert (found, answer["error"].startswith(said)) == (status, True)


def test_a_structure_with_too_many_atoms_does_not_hide_the_others(client: Client) -> None:
    five = SALT.replace("2\n", "5\n", 1) + "Cs 1 1 1\nCs 4 4 4\nCl 3 0 0\n"
    first, second = client.relax(five, SALT)["structures"]
    assert first["message"].startswith("its 5 atoms are more than the 4 taken here; ")
    assert second["status"] != "refused"


def test_a_body_of_unknown_length_is_counted(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(b"POST /api/relax HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        part = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        connection.sendall(part * 3 + b"0\r\n\r\n")
        assert b" 413 " in connection.recv(1000).split(b"\r\n")[0]


def test_who_sends_too_slowly_is_sent_away(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(b"POST /api/relax HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        began = time.monotonic()
        assert b" 408 " in connection.recv(1000).split(b"\r\n")[0]
        assert time.monotonic() - began < SECONDS + 2


def test_who_comes_when_there_are_too_many_is_told_to_come_again(client: Client) -> None:
    slow = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(8)]
    for connection in slow:
        connection.sendall(b"POST /api/relax HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    time.sleep(0.5)
    status, headers, content = client.ask("GET", "/api/about")
    assert (status, headers["retry-after"]) == (503, "5")
    assert "try again" in json.loads(content)["error"]
    for connection in slow:
        connection.close()
    time.sleep(0.5)
    assert client.ask("GET", "/api/about")[0] == 200


def test_a_text_that_takes_too_long_is_given_up_and_the_next_one_read(client: Client) -> None:
    operators = "".join(f"'x+{i}/9973,y,z'\n" for i in range(4000))
    endless = CSCL_CIF.replace(
        "_symmetry_space_group_name_H-M 'P m -3 m'\n", f"loop_\n_symmetry_equiv_pos_as_xyz\n{operators}"
    )
    began = time.monotonic()
    status, answer = client.post("relax", asked(endless))
    assert time.monotonic() - began < SECONDS + 3
    assert status == 504 or answer["skipped"] == 1, answer
    assert client.relax(SALT)["relaxed"] == 1


def test_a_process_that_dies_costs_its_request_only(client: Client) -> None:
    readers = client.app.state.readers
    for pid in readers.processes:
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    while (status := client.post("relax", asked(SALT))[0]) != 200:
        assert status in (413, 503, 504)
        assert time.monotonic() - began < 60


def test_memory_that_a_text_asks_for_is_bounded(client: Client) -> None:
    aside = """_empnn_ase '{"a": {"__ndarray__": [[4000000000], "float64", [1]]}}'"""
    first, second = client.relax(CSCL_CIF + aside, CSCL_CIF)["structures"]
    assert "MemoryError" in first["message"]
    assert second["status"] != "refused"
