"""Every block of code on the pages runs or is understood, and every page has its place on the site."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from empnn.cli import app

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "_build" not in path.parts
}
RUN_ELSEWHERE = {
    "README.md": "tests/test_documents.py",
    "docs/python.md": "tests/test_documents.py",
    "docs/adding-a-field.md": "tests/test_documents.py",
    "docs/energies.md": "tests/test_documents.py",
    "docs/integrations.md": "tests/integrations/test_page.py",
    "docs/serve.md": "tests/web/test_document.py",
}
"""What runs the Python of a page."""
TOP = typer.main.get_command(app)
PYTHON = {page: re.findall(r"^```python\n(.*?)```", text, re.DOTALL | re.MULTILINE) for page, text in PAGES.items()}


def lines(text: str) -> Iterator[str]:
    """What is typed in a terminal: `empnn` and what belongs to it."""
    for _, block in re.findall(r"^```(bash|text|)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            typed = re.sub(r"\s+#.*", "", line).removesuffix(" \\").strip()
            if re.match(r"empnn \w", typed) and "[OPTIONS]" not in typed and not re.search(r"\.\.\.| \[", typed):
                yield typed
    yield from re.findall(r"^!(empnn .*)", text, re.MULTILINE)


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if any(lines(text))])
def test_commands_are_understood(page: str) -> None:
    for line in lines(PAGES[page]):
        words = shlex.split(line)[1:]
        ends = [place for place, word in enumerate(words) if word in ("<", ">", "|", ";", "&&", "2>&1")]
        words = words[: min(ends, default=len(words))]
        command, name = TOP, []
        while hasattr(command, "commands") and words and words[0] in command.commands:
            name.append(words.pop(0))
            command = command.commands[name[-1]]
        assert name, line
        try:
            command.make_context(" ".join(name), words)
        except click.exceptions.Exit:
            pass
        except Exception as error:
            raise AssertionError(f"{line}: {error}") from error


@pytest.mark.parametrize("page", [page for page in PYTHON if PYTHON[page] and page not in RUN_ELSEWHERE])
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ase.build import bulk

    import empnn

    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"empnn": empnn, "structure": bulk("NaCl", "rocksalt", a=6.0)}
    for block in PYTHON[page]:
        exec(block, namespace)  # noqa: S102


def test_python_that_runs_elsewhere_does() -> None:
    for page, test in RUN_ELSEWHERE.items():
        assert PYTHON[page]
        assert Path(page).name in (ROOT / test).read_text()


def test_what_pages_say_to_run_of_the_repository_is_there() -> None:
    texts = {**PAGES, "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text()}
    for page, text in texts.items():
        for name in re.findall(r"python -m (benchmarks[\w.]*)", text):
            assert (ROOT / name.replace(".", "/")).with_suffix(".py").is_file(), f"{page}: {name}"
        for name in re.findall(r"python ([\w/]+\.py)", text):
            assert (ROOT / name).is_file(), f"{page}: {name}"
            assert not name.startswith("benchmarks/"), f"{page}: {name} runs as a module"
        targets = re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text())
        for name in re.findall(r"`make ([\w-]+)", text):
            assert name in targets, f"{page}: make {name}"


def test_every_page_is_in_the_index() -> None:
    index = PAGES["docs/index.md"]
    inside = {page.removeprefix("docs/").removesuffix(".md") for page in PAGES if page.startswith("docs/")}
    listed = set(re.findall(r"^[\w/-]+$", index, re.MULTILINE))
    assert inside - {"index"} - {page for page in inside if page.startswith("api/") and page != "api/index"} == listed
