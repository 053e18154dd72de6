"""Some hundred damaged files; benchmarks/fuzz.py judges 20,000."""

import warnings
from pathlib import Path

import ase.io
import pytest
from support import fuzzing, judges
from support.relaxing import triclinic
from support.zoo import ALL

import empnn.data
from empnn.crystals import to_atoms
from empnn.data.reading import read

SEED = 5
CASES = 360
BATCH = 90


@pytest.fixture(scope="module")
def texts():
    samples = ase.io.read(Path(empnn.data.__file__).parent / "samples" / "strained.extxyz", ":")
    return fuzzing.texts_of([*samples[:4], triclinic("mp-3"), *to_atoms(ALL)[:3]])


@pytest.mark.parametrize("first", range(0, CASES, BATCH))
def test_damaged_files_are_refused_in_words_or_read_as_others_read_them(texts, tmp_path, first):
    outcomes = []
    for number in range(first, first + BATCH):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdict = judges.judge(fuzzing.case(texts, SEED, number), tmp_path)
        assert not verdict.failed, (number, verdict)
        assert verdict.seconds < 5
        outcomes.append(verdict.outcome)
    assert 0.2 < outcomes.count("refused") / BATCH < 0.9


def test_a_case_is_told_by_its_seed_and_number(texts):
    assert fuzzing.case(texts, 1, 17) == fuzzing.case(texts, 1, 17)
    assert len({fuzzing.case(texts, seed, 17).content for seed in range(20)}) > 15


def test_whole_texts_are_read_by_all(texts, tmp_path):
    for kind, variants in texts.items():
        for text in variants[:6]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                verdict = judges.judge(fuzzing.Case(0, kind, text.encode(), ()), tmp_path)
            assert verdict.outcome.count("+") == 1, (verdict, text)


def test_the_judge_sees_nonsense(monkeypatch, texts, tmp_path):
    """A reader that mixes up two axes must not pass."""

    def mixed_up(path):
        for record in read(path):
            record.atoms.set_cell(record.atoms.cell.array[[1, 0, 2]], scale_atoms=True)
            yield record

    monkeypatch.setattr(judges, "read", mixed_up)
    for kind, text in {"cif": texts["cif"][20], "poscar": texts["poscar"][24], "extxyz": texts["extxyz"][24]}.items():
        verdict = judges.judge(fuzzing.Case(0, kind, text.encode(), ()), tmp_path)
        assert verdict.outcome == "FAILURE: nonsense"


def test_the_judge_sees_what_escapes(monkeypatch, texts, tmp_path):
    def fail(path):
        raise RecursionError("deep")

    monkeypatch.setattr(judges, "read", fail)
    verdict = judges.judge(fuzzing.Case(0, "cif", texts["cif"][0].encode(), ()), tmp_path)
    assert (verdict.outcome, verdict.detail) == ("FAILURE: escaped", "RecursionError: deep")
