"""What a user has: a folder of 200 CIFs from five programs. A folder of 200 CIFs comes out, of the same names."""

import json
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from support.programs import PROGRAMS
from support.relaxing import run

from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import to_atoms
from empnn.data.reading import read
from empnn.data.sets import load_split, locate_all

EACH = 40


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Forty strained crystals by each program, relaxed ones by pymatgen, which looks for their symmetry."""
    monkeypatch.chdir(tmp_path)
    stored = load_split(locate_all(None, "sample"), "train").stored
    crystals = stored.select(np.linspace(0, len(stored) - 1, EACH * len(PROGRAMS)).astype(int))
    strained = to_atoms(with_fixed_noise(crystals, 0.05, 0))
    Path("candidates").mkdir()
    for index, pair in enumerate(zip(to_atoms(crystals), strained, strict=True)):
        name = list(PROGRAMS)[index % len(PROGRAMS)]
        text = PROGRAMS[name](pair[name != "pymatgen"])
        Path(f"candidates/{name}-{index:03d}.cif").write_text(text)
    return Path("candidates")


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir() if not path.name.startswith(".")}


def elements(atoms: Atoms) -> list[int]:
    return sorted(atoms.numbers.tolist())


def test_a_folder_of_cifs_from_five_programs(folder):
    given = contents(folder)
    assert len(given) == EACH * len(PROGRAMS) == 200
    command = ("relax", "candidates", "-o", "relaxed/", "--format", "cif")
    first = run(*command, "--json")
    assert first.exit_code == 0, first.stderr
    assert first.stderr.splitlines()[-1].endswith(" 0 skipped; wrote 200 files to relaxed")
    report = json.loads(first.stdout)["structures"]
    assert [Path(one["file"]).stem for one in report] == [one["id"] for one in report]
    relaxed = contents(Path("relaxed"))
    assert set(relaxed) == set(given)
    for name in given:
        (before,), (after,) = (list(read(place / name)) for place in (folder, Path("relaxed")))
        assert (before.id, after.id) == (name.removesuffix(".cif"),) * 2
        assert after.atoms.numbers.tolist() == before.atoms.numbers.tolist()
        assert after.atoms.info["empnn_source"] == f"candidates/{name}[0]"
        assert after.atoms.info["empnn_status"] in ("relaxed", "unchanged", "suspect")
        assert b"_empnn_ase" not in relaxed[name]
    for name in sorted(given)[::10]:
        ours = next(read(Path("relaxed") / name)).atoms
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            others = {
                "ase": ase.io.read(Path("relaxed") / name),
                "pymatgen": AseAtomsAdaptor.get_atoms(Structure.from_file(Path("relaxed") / name)),
            }
        for atoms in others.values():
            assert elements(atoms) == elements(ours)
            assert atoms.get_volume() == pytest.approx(ours.get_volume(), rel=1e-6)

    resumed = run(*command, "--resume", "--json")
    assert resumed.stderr.splitlines()[-1].endswith("; 200 had been done before; wrote 200 files to relaxed")
    assert json.loads(resumed.stdout)["structures"] == report
    assert contents(Path("relaxed")) == relaxed

    again = run(*command)
    assert again.stderr.splitlines()[-1].endswith("wrote 200 files to relaxed, 200 of them in place of earlier ones")
    assert contents(Path("relaxed")) == relaxed
    assert contents(folder) == given
