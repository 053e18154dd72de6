"""Relax real strained crystals with the packaged weights: a table, the relaxed file and a picture.

Usage: python examples/demo.py [--out FOLDER]
"""

import argparse
import os
import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path

import ase.io
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import empnn
from empnn.data.writing import writer
from empnn.viz.before_after import Triple, parameter_errors, picture

MODELS = {"mp_20": "mp-20", "carbon_24": "carbon-24", "perov_5": "perov-5"}


def relax_samples() -> list[Triple]:
    """The packaged strained crystals, each relaxed by the model of its data set."""
    with as_file(files("empnn.data") / "samples") as folder:
        strained = ase.io.read(folder / "strained.extxyz", index=":")
        relaxed = ase.io.read(folder / "relaxed.extxyz", index=":")
    triples = []
    for name, model in MODELS.items():
        mine = [i for i, atoms in enumerate(strained) if atoms.info["data"] == name]
        result = empnn.load(model).relax([strained[i] for i in mine])
        for i, after in zip(mine, result.structures, strict=True):
            label = f"{strained[i].get_chemical_formula('metal')}"
            triples.append(Triple(label, strained[i], after, relaxed[i]))
    return triples


def table(triples: list[Triple]) -> Table:
    """The lattice parameters of each crystal before, after and in truth."""
    result = Table(
        title="Real crystals that the models have never seen, strained by sigma = 0.1",
        title_justify="left",
        caption="first line: a, b, c in Å; second line: the angles in °",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column, style in (("crystal", ""), ("before", "red"), ("after", "blue"), ("true", "")):
        result.add_column(column, style=style, no_wrap=column != "crystal")
    for triple in triples:
        shown = [parameters(getattr(triple, name)) for name in ("before", "after", "true")]
        result.add_row(f"{triple.name}\n[dim]{len(triple.true)} atoms[/dim]", *shown)
    return result


def parameters(atoms: ase.Atoms) -> str:
    """Lengths on one line, angles on the next."""
    found = atoms.cell.cellpar()
    lengths, angles = (
        " ".join(f"{value:5.{digits}f}" for value in part) for part, digits in ((found[:3], 2), (found[3:], 1))
    )
    return f"{lengths}\n[dim]{angles}[/dim]"


def what_next() -> str:
    """Commands to go on with, as they are typed here."""
    program = Path(sys.executable).with_name("empnn")
    empnn_here = os.path.relpath(program) if program.is_file() and shutil.which("empnn") != str(program) else "empnn"
    lines = (
        ("relax your own crystals", "relax my.cif -o relaxed.cif"),
        ("see what each model is for", "models"),
        ("train one on your crystals", "train fine-tune data=my.cif"),
        ("all commands", "--help"),
    )
    return "\n".join(["What next", *(f"  {what:<28}{empnn_here} {line}" for what, line in lines)])


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    triples = relax_samples()
    console = Console(highlight=False, soft_wrap=True)
    console.print(table(triples))
    writer(out / "relaxed.extxyz")([t.after for t in triples])
    picture(triples, out / "before_after.png", drawn=(1, 5, 8))
    before, after = (sum(parameter_errors(t)[side] for t in triples) / len(triples) for side in (0, 1))
    console.print(f"mean error: {before[0]:.3f} Å / {before[1]:.2f}° before, {after[0]:.3f} Å / {after[1]:.2f}° after")
    console.print(f"wrote {out / 'relaxed.extxyz'} and {out / 'before_after.png'}\n")
    console.print(what_next())


if __name__ == "__main__":
    main()
