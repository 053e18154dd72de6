"""A server in a thread of the test's own, and what asks it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from empnn.nn.runtime.cpu import tuned
from empnn.web.app import create_app
from empnn.web.limits import Limits
from empnn.web.offered import Offered

SALT = """\
2
Lattice="5.9 0 0 0 5.9 0 0 0 5.9" Properties=species:S:1:pos:R:3 material_id=salt pbc="T T T"
Cs 0 0 0
Cl 2.95 2.95 2.95
"""
BROKEN = "2\nno lattice\nCs 0 0 0\n"
CSCL_CIF = """\
data_CsCl
_cell_length_a 4.4
_cell_length_b 4.4
_cell_length_c 4.4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Cs 0 0 0
Cl 0.5 0.5 0.5
"""


class Client:
    """Asks a server at a port of this machine."""

    def __init__(self, port: int, app: Any = None) -> None:
        self.port = port
        self.app = app
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content; a body that is no text is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        if body is not None and not isinstance(body, str | bytes):
            body = json.dumps(body)
        headers = {"Content-Type": "application/json"} | {
            key.replace("_", "-"): value for key, value in headers.items()
        }
        try:
            connection.request(verb, path, body, headers)
            response = connection.getresponse()
            return response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def post(self, what: str, body: Any) -> tuple[int, Any]:
        """Status and JSON."""
        status, _, content = self.ask("POST", f"/api/{what}", body)
        return status, json.loads(content)

    def relax(self, *texts: str, **options: Any) -> Any:
        """What becomes of texts."""
        files = [{"name": f"given{number}", "text": text} for number, text in enumerate(texts)]
        status, answer = self.post("relax", {"files": files, **options})
        assert status == 200, answer
        return answer


@contextmanager
def serving(*models: str, hosts: tuple[str, ...] = (), **limits: Any) -> Iterator[Client]:
    """A server for as long as it is asked, with the settings of a process that `empnn serve` makes."""
    app = create_app(Offered(models, "cpu"), Limits(**limits), hosts)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run)
    with tuned():
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.02)
            yield Client(server.servers[0].sockets[0].getsockname()[1], app)
        finally:
            server.should_exit = True
            thread.join()
