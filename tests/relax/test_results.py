"""What relaxing gives back: sequences of many, one of one, both as text, tables and JSON."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Structure
from support.relaxing import salt, tiny_network, triclinic
from support.zoo import zoo

from empnn.crystals import from_arrays, to_batch, to_structures
from empnn.relax import Relaxation, Relaxer
from empnn.relax.changes import COLUMNS, GROUPS, columns
from empnn.relax.results import Relaxations

FLAT = Atoms("Cu", cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True)
ARRAYS = ("strain", "displacements", "trajectory")


@pytest.fixture(scope="module")
def relaxer():
    return Relaxer(tiny_network(deform=["cell", "positions"]), {"elements": [1, 8, 16, 29]})


@pytest.fixture(scope="module")
def many(relaxer):
    """One relaxed, one refused, and two, of which one of pymatgen, suspect for their elements."""
    return relaxer.relax([triclinic(), FLAT, salt(), to_structures(zoo("rocksalt"))[0]])


def test_many_are_a_sequence_of_ones(relaxer, many):
    assert isinstance(many, Relaxations)
    assert len(many) == 4
    assert [type(one) for one in many] == [Relaxation] * 4
    for index, one in enumerate(many):
        assert one.structures is many.structures[index]
        assert one.displacements is many.displacements[index]
        assert (one.status, one.warnings) == (many.status[index], many.warnings[index])
        assert np.array_equal(one.strain, many.strain[index], equal_nan=True)
        assert np.array_equal(one.trajectory, many.trajectory[index], equal_nan=True)
    assert many[-1].structures is many[np.int64(3)].structures is many.structures[3]
    with pytest.raises(IndexError):
        many[4]
    part = many[1:3]
    assert isinstance(part, Relaxations)
    assert part.structures == many.structures[1:3]
    assert part.strain.shape == (2, 3, 3)


def test_one_is_the_only_one_of_many(relaxer):
    one, (same,) = relaxer.relax(salt()), relaxer.relax([salt()])
    assert isinstance(one, Relaxation)
    assert one.as_dict() == same.as_dict()
    with pytest.raises(TypeError):
        len(one)
    with pytest.raises(TypeError):
        iter(one)


def test_what_was_refused_is_one_too(many):
    refused = many[1]
    assert (refused.structures, refused.displacements, refused.warnings) == (None, None, [])
    assert refused.status.startswith("refused: its lattice vectors are linearly dependent")
    assert np.isnan(refused.strain).all()
    assert refused.trajectory.shape == many[0].trajectory.shape


def test_text_is_short(relaxer, many):
    assert repr(many) == "Relaxations(2 suspect, 1 relaxed, 1 refused)"
    assert repr(relaxer.relax([])) == "Relaxations(none)"
    grown = many[0].structures.cell.volume / triclinic().cell.volume - 1
    volumes = f"volume {triclinic().cell.volume:.2f} to {many[0].structures.cell.volume:.2f} Å³ ({100 * grown:+.1f}%)"
    strain = np.sqrt((many[0].strain ** 2).sum())
    assert repr(many[0]) == f"Relaxation(CuHO2S relaxed, {volumes}, strain {strain:.3f})"
    assert abs(grown) > 0.05
    assert repr(many[1]) == f"Relaxation({many.status[1]})"


def test_a_table_of_many(relaxer, many):
    table = many.to_dataframe()
    assert list(table) == ["structure", "status", "warnings", *COLUMNS]
    assert table.structure.tolist() == many.structures
    assert isinstance(table.structure[3], Structure)
    assert (table.status.tolist(), table.warnings.tolist()) == (many.status, many.warnings)
    for row, one in enumerate(many):
        if one.change is None:
            assert table.loc[row, list(COLUMNS)].isna().all()
        else:
            assert table.loc[row, list(COLUMNS)].to_dict() == columns(vars(one.change))
    assert table[list(COLUMNS)].dtypes.tolist() == [np.float64] * len(COLUMNS)
    empty = relaxer.relax([]).to_dataframe()
    assert (list(empty), len(empty)) == (list(table), 0)
    alike = relaxer.relax([bulk("Cu"), bulk("Cu")]).to_dataframe()
    assert [type(one) for one in alike.structure] == [Atoms, Atoms]


def test_a_table_with_space_groups(relaxer, many):
    table = many.to_dataframe(space_groups=True)
    assert list(table) == [*many.to_dataframe(), "space_group_before", "space_group_after"]
    assert [tuple(row) for row in table[list(GROUPS)].to_numpy()] == [one.space_groups() for one in many]
    assert table.space_group_after.tolist() == ["P1 (1)", None, "P-1 (2)", "Fm-3m (225)"]
    assert len(relaxer.relax([]).to_dataframe(space_groups=True)) == 0


def test_as_dict_is_json_and_holds_the_crystals(relaxer, many):
    content = json.loads(json.dumps(many.as_dict(), allow_nan=False))
    words = {"status", "warnings", "errors", "symmetrized"}
    assert set(content) == {"structures", "strain", "displacements", "trajectory", *words}
    assert [{name: column[index] for name, column in content.items()} for index in range(4)] == [
        json.loads(json.dumps(one.as_dict(), allow_nan=False)) for one in many
    ]
    assert (content["status"], content["warnings"]) == (many.status, many.warnings)
    for name in ("structures", *ARRAYS):
        assert content[name][1] is None
    for name in ARRAYS:
        assert np.array_equal(content[name][0], getattr(many[0], name))
    for crystal, given in zip(content["structures"], many.structures, strict=True):
        if given is not None:
            read = from_arrays(*(np.array(crystal[name]) for name in ("cell", "frac", "numbers")))
            assert all(
                torch.equal(getattr(read, name), getattr(to_batch(given), name)) for name in ("cell", "frac", "numbers")
            )
    assert relaxer.relax([]).as_dict() == {name: [] for name in content}
