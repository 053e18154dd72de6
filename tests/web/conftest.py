"""A server for the tests of a module: starting it takes seconds, and other modules want no processes beside them."""

from collections.abc import Iterator

import pytest
from support.web import Client, serving


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving("pbe", "perov-5", hosts=("127.0.0.1", "localhost", "[::1]")) as client:
        yield client
