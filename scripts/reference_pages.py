"""Write docs/cli.md and docs/models.md: the commands as their help tells them, the packaged models by their cards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from ase.data import chemical_symbols

from empnn.cli import app
from empnn.cli.examples import EXAMPLES
from empnn.models import DEFAULT, card_of, config_of, find, load_shrinkage, packaged, size_of

ROOT = Path(__file__).parent.parent
BY = "Written by `python scripts/reference_pages.py`"
CLI_HEAD = f"""# Commands

{BY} from what `empnn COMMAND --help` says.

"""
MODELS_HEAD = f"""# Models

{BY} from the cards beside the weights, which `empnn models NAME` and `empnn models --json` show, too. The default is
`{DEFAULT}`. How they were measured, and more figures: [how good it is](accuracy.md).
"""


class Recorder:
    """Takes down the lists of a command's help, where a terminal would get lines of text."""

    def __init__(self) -> None:
        self.sections: list[tuple[str, list[tuple[str, str]]]] = []

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """A part with a heading."""
        self.sections.append((name, []))
        yield

    def write_dl(self, records: list[tuple[str, str]]) -> None:
        """Names and what they mean."""
        self.sections[-1][1].extend(records)


def cells(*words: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(' '.join(word.split()).replace('|', chr(92) + '|') for word in words)} |"


def command(path: tuple[str, ...], found: Any) -> str:
    """What there is to know of a command."""
    context = found.make_context("empnn " + " ".join(path), [], resilient_parsing=True)
    recorder = Recorder()
    found.format_options(context, recorder)
    usage = " ".join([context.info_name, *found.collect_usage_pieces(context)])
    parts = [f"## empnn {' '.join(path)}", f"```text\n{usage}\n```", found.help.strip()]
    for name, records in recorder.sections:
        rows = [cells(f"`{what}`", text) for what, text in records if "--help" not in what]
        parts.append("\n".join([f"| {name.lower().removesuffix('s')} | |", "|---|---|", *rows]))
    shown = "\n".join(f"# {what.removesuffix(':')}\n{line}" for what, line in EXAMPLES[path[-1]])
    return "\n\n".join([*parts, f"```bash\n{shown}\n```"])


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands by what is typed, those of a group after its name."""
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


def cli_page() -> str:
    """All commands."""
    return CLI_HEAD + "\n\n".join(command(path, found) for path, found in commands(typer.main.get_command(app))) + "\n"


def card(name: str) -> str:
    """What the card of a model says, for readers."""
    told = card_of(name)
    symbols = [chemical_symbols[number] for number in told["elements"]]
    rows = [
        ("for", told.get("for", "")),
        ("not for", told.get("not_for", "")),
        ("changes", "cell and atoms" if config_of(name).moves_atoms else "cell"),
        *measured(told),
        ("keeps", "of what it finds, what is above the error to expect" if load_shrinkage(name) else ""),
        ("predicted errors hold for", ", ".join((told.get("errors") or {}).get("holds_for", []))),
        ("trained on", f"{told['structures']:,} crystals: {told['data']}"),
        ("manifest of the data", made_of(told)),
        ("licence of the data", told["licence"]),
        ("trained by", trained_by(told)),
        (f"elements ({len(symbols)})", " ".join(symbols)),
        ("size", f"{size_of(find(name)) / 1e6:.1f} MB"),
        ("packaged", f"{told.get('packaged', '')}, commit {told['commit'][:10]}"),
        ("note", told.get("note", "")),
    ]
    return "\n".join([f"## {name}", "", "| | |", "|---|---|", *(cells(what, text) for what, text in rows if text)])


def made_of(told: dict[str, Any]) -> str:
    """Where it is written which crystals the data are, and how many were dropped."""
    found = told.get("manifest")
    if not found:
        return ""
    kept = f"{found['crystals']:,} crystals, of which the development set is drawn"
    return f"`{found['file']}`: sources, rule and names of {kept}, and of {found['dropped']:,} that were dropped"


def trained_by(told: dict[str, Any]) -> str:
    """The commands, and how long the last of them took."""
    took = f"{told['training_minutes']:g} minutes ({told['machine']})"
    several = ";" in told["command"]
    return f"`{told['command']}`{', the last of them' if several else ''} in {took}"


def measured(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """How good it is, in a line for each kind of input that was measured."""
    for r in told.get("metrics", []):
        if r["sigma"] == 0.1 and not r.get("positions_sigma"):
            before = f"{r['noise_lengths']:.3f} Å and {r['noise_angles']:.2f}°"
            yield "strained (sigma 0.1)", f"{before} off, {r['lengths_mae']:.3f} Å and {r['angles_mae']:.2f}° after"
        if r["sigma"] == 0.0 and not r.get("positions_sigma"):
            yield "relaxed already", f"moves by {r['lengths_mae']:.3f} Å and {r['angles_mae']:.2f}°"
    if told.get("decorated"):
        yield "decorated", f"removes {100 * told['decorated']['strain_removed']:.0f} % of the strain"
    if cube := told.get("reconstruction"):
        mean, half = (
            f"{cube[f'lengths_{what}']:.3f} Å and {cube[f'angles_{what}']:.2f}°" for what in ("mae", "median")
        )
        yield "from a cube of 1 Å", f"{mean} off on average after one pass, {half} in the median (val)"


def models_page() -> str:
    """All cards, the default first."""
    names = sorted(packaged(), key=lambda name: (name != DEFAULT, name))
    return MODELS_HEAD + "\n" + "\n\n".join(map(card, names)) + "\n"


PAGES = {"cli.md": cli_page, "models.md": models_page}


if __name__ == "__main__":
    for page, make in PAGES.items():
        (ROOT / "docs" / page).write_text(make(), encoding="utf-8")
