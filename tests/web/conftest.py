"""One server for all tests of the interface: starting it takes seconds."""

from collections.abc import Iterator

import pytest
from support.web import Client, serving


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    with serving("pbe", "perov-5", hosts=("127.0.0.1", "localhost", "[::1]")) as client:
        yield client
