"""Some hundred hostile files, commands and objects, and valid files; benchmarks/quality/fuzz.py judges 20,000."""

import itertools
import random
import warnings
from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from ase.spacegroup import crystal
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from support import fuzzing, judges, objects, options, semantics
from support.readings import reading_of, same
from support.relaxing import salt, triclinic
from support.rewriting import DOUBTFUL, VALID, Source
from support.zoo import ALL

import empnn.data
from empnn.crystals import to_atoms
from empnn.data.reading import read

SEED = 5
SAMPLES = Path(empnn.data.__file__).parent / "samples" / "strained.extxyz"


@pytest.fixture(scope="module")
def texts():
    return fuzzing.texts_of([*ase.io.read(SAMPLES, ":")[:4], triclinic("mp-3"), *to_atoms(ALL)[:3]])


@pytest.fixture(scope="module")
def sources():
    """Crystals of all systems: strained ones, oxides, gallium and those of the zoo."""
    trigonal, cubic = [4.7, 4.7, 13, 90, 90, 120], [8.08, 8.08, 8.08, 90, 90, 90]
    corundum = crystal(["Al", "O"], [(0, 0, 0.352), (0.306, 0, 0.25)], spacegroup=167, cellpar=trigonal)
    places = [(0.276, 0.041, 0.208), (0.07, 0.336, 0.341), (0.442, 0.745, 0.479)]
    baddeleyite = crystal(["Zr", "O", "O"], places, spacegroup=14, cellpar=[5.17, 5.23, 5.34, 90, 99.2, 90])
    rutile = crystal(["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.96, 90, 90, 90])
    spots = [(0.125, 0.125, 0.125), (0.5, 0.5, 0.5), (0.263, 0.263, 0.263)]
    spinel = crystal(["Mg", "Al", "O"], spots, spacegroup=227, setting=2, cellpar=cubic, primitive_cell=True)
    gallium = crystal(["Ga"], [(0, 0.154, 0.081)], spacegroup=64, cellpar=[4.52, 7.66, 4.53, 90, 90, 90])
    known = [corundum, baddeleyite, rutile, spinel, gallium, salt(), triclinic(), *to_atoms(ALL)[:5]]
    chosen = [*ase.io.read(SAMPLES, ":")[:4], *known]
    return [Source(Atoms(one.numbers, cell=one.cell, positions=one.positions, pbc=True)) for one in chosen]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("SPGLIB_WARNING", "OFF")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def judged(case, folder):
    verdict = judges.judge(case, folder)
    assert not verdict.failed, (case.number, case.damage, verdict)
    assert verdict.seconds < 5
    return verdict.outcome


@pytest.mark.parametrize("first", range(0, 240, 80))
def test_damaged_files_are_refused_in_words_or_read_as_others_read_them(texts, tmp_path, first):
    outcomes = [judged(fuzzing.case(texts, SEED, number), tmp_path) for number in range(first, first + 80)]
    assert 0.2 < outcomes.count("refused") / 80 < 0.9


@pytest.mark.parametrize("first", range(0, 240, 80))
def test_files_of_another_meaning_are_refused_doubted_or_read_right(sources, tmp_path, first):
    outcomes = [judged(semantics.case(sources, SEED, number), tmp_path) for number in range(first, first + 80)]
    assert 0.2 < outcomes.count("refused") / 80 < 0.8
    assert outcomes.count("doubted") > 3


@pytest.mark.parametrize("kind", [*VALID, *DOUBTFUL])
def test_valid_files_are_read_and_right(sources, tmp_path, kind):
    rewriting = (VALID | DOUBTFUL)[kind]
    rng = random.Random(kind)  # noqa: S311
    rewrites = filter(None, (rewriting(source, rng) for source in rng.sample(sources, len(sources))))
    found = 0
    for rewrite in itertools.islice(rewrites, 5):
        path = tmp_path / rewrite.name
        path.write_bytes(rewrite.content)
        ((atoms, why),) = map(judges.accepted, read(path))
        if kind in VALID:
            assert atoms is not None, why
            assert why == ""
        if atoms is not None and not why:
            found += 1
            assert same(reading_of(atoms), rewrite.crystal), rewrite.content.decode("latin-1")
    assert found > 0 or kind in DOUBTFUL


def test_hostile_options(tmp_path, monkeypatch):
    monkeypatch.setenv("EMPNN_CACHE", "")
    (tmp_path / "prepared").mkdir()
    options.prepare(tmp_path / "prepared")
    for number in range(40):
        command = options.command(SEED, number)
        verdict = options.judge(command, tmp_path / "prepared", tmp_path / "work")
        assert not verdict.failed, (number, verdict)


def test_hostile_objects(tmp_path):
    judge = objects.Judge(tmp_path)
    for number in range(80):
        verdict = judge(SEED, number)
        assert not verdict.failed, (number, verdict)
        assert verdict.seconds < 5


def test_a_case_is_told_by_its_seed_and_number(texts, sources):
    assert fuzzing.case(texts, 1, 17) == fuzzing.case(texts, 1, 17)
    assert len({fuzzing.case(texts, seed, 17).content for seed in range(20)}) > 15
    assert semantics.case(sources, 1, 17).content == semantics.case(sources, 1, 17).content
    assert options.command(1, 17) == options.command(1, 17)


def test_whole_texts_are_read_by_all(texts, tmp_path):
    for kind, variants in texts.items():
        for text in variants[:6]:
            verdict = judges.judge(fuzzing.Case(0, kind, text.encode(), ()), tmp_path)
            assert verdict.outcome == {"cif": "book+pymatgen+ase", "poscar": "book+pymatgen", "extxyz": "book"}[kind]


def swapped(record):
    record.atoms.set_cell(record.atoms.cell.array[[1, 0, 2]], scale_atoms=True)


def without_one(record):
    del record.atoms[0]


def of_another_element(record):
    record.atoms.numbers[0] += 1


@pytest.mark.parametrize("mistake", [swapped, without_one, of_another_element])
def test_the_judge_sees_nonsense(monkeypatch, texts, tmp_path, mistake):
    """A reader that mixes up two axes, loses an atom or takes one for another must not pass."""

    def mistaken(path):
        for record in read(path):
            mistake(record)
            yield record

    monkeypatch.setattr(judges, "read", mistaken)
    for kind, text in {"cif": texts["cif"][20], "poscar": texts["poscar"][24], "extxyz": texts["extxyz"][24]}.items():
        verdict = judges.judge(fuzzing.Case(0, kind, text.encode(), ()), tmp_path)
        assert verdict.outcome == "FAILURE: silent difference"
        known = fuzzing.Case(0, kind, text.encode(), (), (reading_of(triclinic()),))
        assert judges.judge(known, tmp_path).outcome == "FAILURE: not what is written"


def test_the_judge_sees_flags_that_are_lost(monkeypatch, texts, tmp_path):
    def free(path):
        for record in read(path):
            record.atoms.set_constraint()
            yield record

    monkeypatch.setattr(judges, "read", free)
    selective = next(text for text in texts["poscar"] if "T T F" in text)
    verdict = judges.judge(fuzzing.Case(0, "poscar", selective.encode(), ()), tmp_path)
    assert verdict.outcome == "FAILURE: flags"


def test_the_judge_sees_what_escapes(monkeypatch, texts, tmp_path):
    def fail(path):
        raise RecursionError("deep")

    monkeypatch.setattr(judges, "read", fail)
    verdict = judges.judge(fuzzing.Case(0, "cif", texts["cif"][0].encode(), ()), tmp_path)
    assert (verdict.outcome, verdict.detail) == ("FAILURE: escaped", "RecursionError: deep")


def test_the_judge_of_objects_sees_nonsense(monkeypatch, tmp_path):
    judge = objects.Judge(tmp_path)
    monkeypatch.setattr(objects, "_ATOMS", {"no cell": (lambda atoms: atoms, objects.WRONG)})
    monkeypatch.setattr(objects, "_STRUCTURES", {"twice": (lambda s: s.make_supercell([2, 1, 1]), objects.WRONG)})
    assert any(judge(SEED, number).failed for number in range(20))


def test_settings_are_the_crystal_that_they_were_made_of(sources):
    matcher = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=0.5, scale=False)
    for source in sources:
        for setting in source.settings[:: max(1, len(source.settings) // 3)]:
            found = Structure(setting.cell, setting.numbers, setting.frac)
            assert matcher.fit(found, source.structure), setting.group
