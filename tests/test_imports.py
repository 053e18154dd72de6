"""A lower floor never imports a higher one, and `import empnn` is instant."""

import ast
import subprocess
import sys
from pathlib import Path

import empnn

SOURCE = Path(empnn.__file__).parent
FLOORS = (
    ("errors", "memory", "ragged"),
    ("crystals",),
    ("graph", "geometry", "symmetry"),
    ("fields", "checks"),
    ("nn",),
    ("losses", "metrics", "noise", "testing"),
    ("data",),
    ("models", "viz", "notes", "energy"),
    ("training",),
    ("relax",),
    ("relax_files", "evaluate"),
    ("cli",),
)
HEIGHT = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def imported(path):
    """Modules of the package that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "empnn":
            names = [f"empnn.{alias.name}" for alias in node.names if not alias.name.startswith("__")]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("empnn."))


def test_floors():
    upward = []
    for path in SOURCE.rglob("*.py"):
        own = path.relative_to(SOURCE).with_suffix("").parts[0]
        assert own in HEIGHT or own == "__init__", f"{own} has no floor"
        for other in imported(path):
            if own in HEIGHT and HEIGHT[other] > HEIGHT[own]:
                upward.append(f"{own} imports {other}")
    assert upward == []


def test_import_is_light():
    heavy = ("torch", "pymatgen", "lightning", "ase", "numpy")
    code = f"import sys, empnn, empnn.cli; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
