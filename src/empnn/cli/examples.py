"""What the help of each command shows: what it is for, and the line that does it."""

from __future__ import annotations

EXAMPLES: dict[str, list[tuple[str, str]]] = {
    "empnn": [
        ("Relax a file of crystals:", "empnn relax candidates.cif -o relaxed.cif"),
        ("See which models there are:", "empnn models"),
        ("Teach the default model your own crystals:", "empnn train fine-tune data=mine.extxyz"),
    ],
    "data": [
        ("Look at the crystals that come with the package:", "empnn data stats sample"),
        ("Download a benchmark set:", "empnn data fetch mp_20"),
    ],
    "relax": [
        ("Relax a file with the default model:", "empnn relax candidates.cif -o relaxed.cif"),
        ("Relax a folder of files into one, and go on after Ctrl-C:", "empnn relax runs/ -o relaxed.extxyz --resume"),
        (
            "A file for each, under its own name, with a report of what changed:",
            "empnn relax runs/ -o relaxed/ --format cif --report report.html",
        ),
        ("Go on from there with a potential:", "empnn relax candidates.cif -o relaxed.cif --then chgnet"),
        ("Keep the cells, move the atoms:", "empnn relax POSCAR -o relaxed.vasp --fix cell"),
        ("Relax with a model that you trained:", "empnn relax candidates.csv -o relaxed.csv --model runs/mine"),
        ("A hundredth of them, as one task of an array:", "empnn relax in.extxyz -o shards/ --shard 0/100 --resume"),
    ],
    "reconstruct": [
        (
            "Cells for coordinates, whatever cell they are written in:",
            "empnn reconstruct drawn.cif -o cells.cif",
        ),
        (
            "In whatever basis, and of 16 starts the one that is lowest in energy:",
            "empnn reconstruct drawn.extxyz -o cells.extxyz --bases 649 --rank sevennet",
        ),
    ],
    "convert": [
        ("Put many CIFs into one table:", "empnn convert 'runs/*.cif' all.parquet"),
        ("Write each crystal of a file into one of its own:", "empnn convert all.extxyz folder/ --format vasp"),
    ],
    "merge": [
        ("Join what the tasks of an array have relaxed:", "empnn merge shards/ -o relaxed.extxyz"),
    ],
    "train": [
        ("Try it out, in some minutes, on crystals that come with the package:", "empnn train data=sample steps=500"),
        ("Teach the default model your own relaxed crystals:", "empnn train fine-tune data=mine.extxyz"),
        ("Teach it how your candidates relax, from pairs:", "empnn train fine-tune data.pairs=pairs.csv"),
        ("Go on after Ctrl-C or a crash:", "empnn train --resume runs/mine"),
        ("Go on after the end, to 2,000 steps in all:", "empnn train --resume runs/mine train.steps=2000"),
        ("Train from nothing as the paper did:", "empnn train paper data=mp_20 train.out=runs/paper"),
    ],
    "sweep": [
        ("Try it out, in some minutes:", "empnn sweep data=sample steps=100 'lr=[3e-3,1e-3,3e-4]'"),
        ("The paper's grid, learning rates times weight limits:", "empnn sweep paper-grid data=mp_20"),
        (
            "A range, where most trials are given up at step 100; on several machines:",
            "empnn sweep fine-tune data=mine.extxyz 'lr=log(1e-5,1e-2)' --halving 100",
        ),
    ],
    "reproduce": [
        ("The paper's second table, in some hours:", "empnn reproduce table2"),
        ("What there is of it so far:", "empnn reproduce table2 --no-train"),
        ("Failures and successes, drawn:", "empnn reproduce figure4"),
    ],
    "evaluate": [
        ("How much of a random strain the default model removes:", "empnn evaluate --data relaxed.extxyz"),
        (
            "How near candidates come to their relaxed cells:",
            "empnn evaluate --data candidates.cif --reference relaxed.cif",
        ),
        (
            "CHGNet on the first ten, beside:",
            "empnn evaluate --data relaxed.extxyz --relaxer chgnet --limit 10",
        ),
    ],
    "energy": [
        ("Energies by CHGNet:", "empnn energy relaxed.extxyz --oracle chgnet"),
        (
            "Relax cell and atoms first, and keep the crystals:",
            "empnn energy in.cif --oracle sevennet --relax all -o out.extxyz",
        ),
        ("Write inputs for VASP:", "empnn energy in.cif --oracle vasp-inputs -o calculations"),
    ],
    "serve": [
        ("Open a page to drop crystals on:", "empnn serve --open"),
        ("Let other machines reach it, by one name:", "empnn serve --host 0.0.0.0 --name crystals.example.org"),
        ("Offer a model that you trained, on another port:", "empnn serve --model runs/mine --port 8080"),
    ],
    "models": [
        ("All packaged models, and what each is for:", "empnn models"),
        ("All that is known of one:", "empnn models mp-20"),
    ],
    "fields": [
        ("The fields that a model can act with:", "empnn fields"),
    ],
    "stats": [
        ("Look at a set, with a picture:", "empnn data stats mine.extxyz --plot stats.png"),
    ],
    "split": [
        (
            "Nine tenths to train on, one to select by, no composition in both:",
            "empnn data split mine.extxyz -o folder --fractions 0.9,0.1",
        ),
    ],
    "dedupe": [
        (
            "Keep the first of each group, and say who was whose duplicate:",
            "empnn data dedupe mine.cif -o unique.cif --groups groups.csv",
        ),
    ],
    "fetch": [
        ("Download a benchmark set to train on (data=mp_20):", "empnn data fetch mp_20"),
    ],
}
