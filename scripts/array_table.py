"""Write docs/arrays.md: every array that a public class holds, as its annotation and its docstring tell it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "arrays.md"
HEAD = """# Arrays

What the public classes hold, by floor of the house: names, shapes and units are the same everywhere. Cells hold lattice
vectors as rows. `atoms` and `edges` run over all structures of a batch, without padding; `structures_and_end` has the
total behind the last; `*structures` is absent where there is one crystal. Written by `python scripts/array_table.py`
from annotations and docstrings.

| class | array | shape | type | unit | per | what it is |
|---|---|---|---|---|---|---|
"""
FLOORS = ("crystals", "graph", "losses", "nn", "data", "relax")
SCOPES = ("structure", "atom", "edge", "triplet", "pair", "row", "term", "sum")
UNIT = re.compile(r"cubic angstrom per atom|angstrom and (?:angles in )?degrees|angstrom|degrees", re.IGNORECASE)


class Row(NamedTuple):
    """A line of the table."""

    owner: str
    name: str
    shape: str
    kind: str
    unit: str
    scope: str
    words: str


def rows(path: Path) -> Iterator[Row]:
    """The arrays of the public classes in a file."""
    for owner in ast.parse(path.read_text()).body:
        if not isinstance(owner, ast.ClassDef) or owner.name.startswith("_"):
            continue
        words = _attributes(ast.get_docstring(owner) or "")
        for node in owner.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                name, annotation, said = node.target.id, node.annotation, words.get(node.target.id, "")
            elif isinstance(node, ast.FunctionDef) and _is_property(node) and node.returns is not None:
                name, annotation, said = node.name, node.returns, ast.get_docstring(node) or ""
            else:
                continue
            found = re.search(r"(Float|Int)(\d*)\[(Tensor|np\.ndarray), '([^']*)'\]", ast.unparse(annotation))
            if found and not name.startswith("_"):
                yield _row(owner.name, name, found, said)


def _row(owner: str, name: str, found: re.Match[str], said: str) -> Row:
    axes = found[4].split()
    kind = f"{found[1].lower()}{found[2]}"
    unit = UNIT.search(said)
    scopes = [scope for axis in axes for scope in SCOPES if axis.lstrip("*").startswith(f"{scope}s")]
    words = re.sub(r" ?\bPer \w+(?:, float64)?\.", "", said.partition("\n\n")[0])
    words = re.sub(r",? ?\((?:layers, )?structures, [^)]*\)(?:, float64\.|[,;])?", "", words)
    return Row(
        owner=owner,
        name=name,
        shape=f"({', '.join(axes)}{',' * (len(axes) == 1)})",
        kind=kind,
        unit="-" if unit is None else unit[0].lower().replace("angstrom", "Å").replace("angles in ", ""),
        scope=scopes[0] if scopes else "-",
        words=" ".join(words.split()),
    )


def _is_property(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(one) in ("property", "cached_property") for one in node.decorator_list)


def _attributes(docstring: str) -> dict[str, str]:
    """The texts under `Attributes:` of a docstring."""
    _, _, listed = docstring.partition("Attributes:\n")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", listed.partition("\n\n")[0], flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def page() -> str:
    """The whole page."""
    source = ROOT / "src" / "empnn"
    paths = [path for floor in FLOORS for path in (source / f"{floor}.py", *sorted((source / floor).rglob("*.py")))]
    found = [row for path in paths if path.exists() for row in rows(path)]
    lines = [f"| `{r.owner}` | `{r.name}` | {r.shape} | {r.kind} | {r.unit} | {r.scope} | {r.words} |" for r in found]
    return HEAD + "\n".join(line.replace("*structures", "\\*structures") for line in lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
