"""Texts from outside: no content makes a reader open a file, import a module or start a process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.web import CSCL_CIF, SALT

from empnn.web.limits import Limits, RequestError
from empnn.web.texts import converted, records

PLAIN = {"lattice": {"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 4]]}}
SITE = {"species": [{"element": "Na", "occu": 1}], "abc": [0, 0, 0]}


def kept(name: str, path: str) -> str:
    """What is kept beside a crystal: a constraint of this name."""
    return json.dumps({"constraints": [{"name": name, "kwargs": {"filename": path}}]})


def hostile(path: str) -> dict[str, str]:
    """Texts, by what they try, that name a file in every place that anything could take for one."""
    code = {
        "@module": "builtins",
        "@class": "open",
        "@callable": "open",
        "@version": None,
        "args": [path],
        "file": path,
    }
    atoms = json.dumps({"__ase_objtype__": "atoms", "numbers": path, "positions": path, "cell": path, "pbc": path})
    objects = [
        json.dumps({"a": {"__ase_objtype__": kind, "path": path, "filename": path}})
        for kind in ("bandpath", "vibrationsdata", "cell")
    ]
    aside = kept("FixSymmetry", path).replace('"', '\\"')
    names = ("FixAtoms", "FixSymmetry", "FixParametricRelations", "ExternalForce", "constrained_indices", "open")
    return {
        "a.json": json.dumps({**PLAIN, "sites": [{**SITE, "properties": {"x": code}}], "properties": code}),
        "b.json": json.dumps({**PLAIN, "sites": [SITE], "structure": path}),
        "c.json": json.dumps([path, {"structure": path}, code]),
        "d.json": json.dumps({"ids": [1], "1": {"numbers": [11]}, "nextid": 2}),
        "e.json": json.dumps(
            {**PLAIN, "lattice": {**PLAIN["lattice"], **code}, "sites": [{**SITE, "species": [code]}]}
        ),
        "f.cif": CSCL_CIF + f"_empnn_ase '{atoms}'\n",
        "g.cif": f"data_a\n_cell_length_a '{path}'\n_iucr_refine_instructions_details '{path}'\nsave_{path}\n",
        "h.cif": f"#include <{path}>\n" + CSCL_CIF,
        "i.extxyz": SALT.replace("=salt", f'="{path}" calc="{path}" empnn_aside="_JSON {aside}"'),
        "j.xyz": f"1\n{path}\nNa {path} 0 0\n",
        "POSCAR": f"{path}\n1\n4 0 0\n0 4 0\n0 0 4\nNa\n1\nDirect\n0 0 0\n",
        "l.vasp": f"Na\n{path}\n4 0 0\n0 4 0\n0 0 4\n{path}\n1\nDirect\n0 0 0\n",
        path: path,
        f"file://{path}": f"file://{path}",
        "http://127.0.0.1:1/a.cif": "http://127.0.0.1:1/a.cif",
        "m.traj": "- of UlmASE-Trajectory",
        "n.pkl": "cos\nsystem\n(S'true'\ntR.",
        "o.db": "SQLite format 3",
        **{f"p{i}.cif": CSCL_CIF + f"_empnn_ase '{text}'\n" for i, text in enumerate(objects)},
        **{f"q{i}.cif": CSCL_CIF + f"_empnn_ase '{kept(name, path)}'\n" for i, name in enumerate(names)},
    }


WATCH = """
import json, sys
from empnn.web.limits import Limits
from empnn.web.texts import converted, records
texts = list(json.load(sys.stdin).items())
seen, on = [], False
FORBIDDEN = ("open", "os.listdir", "os.scandir", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork",
             "socket.", "urllib.", "pickle.", "marshal.", "sqlite3.", "ctypes.dlopen")
def watch(event, arguments):
    if on and event.startswith(FORBIDDEN):
        seen.append(f"{event} {str(arguments)[:200]}")
sys.addaudithook(watch)
records([("warm.extxyz", texts[0][1]), *texts[1:2]], Limits())
for _ in range(2):  # The first time libraries read data of their own.
    seen.clear()
    on = True
    for text in texts:
        records([text], Limits())
    on = False
print(json.dumps(seen))
"""


def test_no_text_makes_a_reader_open_anything(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({**PLAIN, "sites": [SITE]}))
    done = subprocess.run(
        [sys.executable, "-c", WATCH],
        input=json.dumps(hostile(str(secret))),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []


def test_what_a_text_names_is_not_in_the_answer(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({**PLAIN, "sites": [{**SITE, "label": "unheard"}]}))
    for name, text in hostile(str(secret)).items():
        for record in records([(name, text)], Limits()):
            assert "unheard" not in str(record.atoms and record.atoms.todict())


@pytest.mark.parametrize(
    ("limits", "said"), [(Limits(structures=2), "more than 2 structures"), (Limits(atoms=2), "more than 100 atoms")]
)
def test_too_many_are_refused_as_soon_as_they_are_seen(limits: Limits, said: str) -> None:
    with pytest.raises(RequestError, match=said) as refused:
        records([("a", SALT * 60)], limits)
    assert refused.value.status == 413


def test_a_file_is_written_whole_or_not_at_all() -> None:
    with pytest.raises(RequestError, match=r"b\.extxyz"):
        converted([("a", SALT), ("b.extxyz", "3\n\nNa 0 0 0")], Limits(), "cif", None)
