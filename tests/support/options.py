"""Hostile values for the options of the command line, and what must not come of them."""

import json
import os
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase.build import bulk
from typer.testing import CliRunner, Result

from empnn.cli import app
from empnn.data.reading import read
from support.judges import Verdict
from support.relaxing import salt, tiny_model, triclinic

_NAMES = ("", "-x", "a\0b", "a\nb", "x" * 300, "\udcff", "--", "/dev/null", "missing", "missing/x")
_INPUTS = (
    *("in.extxyz", "in.cif", "POSCAR", "folder", "bad.extxyz", "empty.cif", "missing.cif", "*.cif", "[", "**/*", "-"),
    *("in.extxyz/x", "in.cif ", "IN.CIF", "model", "folder/", "link.cif", ".", *_NAMES),
)
_OUTPUTS = (
    *("out.extxyz", "out.cif", "out.json", "out.csv", "out.db", "out.traj", "out.vasp", "out.parquet", "-", "out.xyz"),
    *("..", "out", "out.", ".cif", "out.CIF", "out.cif.gz", "out.extxyz.xz", "out.csv.gz", "out.pdf", "out.extxyz."),
    *("in.extxyz", "./in.cif", "folder/in.cif", "folder", "missing/out.cif", "/dev/full", "link.cif", "out.exe"),
    *("x" * 300 + ".cif", "a\nb.cif", "\udcff.cif", "ä 1.cif", "a\0b.cif", "-o.cif", "{}.cif", "%s.cif", "out.cif/"),
    *("/proc/out.cif", "~/out.cif", "CON.cif", "out.npz", "POSCAR.out", ".", "/", *_NAMES),
)
_COUNTS = ("0", "-1", "1", "2", "3.5", "1e3", "nan", "", "x", "1_0", "\u0663", "0x10", " 2", "+2", "inf", "-0")
_LARGE = (*_COUNTS, "9" * 30)
_SIZES = ("0", "-0.1", "0.05", "1", "1.01", "1e308", "1e-320", "nan", "inf", "-inf", "", "x", "0,1", "1e", "-0.0")
_MODELS = ("model", "mp-20", "MP-20", "in.cif", "model/model.yaml", "../model", "mp-20/", "broken", ".", *_NAMES)
_FIXED = ("positions", "cell", "Positions", "cell,positions", "1", *_NAMES)
_DEVICES = ("cpu", "cuda", "cuda:99", "meta", "mps", "xla", "cpu:1", "", "CPU", "tpu", "0", "cpu:-1", "privateuseone")
_ORACLES = (
    *("ase.calculators.emt:EMT", "ase.calculators.lj:LennardJones", "emt", "", ":", "os:system", "os:", ":EMT"),
    *("builtins:dict", "ase.calculators.calculator:Calculator", "ase:Atoms", "json:loads", "chgnet:x", "sevennet:none"),
    *("ase.calculators.emt:", "ase.calculators.emt:EMT:x", "ase.calculators.emt:parameters", "numpy:pi", "a b:c"),
    *("vasp-inputs", "gpaw", "..emt:EMT", "ase.calculators.emt:EMT\n", *_NAMES),
)
_OPTIONS = (
    *("a=1", "a", "=1", "a=", "a.b=1", "1a=2", "class=x", "a=[1", "a={b: 1}", "a=${oc.env:HOME}", "a=${b}"),
    *("a=!!python/object:os.system", "asap_cutoff=True", "asap_cutoff=x", "a=nan", "a=1e999", "a=\0", "self=1"),
    *("restart=x", "label=x", "atoms=1"),
)
_ENDINGS = (
    *(
        "cif",
        "vasp",
        "poscar",
        "POSCAR",
        ".cif",
        "extxyz.gz",
        "json",
        "traj",
        "db",
        "xsf",
        "csv",
        "feather",
        "png",
        "cif/x",
    ),
    *("../cif", "cif.cif", "gz", ".", *_NAMES),
)
_FOLDERS = ("out", "out/", "out/x", "folder", "folder/", ".", "in.cif", "in.cif/", "out.cif", "out.cif/", "-", *_NAMES)
_STORES = ("store", "in.cif", "/proc/x", "missing/store", *_NAMES)
_DATA = ("in.extxyz", "folder", "sample", "mp_20", "in.cif", "bad.extxyz", "empty.cif", "-", "data", *_NAMES)
_SPLITS = ("val", "train", "../val", "VAL", *_NAMES)

