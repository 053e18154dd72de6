"""What the benchmarks of energies make of results: choice of crystals, summaries, tables and the plot."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.energy.candidates_report import accuracy, saved
from benchmarks.energy.candidates_report import draw as draw_candidates
from benchmarks.energy.energy_report import BLOCKS, draw, fill_all, load
from benchmarks.energy.energy_sets import ROW, Triple, merge, options_of, small_ones
from benchmarks.energy.relaxed_candidates import summary as saved_of
from benchmarks.energy.steps_saved import summary
from empnn.crystals import CrystalBatch, from_arrays


def crystal(numbers, a):
    frac = np.linspace(0, 0.9, len(numbers))[:, None] * np.ones(3)
    return from_arrays(a * np.eye(3), frac, np.array(numbers))


def test_small_crystals(monkeypatch):
    monkeypatch.setattr("benchmarks.energy.energy_sets.valence", lambda number: number % 18)
    given = [[11, 17], [11], [43, 17], [1] * 9, [58, 8], [84, 8], [4] * 8, [8] * 5, [11, 17]]
    batch = CrystalBatch.cat([crystal(numbers, 4.0 if i < 8 else 5.0) for i, numbers in enumerate(given)])
    assert small_ones(batch) == [0, 6]


def start(steps, energy, status="converged"):
    return {"status": status, "steps": steps, "seconds": 2.0 * steps, "energy_per_atom": energy}


def test_steps_saved_by_hand():
    crystals = [
        {"index": 0, "noisy": start(10, -1.0), "denoised": start(4, -1.0005)},
        {"index": 1, "noisy": start(20, -1.0), "denoised": start(4, -1.1)},
        {"index": 2, "noisy": start(12, -1.0), "denoised": start(6, -0.9)},
        {"index": 3, "noisy": start(200, -1.0, "not-converged"), "denoised": start(6, -1.0)},
        {"index": 4, "noisy": {"status": "failed", "message": "no"}, "denoised": start(6, -1.0)},
    ]
    figures = summary(crystals)
    assert [figures[f"converged_from_{start}"] for start in ("both", "noisy", "denoised")] == [3, 3, 5]
    assert (figures["steps_from_noisy"], figures["steps_from_denoised"], figures["steps_saved"]) == (12, 4, 6)
    assert (figures["seconds_from_noisy"], figures["seconds_saved"]) == (24.0, 12.0)
    assert (figures["same_energy"], figures["lower_from_denoised"], figures["lower_from_noisy"]) == (1, 1, 1)
    assert figures["largest_difference"] == pytest.approx(0.1)
    assert summary(crystals[3:])["steps_from_noisy"] is None


def rows():
    denoising = {"lengths_mae": 0.1, "angles_mae": 1.0, "lengths_improvement": 0.3, "angles_improvement": 4.0}
    removed = {"lengths_removed": 0.75, "angles_removed": 0.8, "seconds_per_crystal": 0.01, "n": 4}
    named = {"data": "mp_20", "crystals": "first"}
    gains = {"n": 2, "energy": -0.1234, "percent_lower": 100.0, "strain_energy": 0.2, "recovered": 0.6}
    return {
        "energies": [{**named, "oracle": "sevennet", **gains, "recovered_median": None}],
        "relaxers": [
            {**named, "relaxer": "empnn", **denoising, **removed},
            {**named, "relaxer": "chgnet", **denoising, **removed, "converged": 3, "seconds_per_crystal": 4.0},
            {**named, "relaxer": "nothing", **denoising, **removed, "seconds_per_crystal": 0.0},
        ],
        "steps_saved": [{**named, "oracle": "chgnet", "n": 1, **summary([])}],
        "convergence": [
            {"crystal": "C2", "kpoints": [7, 7, 7], "cutoff": 500.0, "kind": "kpoints", "value": "7x7x7"}
            | {"energy_per_atom": -9.083, "energy_error": 0.0004, "pressure_gpa": 0.41},
        ],
    }


def test_tables_and_plot(tmp_path):
    for name, content in rows().items():
        merge(tmp_path / f"{name}.json", "what it is", content, ("data",) if name != "convergence" else ("crystal",))
    page = tmp_path / "page.md"
    page.write_text("\n".join(f"Before.\n<!-- {marker} -->\nold\n<!-- /{marker} -->" for marker in BLOCKS) + "\nEnd.\n")
    fill_all(page, tmp_path)
    text = page.read_text()
    assert "old" not in text
    assert "| mp_20 | 2 first | sevennet | -0.1234 | 100 % | 0.2000 | 0.600 |  |" in text
    assert "| mp_20 | 4 first | chgnet | 0.100 Å / 1.00° | 0.300 / 4.00 | 0.750 / 0.800 | 4 | 3 of 4 |" in text
    assert "| C2 | 7x7x7 | 500 | kpoints 7x7x7 | -9.0830 | 0.4 | 0.41 |" in text
    assert "](images/accuracy_time.png)" in text
    assert text.endswith("End.\n")
    fill_all(page, tmp_path)
    assert page.read_text() == text
    draw(load(tmp_path, "relaxers"), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_rows_of_other_settings_stay(tmp_path):
    path = tmp_path / "energies.json"
    named = {"data": "mp_20", "crystals": "small", "oracle": "gpaw", "n": 1, "energy": -0.1, "percent_lower": 100.0}
    row = {**named, "strain_energy": None, "recovered": None, "recovered_median": None}
    rows = [{**row, "cutoff": cutoff, "kpoint_density": 2.5} for cutoff in (500.0, 800.0)]
    for one in (rows[0], rows[1], rows[0]):
        merge(path, "what", [one], ROW)
    assert json.loads(path.read_text())["rows"] == [rows[1], rows[0]]
    text = BLOCKS["energies"][1](rows)
    assert "| gpaw | -0.1" in text
    assert "| gpaw, 800 eV, 2.5/Å | -0.1" in text


def test_options_are_recorded_as_they_were_used():
    chosen = Triple("mp_20", "small", [4], {"original": CrystalBatch.cat([crystal([6, 6], 3.0)])})
    options = SimpleNamespace(cutoff=800.0, kpoint_density=2.0)
    assert options_of(chosen, "gpaw", options) == [{"cutoff": 800.0, "kpoints": [5, 5, 5]}]
    assert options_of(chosen, "chgnet", options) == [{}]


def test_rows_of_other_runs_stay(tmp_path):
    path = tmp_path / "result.json"
    merge(path, "what", [{"data": "a", "n": 1}, {"data": "b", "n": 1}], ("data",))
    merge(path, "what", [{"data": "b", "n": 2}], ("data",))
    assert json.loads(path.read_text())["rows"] == [{"data": "a", "n": 1}, {"data": "b", "n": 2}]


def candidate(oracle, mode, which="first", **more):
    figures = {"strain_median": 0.012, "strain_mean": 0.039, "volume_median": 1.2, "strain_worse": 0.04}
    atoms = {"positions_median": 0.0, "positions_mean": 0.04, "seconds_per_crystal": 0.5, "n": 6}
    return {"crystals": which, "oracle": oracle, "mode": mode, **figures, **atoms, **more}


def ends(raw, ours, same):
    def one(steps):
        return {"converged": True, "steps": steps, "seconds": 2.0 * steps}

    return {"index": 0, "raw": one(raw), "ours": one(ours), "same": same}


def test_tables_and_plot_of_candidates(tmp_path):
    spent = saved_of([ends(10, 4, True), ends(20, 30, False), ends(8, 4, True)])
    rows = [
        candidate("gpaw", "saved", "small", cutoff=500.0, kpoint_density=2.5) | spent,
        candidate("chgnet", "accuracy, all"),
        candidate("empnn", "accuracy"),
        candidate("nothing", "accuracy", seconds_per_crystal=0.0),
        candidate("dls", "accuracy", seconds_per_crystal=None),
    ]
    lines = accuracy(rows).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == [
        *("as decorated", "DLSVolumePredictor", "**`pbe`**", "CHGNet, all")
    ]
    assert lines[2].endswith("| 4 % |  |")
    assert lines[5] == "| 6 first | CHGNet, all | 0.0120 / 0.0390 | 1.2 % | 0.000 / 0.040 Å | 4 % | 0.5 |"
    steps = saved(rows).splitlines()[2:]
    assert steps == ["| 3 small | gpaw | 2 | 9.0 → 4.0 | 55 % | 38 → 38 | 0 % | 18.00 → 8.00 | 76 → 76 |"]
    draw_candidates(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"
