"""Relax real strained crystals with the packaged weights: a table, the relaxed file and a picture.

Usage: python examples/demo.py [--out FOLDER]
"""

import argparse
from importlib.resources import as_file, files
from pathlib import Path

import ase.io
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
    """Lattice parameters before and after, volume, and the error against the known relaxed cell."""
    columns = ("crystal", "", "a", "b", "c (Å)", "alpha", "beta", "gamma (°)", "volume (Å³)", "error (Å / °)")
    result = Table(title="Real crystals the models have never seen, strained by sigma = 0.1", title_justify="left")
    for column in columns:
        result.add_column(column, justify="left" if column in ("crystal", "") else "right", no_wrap=True)
    for triple in triples:
        errors = dict(zip(("before", "after"), parameter_errors(triple), strict=True))
        for row, (name, style) in enumerate((("before", "red"), ("after", "blue"), ("true", "dim"))):
            atoms = getattr(triple, name)
            lengths_angles = [f"{p:.2f}" for p in atoms.cell.cellpar()]
            error = f"{errors[name][0]:.3f} / {errors[name][1]:.2f}" if name in errors else ""
            cells = [triple.name if row == 0 else "", name, *lengths_angles, f"{atoms.get_volume():.1f}", error]
            result.add_row(*cells, style=style, end_section=name == "true")
    return result


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    triples = relax_samples()
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table(triples))
    writer(out / "relaxed.extxyz")([t.after for t in triples])
    picture(triples, out / "before_after.png", drawn=(1, 5))
    before, after = (sum(parameter_errors(t)[side] for t in triples) / len(triples) for side in (0, 1))
    console.print(f"mean error: {before[0]:.3f} Å / {before[1]:.2f}° before, {after[0]:.3f} Å / {after[1]:.2f}° after")
    console.print(f"wrote {out / 'relaxed.extxyz'} and {out / 'before_after.png'}")


if __name__ == "__main__":
    main()
