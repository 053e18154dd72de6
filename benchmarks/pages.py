"""Tables of result files in the pages of the documentation, each between marks of its own: <!-- name -->."""

from pathlib import Path

from empnn.files import replacing


def filled(page: str, name: str, table: str) -> str:
    """A page with another table between the marks of a name.

    Raises:
        ValueError: If the page lacks one of them.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, opened, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"no {start} ... {end} in it")
    return f"{before}{start}\n{table}\n{end}{after}"


def fill(page: Path, name: str, table: str) -> None:
    """Put a table between its marks in a file."""
    try:
        text = filled(page.read_text(encoding="utf-8"), name, table)
    except ValueError as error:
        raise ValueError(f"{page}: {error}") from None
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