_ENERGIES: dict[str, Sequence[str]] = {"--option": _OPTIONS, "--fmax": _SIZES, "--steps": _LARGE, "--store": _STORES}
_HOSTILE: dict[str, dict[str, Sequence[str]]] = {
    "relax": {
        "": _INPUTS,
        "--output": _OUTPUTS,
        "--model": _MODELS,
        "--passes": _COUNTS,
        "--fix": _FIXED,
        "--device": _DEVICES,
        "--batch-atoms": _LARGE,
        "--format": _ENDINGS,
        "--symmetrize": _SIZES,
        "--then": (*_ORACLES[:8], "vasp-inputs", "x"),
        "--steps": _LARGE,
        "--resume": (),
        "--strict": (),
        "--keep-failed": (),
        "--passess": ("1",),
    },
    "convert": {
        "": _INPUTS,
        " ": _OUTPUTS,
        "--format": _ENDINGS,
        "--resume": (),
        "--strict": (),
        "--model": ("model",),
    },
    "evaluate": {
        "--data": _DATA,
        "--model": _MODELS,
        "--split": _SPLITS,
        "--noise": _SIZES,
        "--noise-positions": _SIZES,
        "--fix": _FIXED,
        "--seed": _LARGE,
        "--reference": _DATA,
        "--limit": _LARGE,
        "--passes": _COUNTS,
        "--device": _DEVICES,
        "--relaxer": ("empnn", "EMPNN", "", "vasp-inputs", "x"),
        "--out": _OUTPUTS,
        **_ENERGIES,
        "--workers": ("0", "-1", "x", "1"),
    },
    "energy": {
        "": _INPUTS,
        "--oracle": _ORACLES,
        "--relax": ("none", "cell", "all", "", "CELL", "atoms"),
        "--output": _OUTPUTS,
        "--workers": ("0", "-1", "x", ""),
        **_ENERGIES,
    },
}
_COMMON: dict[str, Sequence[str]] = {"--quiet": (), "--json": (), "--help": ()}
_SOUND: dict[str, dict[str, str | None]] = {
    "relax": {"": "in.extxyz", "--output": "out.extxyz", "--model": "model"},
    "convert": {"": "in.extxyz", " ": "out.extxyz"},
    "evaluate": {"--data": "in.extxyz", "--model": "model"},
    "energy": {"": "copper.extxyz", "--oracle": "ase.calculators.emt:EMT", "--store": "store"},
}
_FRAME = '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3\nNa 0 0 0\n'


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        number: Its number; with the seed it tells the command.
        arguments: What is typed after `empnn`.
        stdin: What comes on standard input.
    """

    number: int
    arguments: list[str]
    stdin: str = field(default="", repr=False)


def command(seed: int, number: int) -> Command:
    """The command of this number: one or two hostile values among sound ones."""
    rng = random.Random(f"options/{seed}/{number}")  # noqa: S311
    kind = rng.choice(("relax", "relax", "convert", "convert", "evaluate", "evaluate", "evaluate", "energy"))
    hostile = _HOSTILE[kind] | _COMMON
    given = dict(_SOUND[kind])
    for name in rng.sample(list(hostile), rng.choice((1, 1, 2, 3))):
        given[name] = rng.choice(hostile[name]) if hostile[name] else None
    if "--format" in given:
        given["--output" if kind == "relax" else " "] = rng.choice(_FOLDERS)
    if rng.random() < 0.1:
        given.pop(rng.choice(list(given)))
    arguments = [kind]
    for name, value in given.items():
        arguments += [*([name] if name.strip() else []), *([] if value is None else [value])]
    return Command(number, arguments, rng.choice(("", _FRAME, "rubbish", _FRAME * 2)))


def prepare(folder: Path) -> None:
    """The files that commands are let loose on."""
    crystals = [salt("mp-1"), triclinic("mp-2")]
    ase.io.write(folder / "in.extxyz", crystals)
    ase.io.write(folder / "in.cif", crystals[1])
    ase.io.write(folder / "POSCAR", crystals[0], format="vasp")
    ase.io.write(folder / "copper.extxyz", bulk("Cu", "fcc", 3.61))
    (folder / "folder").mkdir()
    shutil.copy(folder / "in.cif", folder / "folder" / "in.cif")
    (folder / "data").mkdir()
    shutil.copy(folder / "in.extxyz", folder / "data" / "val.extxyz")
    (folder / "bad.extxyz").write_text((folder / "in.extxyz").read_text() + "2\nno lattice\nNa 0 0 0\n")
    (folder / "empty.cif").touch()
    (folder / "link.cif").symlink_to("in.cif")
    tiny_model(folder / "model", elements=[1, 8, 11, 16, 17, 29], strain_limit=9)
    shutil.copytree(folder / "model", folder / "broken")
    (folder / "broken" / "model.yaml").write_text("features: [")


def judge(given: Command, prepared: Path, folder: Path) -> Verdict:
    """Run the command in an empty folder with a copy of what was prepared.

    Args:
        given: The command.
        prepared: What `prepare` made.
        folder: Where to work; emptied first.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(prepared, folder, symlinks=True)
    before = _contents(folder)
    here = Path.cwd()
    os.chdir(folder)
    os.environ["EMPNN_CACHE"] = str(folder / "cache")
    started = time.perf_counter()
    try:
        result = CliRunner().invoke(app, given.arguments, input=given.stdin)
        trouble = _trouble(given, result, before)
    finally:
        os.chdir(here)
    seconds = time.perf_counter() - started
    words = f"{given.arguments}: {trouble}"
    return Verdict(f"FAILURE: {words}" if trouble else f"exit {result.exit_code}", result.stderr[-300:], seconds)


