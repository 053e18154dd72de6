"""`empnn reconstruct` on files."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from support.cubes import trained_on_cubes
from typer.testing import CliRunner

from empnn.cli import app
from empnn.models import card_of
from empnn.relax.reconstruct.bases import MOST_BASES
from empnn.relax.reconstruct.files import AT_HALVES


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_on_cubes(tmp_path_factory.mktemp("cubes"))


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["reconstruct", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_cell_of_the_input_makes_no_difference(network: Path, tmp_path: Path) -> None:
    right = bulk("Cu", "fcc", a=3.61)
    wrong = Atoms("Cu", cell=[[9, 1, 0], [0, 1, 0], [0, 0, 30]], pbc=True)
    ase.io.write(tmp_path / "in.extxyz", [right, wrong])
    code, out, err = invoke(tmp_path / "in.extxyz", "-o", tmp_path / "out.extxyz", "--model", network, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["reconstructed"] == 2
    assert all(one["change"].keys() >= {"steps", "residual"} for one in found["structures"])
    first, second = ase.io.read(tmp_path / "out.extxyz", ":")
    np.testing.assert_allclose(first.cell.cellpar(), second.cell.cellpar(), rtol=1e-6)
    assert first.info["empnn_status"] in ("reconstructed", "suspect")
    assert first.get_volume() > 5


def test_training_on_cubes_is_noted_in_the_card_and_approaches_the_cells(network: Path, tmp_path: Path) -> None:
    card = card_of(network)
    assert card["from_cube"] is True
    assert card["selection"]["cube_strain_mean"] < 0.5 * card["selection"]["cube_strain_mean_before"]


def test_what_cannot_be_reconstructed_is_named_and_the_rest_comes_out(network: Path, tmp_path: Path) -> None:
    flat = Atoms("Cu", cell=[[1, 0, 0], [0, 1, 0], [1, 1, 0]], pbc=True)
    twice = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 1e-4]], cell=[4, 4, 4], pbc=True)
    ase.io.write(tmp_path / "in.extxyz", [flat, bulk("Al"), twice])
    code, _, err = invoke(tmp_path / "in.extxyz", "-o", tmp_path / "out.extxyz", "--model", network)
    assert code == 1
    assert "in.extxyz[0]" in err
    assert "in.extxyz[2]" in err
    assert len(ase.io.read(tmp_path / "out.extxyz", ":")) == 1


def test_a_network_for_cubes_relaxes_nothing_and_one_for_strains_reconstructs_nothing(
    network: Path, tmp_path: Path
) -> None:
    ase.io.write(tmp_path / "in.extxyz", bulk("Al"))
    result = CliRunner().invoke(
        app, ["relax", str(tmp_path / "in.extxyz"), "-o", str(tmp_path / "o.cif"), "--model", str(network)]
    )
    assert result.exit_code == 1
    assert "reconstruct" in result.stderr
    code, _, err = invoke(tmp_path / "in.extxyz", "-o", tmp_path / "out.extxyz", "--model", "mp-20")
    assert code == 1
    assert "not trained to start from a cube" in err


def test_coordinates_that_fit_several_cells_are_noted(network: Path, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "in.extxyz", [bulk("NaCl", "rocksalt", a=5.6), bulk("NaCl", "zincblende", a=5.6)])
    code, out, err = invoke(tmp_path / "in.extxyz", "-o", tmp_path / "out.extxyz", "--model", network, "--json")
    assert code == 0, err
    halves, quarters = json.loads(out)["structures"]
    assert AT_HALVES in halves["warnings"]
    assert AT_HALVES not in quarters["warnings"]


def test_starts_are_ranked_by_an_oracle(network: Path, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "in.extxyz", bulk("CuAu", "zincblende", a=5.0))
    written = ("-o", tmp_path / "out.extxyz", "--model", network, "--json", "--starts", 2)
    lowest = ("--rank", "ase.calculators.emt:EMT", "--store", tmp_path / "store")
    energies = []
    for rank in (lowest, ("--rank", "agreement")):
        code, out, err = invoke(tmp_path / "in.extxyz", *written, *rank)
        assert code == 0, err
        found = ase.io.read(tmp_path / "out.extxyz")
        found.calc = EMT()
        energies.append(found.get_potential_energy())
    assert energies[0] <= energies[1] + 2e-3
    # An element that the oracle does not have.
    ase.io.write(tmp_path / "other.extxyz", bulk("NaCl", "rocksalt", a=5.6))
    code, out, err = invoke(tmp_path / "other.extxyz", *written, *lowest)
    assert code == 0, err
    warnings = json.loads(out)["structures"][0]["warnings"]
    assert "ase.calculators.emt:EMT finds the energy of none of its cells; agreement chose" in warnings
    code, _, err = invoke(tmp_path / "in.extxyz", *written, "--rank", "nonsense")
    assert code == 1
    assert "nonsense" in err


def test_starts_are_of_the_given_basis_by_default_and_without_a_rank_there_is_one(
    network: Path, tmp_path: Path
) -> None:
    ase.io.write(tmp_path / "in.extxyz", bulk("CuAu", "zincblende", a=5.0))
    written = (tmp_path / "in.extxyz", "-o", tmp_path / "out.extxyz", "--model", network, "--json")

    def answer(*options: object) -> dict[str, object]:
        code, out, err = invoke(*written, *options)
        assert code == 0, err
        found: dict[str, object] = json.loads(out)["structures"][0]["change"]
        return found

    assert answer() == answer("--bases", 1, "--starts", 4)
    assert answer("--rank", "none")["steps"] == 0
    for more in (("--bases", 13), ("--starts", 2)):
        assert "the cube in the given basis" in invoke(*written, "--rank", "none", *more)[2]


def test_options_that_do_not_fit_each_other_are_refused(network: Path, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "in.extxyz", bulk("Cu"))
    common = (tmp_path / "in.extxyz", "-o", tmp_path / "out.extxyz", "--model", network)
    code, _, err = invoke(*common, "--starts", 24, "--bases", 3)
    assert code == 1
    assert "--starts 24: 3 bases have 23 starts; give more --bases" in err
    code, _, err = invoke(*common, "--rank", "chgnte")
    assert code == 1
    assert "--rank chgnte: choose agreement, residual, errors, none or an oracle; did you mean chgnet?" in err
    code, _, err = invoke(*common, "--rank", "vasp-inputs", "--option", "nonsense=1", "--bases", 3)
    assert code == 1
    assert "nonsense" in err
    assert "choose agreement" not in err
    code, _, err = invoke(*common, "--bases", 3, "--workers", 2)
    assert code == 1
    assert "which --rank agreement does not name" in err
    assert not (tmp_path / "out.extxyz").exists()
    code, _, err = invoke(*common, "--bases", MOST_BASES + 1)
    assert code == 2
    assert str(MOST_BASES) in err
