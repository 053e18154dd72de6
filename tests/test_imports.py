"""A lower floor never imports a higher one, imports run in no circle, and `import empnn` is instant."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import empnn

SOURCE = Path(empnn.__file__).parent
FLOORS = (
    ("errors", "version", "geometry", "names", "ragged", "symmetry_search", "terminal"),
    ("files", "processes", "ase_atoms"),
    ("viz.style", "viz.scene"),
    ("viz.states",),
    ("crystals",),
    ("symmetry", "space_groups", "fields", "graph"),
    ("losses", "metrics", "relaxers", "testing"),
    ("corruption", "checks"),
    ("nn.kernels", "nn.runtime"),
    ("nn",),
    ("models",),
    ("data.naming",),
    ("data.records",),
    ("data.formats.constraints",),
    ("data.formats.cif",),
    ("data.formats",),
    ("data",),
    ("data.curation",),
    ("bulk",),
    ("energy.oracle", "energy.relaxation"),
    ("energy.oracles",),
    ("energy",),
    ("relax",),
    ("training", "__init__"),
    ("evaluate", "viz", "integrations", "web"),
    ("search", "reproduce"),
    ("cli",),
    ("__main__",),
)
"""Modules and folders from the ground up; what stands in a folder without a floor of its own is on the folder's."""
HEIGHT = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def modules():
    """The files of the package by their dotted names; a folder's own file is called as the folder."""
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), path


FILES = dict(modules())


def imported(path):
    """Modules of the package that a file imports, anywhere in it; `__init__` for a name of the package itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in (name.removeprefix("empnn.") for name in names if name.startswith("empnn.")):
            yield name if name in FILES else name.rpartition(".")[0] or "__init__"


IMPORTS = {name: set(imported(path)) for name, path in FILES.items()}


def room(name):
    """The innermost folder or module with a floor that holds a module."""
    while name not in HEIGHT:
        assert "." in name, f"{name} has no floor"
        name = name.rpartition(".")[0]
    return name


def test_every_name_that_is_imported_is_there():
    assert {other for others in IMPORTS.values() for other in others} <= set(FILES)
    assert set(map(room, FILES)) == set(HEIGHT)


def test_floors():
    assert [
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        for other in others
        if HEIGHT[room(other)] > HEIGHT[room(name)]
    ] == []


def test_no_circle():
    rooms = {}
    for name, others in IMPORTS.items():
        rooms.setdefault(room(name), set()).update(map(room, others))
    for graph in (IMPORTS, {name: others - {name} for name, others in rooms.items()}):
        list(TopologicalSorter(graph).static_order())


def test_import_is_light():
    heavy = ("torch", "pymatgen", "lightning", "ase", "numpy")
    code = f"import sys, empnn, empnn.cli; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