def _trouble(given: Command, result: Result, before: dict[str, bytes]) -> str:
    """What must not be."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"{type(result.exception).__name__} escaped: {result.exception}"
    if "Traceback" in result.output or result.exit_code not in (0, 1, 2):
        return f"exit {result.exit_code}: {result.output[-200:]}"
    after = _contents(Path())
    changed = [name for name, content in before.items() if after.get(name) != content and not _is_named(name, given)]
    if changed:
        return f"changed {changed}"
    if result.exit_code and not result.stderr.strip():
        return "an error without a word"
    if result.exit_code == 1 and any(not line.isprintable() for line in result.stderr.splitlines()):
        return "an error that is not printable"
    return _nonsense(given, result)


def _is_named(name: str, given: Command) -> bool:
    """Whether an argument names the file or a link to it, so that it may be written, and it is not what is read."""
    names = ("in.cif", "link.cif") if name in ("in.cif", "link.cif") else (Path(name).name,)
    typed = any(one in value for one in names for value in given.arguments)
    return typed and name not in ("in.extxyz", "copper.extxyz")


def _nonsense(given: Command, result: Result) -> str:
    if "--help" in given.arguments or result.exit_code == 2:
        return ""
    try:
        shown = (
            json.loads(result.stdout, parse_constant=_no_number)
            if "--json" in given.arguments and result.stdout
            else None
        )
    except ValueError as error:
        return f"no JSON: {error}"
    if result.exit_code:
        return ""
    if given.arguments[0] == "evaluate":
        return "" if shown is None else _bad_figures(shown)
    places = [Path(value) for value in given.arguments if value.startswith("out") and "/" not in value]
    missing = [str(place) for place in places if not place.exists()]
    if missing:
        return f"no {missing}"
    bad = [record.label for place in places for record in read(place) if not _is_sound(record.atoms)]
    return f"unusable {bad}" if bad else ""


def _bad_figures(shown: dict[str, Any]) -> str:
    bad = [key for key in ("noise_lengths", "lengths_mae", "angles_mae", "lengths_removed") if shown.get(key) is None]
    return f"figures that are none: {bad}" if bad and shown.get("sigma") != 0 else ""


def _is_sound(atoms: Any) -> bool:
    return atoms is not None and bool(np.isfinite(atoms.positions).all()) and atoms.get_volume() > 1


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _contents(folder: Path) -> dict[str, bytes]:
    """The files that were there and must stay as they are; models are left out, for nothing writes to them."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(("out", "."))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.suffix != ".safetensors"}
