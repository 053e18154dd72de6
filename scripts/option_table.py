"""Write the table of keys in docs/training.md: every key of a configuration, its default and its docstring."""

import ast
from collections.abc import Iterator
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from empnn.training.options import Config

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "training.md"
START, END = "<!-- keys -->", "<!-- /keys -->"
SOURCES = [ROOT / "src" / "empnn" / name for name in ("training/options.py", "nn/empnn.py")]


def docstrings(paths: list[Path]) -> dict[tuple[str, str], str]:
    """What stands below each attribute of each class."""
    found = {}
    for owner in (node for path in paths for node in ast.parse(path.read_text()).body):
        if isinstance(owner, ast.ClassDef):
            for field, below in zip(owner.body, owner.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                    found[owner.name, ast.unparse(field.target)] = " ".join(ast.literal_eval(below.value).split())
    return found


def rows(section: object, prefix: str, words: dict[tuple[str, str], str]) -> Iterator[str]:
    """A line for each key of a section and of those in it."""
    for name, value in vars(section).items():
        if hasattr(value, "__dataclass_fields__"):
            yield from rows(value, f"{prefix}{name}.", words)
        else:
            default = yaml.safe_dump(value, default_flow_style=True, width=200).removesuffix("\n...\n").strip()
            yield f"| `{prefix}{name}` | `{default}` | {words[type(section).__name__, name]} |"


def table() -> str:
    """All keys."""
    config = OmegaConf.to_object(OmegaConf.structured(Config))
    return "\n".join(["| key | default | what it is |", "|---|---|---|", *rows(config, "", docstrings(SOURCES))])


def filled(page: str) -> str:
    """The page with the table between its marks."""
    before, _, rest = page.partition(START)
    return f"{before}{START}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
