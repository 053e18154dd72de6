"""What is fixed comes back to the last bit, whoever fixed it: the caller, ASE's constraints, pymatgen's flags."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms, FixBondLength, FixCartesian, FixedPlane, FixScaled
from pymatgen.core import IStructure, Structure
from support.relaxing import salt, tiny_network, triclinic
from support.zoo import ALL

from empnn.crystals import from_atoms, to_structures
from empnn.errors import ConfigError, CrystalError
from empnn.relax import Relaxer
from empnn.relax.fixed import fixed_in

SAID = "fractional coordinates: fixed in the input"


@pytest.fixture(scope="module")
def relaxer() -> Relaxer:
    """In single precision, as users run it; atoms move by some tenths of an angstrom."""
    return Relaxer(tiny_network(scale=8.0, deform=["cell", "positions"]), {})


@pytest.fixture(scope="module")
def cells_only() -> Relaxer:
    return Relaxer(tiny_network(), {})


def frac(crystal: Atoms | IStructure) -> np.ndarray:
    return crystal.get_scaled_positions(wrap=False) if isinstance(crystal, Atoms) else crystal.frac_coords


def constrained(*constraints: object) -> Atoms:
    atoms = triclinic()
    atoms.set_constraint(list(constraints))
    return atoms


def brick(*constraints: object) -> Atoms:
    """Five atoms in a cell along the axes."""
    atoms = constrained(*constraints)
    atoms.set_cell([5.5, 7.0, 6.5], scale_atoms=True)
    return atoms


def flagged(flags: object, kind: type[IStructure] = Structure) -> IStructure:
    (structure,) = to_structures(from_atoms(triclinic()))
    structure.add_site_property("selective_dynamics", flags)
    return structure if kind is Structure else kind.from_sites(structure)


def negative_zeros() -> Atoms:
    atoms = brick()
    cell = atoms.cell.array.copy()
    cell[0, 1] = cell[2, 0] = -0.0
    atoms.set_cell(cell)
    return atoms


@pytest.mark.parametrize("passes", [1, 3])
def test_a_fixed_cell_stays_to_the_last_bit(relaxer: Relaxer, passes: int) -> None:
    given = [triclinic(), salt(), negative_zeros(), *to_structures(ALL)]
    result = relaxer.relax(given, passes=passes, fix="cell")
    for before, after, trajectory in zip(given, result.structures, result.trajectory, strict=True):
        cell, kept = ((c.cell if isinstance(c, Atoms) else c.lattice.matrix) for c in (before, after))
        for one in (kept, *trajectory):
            assert np.asarray(one).tobytes() == np.asarray(cell).tobytes()
    assert not result.strain.any()
    assert np.abs(result.displacements[0]).max() > 1e-2
    torch.testing.assert_close(
        torch.from_numpy(frac(result.structures[0])),
        torch.from_numpy(frac(given[0]) + result.displacements[0] @ np.linalg.inv(given[0].cell.array)),
    )
    relaxed = relaxer.relax_batch(ALL, passes, fix="cell").crystals
    assert torch.equal(relaxed.cell, ALL.cell)
    assert not torch.equal(relaxed.frac, ALL.frac)


@pytest.mark.parametrize("passes", [1, 3])
def test_fixed_positions_stay_to_the_last_bit(relaxer: Relaxer, passes: int) -> None:
    given = to_structures(ALL)
    result = relaxer.relax(given, passes=passes, fix="positions")
    for before, after, moved in zip(given, result.structures, result.displacements, strict=True):
        assert np.array_equal(after.frac_coords, before.frac_coords)
        assert not moved.any()
        assert not np.allclose(after.lattice.matrix, before.lattice.matrix)
    relaxed = relaxer.relax_batch(ALL, passes, fix="positions").crystals
    assert torch.equal(relaxed.frac, ALL.frac)
    atoms = triclinic()
    assert np.abs(frac(relaxer.relax(atoms, fix="positions").structures) - frac(atoms)).max() < 1e-14


def test_where_all_atoms_are_fixed_it_is_as_if_all_positions_were(relaxer: Relaxer) -> None:
    by_input = relaxer.relax(constrained(FixAtoms(range(5))), passes=2)
    asked = relaxer.relax(triclinic(), passes=2, fix="positions")
    assert np.array_equal(by_input.trajectory, asked.trajectory)
    assert np.array_equal(by_input.structures.positions, asked.structures.positions)
    assert (by_input.warnings[-1], asked.warnings) == (f"5 atoms keep their {SAID}", by_input.warnings[:-1])
    still = relaxer.relax(constrained(FixAtoms(range(5))), fix="cell")
    assert still.status in ("unchanged", "suspect")
    assert np.array_equal(still.structures.positions, triclinic().positions)


ONLY_C = [[True] * 3, [True, True, False], [True] * 3, [True] * 3, [False, True, False]]
KINDS = {
    "FixAtoms": (constrained(FixAtoms([0, 3])), [0, 3], ""),
    "negative index": (constrained(FixAtoms([-1])), [4], ""),
    "truth values": (constrained(FixAtoms(mask=[True, False, False, True, False])), [0, 3], ""),
    "FixCartesian of all directions": (constrained(FixCartesian([2])), [2], ""),
    "FixScaled": (constrained(FixScaled([1, 4], [False, False, True])), [(1, 2), (4, 2)], "some of "),
    "FixCartesian along the axes": (brick(FixCartesian([1], [True, False, True])), [(1, 0), (1, 2)], "some of "),
    "FixedPlane": (brick(FixedPlane([3], [0, 1, 0])), [(3, 1)], "some of "),
    "flags": (flagged(np.array(ONLY_C)), [(1, 2), (4, 0), (4, 2)], "some of "),
    "flags of some": (flagged([None, [False] * 3, None, [False] * 3, None]), [1, 3], ""),
    "flags of an IStructure": (flagged([[0, 0, 0], *[[1, 1, 1]] * 4], IStructure), [0], ""),
}


@pytest.mark.parametrize("fix", [None, "cell"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_input_fixes_keeps_its_fractional_coordinates(relaxer: Relaxer, kind: str, fix: str | None) -> None:
    given, fixed, part = KINDS[kind]
    mask = np.zeros((5, 3), dtype=bool)
    for place in fixed:
        mask[place] = True
    assert np.array_equal(fixed_in(given)[0], mask)
    result = relaxer.relax([salt(), given], passes=2, fix=fix)[1]
    before, after = frac(given), frac(result.structures)
    if isinstance(given, Atoms):
        assert np.abs(after - before)[mask].max() < 1e-14
        same = np.array_equal(result.structures.positions[mask.all(1)], given.positions[mask.all(1)])
        assert same or fix is None
        assert list(map(repr, result.structures.constraints)) == list(map(repr, given.constraints))
    else:
        assert np.array_equal(after[mask], before[mask])
        assert str(result.structures.site_properties) == str(given.site_properties)
    moved = result.displacements @ np.linalg.inv(result.trajectory[-1])
    assert np.abs(moved[mask]).max() < 1e-14
    assert np.abs(moved[~mask]).min() > 1e-6
    assert not result.displacements[mask.all(1)].any()
    count = int(mask.any(1).sum())
    who, whose = ("1 atom keeps", "its") if count == 1 else (f"{count} atoms keep", "their")
    assert result.warnings[-1] == f"{who} {part}{whose} {SAID}"
    assert relaxer.relax(given, passes=2, fix="positions").warnings == result.warnings[:-1]


def test_it_stays_in_the_batch_to_the_last_bit(relaxer: Relaxer) -> None:
    """Coordinates of single directions too, which go through Cartesian displacements."""
    fixed = torch.rand(ALL.frac.shape, generator=torch.Generator().manual_seed(0)) < 0.4
    given = type(ALL)(cell=ALL.cell, frac=ALL.frac, numbers=ALL.numbers, batch=ALL.batch, fixed_frac=fixed)
    relaxed = relaxer.relax_batch(given, passes=2, batch_atoms=8).crystals
    assert torch.equal(relaxed.frac[fixed], ALL.frac[fixed])
    assert torch.equal(relaxed.fixed_frac, fixed)
    assert not torch.equal(relaxed.frac, ALL.frac)


def test_a_crystal_fixed_at_one_atom_is_the_same_crystal(relaxer: Relaxer) -> None:
    held, free = (relaxer.relax(one).structures for one in (constrained(FixAtoms([2])), triclinic()))
    assert held.cell.array == pytest.approx(free.cell.array, abs=1e-5)
    apart = frac(held) - frac(free)
    assert apart == pytest.approx(np.broadcast_to(apart[2], apart.shape), abs=1e-5)
    assert np.abs(apart[2]).max() > 1e-3


@pytest.mark.parametrize(
    ("constraint", "name"),
    [
        (FixCartesian([1], [False, False, True]), "FixCartesian"),
        (FixBondLength(0, 1), "FixBondLengths"),
        (FixedPlane([0], [1, 1, 1]), "FixedPlane"),
    ],
)
def test_what_cannot_be_kept_is_named(relaxer: Relaxer, constraint: object, name: str) -> None:
    free, result = relaxer.relax(triclinic()), relaxer.relax(constrained(constraint))
    assert result.warnings == [*free.warnings, f"constraints that fix no fractional coordinate are ignored: {name}"]
    assert result.status == free.status
    assert np.array_equal(result.structures.positions, free.structures.positions)
    both = relaxer.relax(constrained(constraint, FixAtoms([0]), FixScaled([3], [1, 0, 0])))
    assert [words.partition(":")[0] for words in both.warnings[len(free.warnings) :]] == [
        "1 atom keeps its fractional coordinates",
        "1 atom keeps some of its fractional coordinates",
        "constraints that fix no fractional coordinate are ignored",
    ]


def test_models_of_cells_have_nothing_to_say(cells_only: Relaxer) -> None:
    free = cells_only.relax(triclinic())
    for one in (cells_only.relax(constrained(FixAtoms([0]))), cells_only.relax(triclinic(), fix="positions")):
        assert np.array_equal(one.structures.positions, free.structures.positions)
        assert (one.warnings, one.status) == (free.warnings, free.status)


def test_a_cell_that_is_all_there_is_cannot_be_fixed(cells_only: Relaxer) -> None:
    said = r"`fix` cell: this model moves cells only; use one that moves atoms \(pbe\)"
    with pytest.raises(ConfigError, match=said):
        cells_only.relax([], fix="cell")
    with pytest.raises(ConfigError, match=said):
        cells_only.relax_batch(ALL, fix="cell")
    with pytest.raises(ConfigError, match=said):
        cells_only.relax_batch(ALL.fixing("cell"))


@pytest.mark.parametrize("wrong", ["cells", "", "Cell", "cell,positions", "none"])
def test_nothing_else_can_be_fixed(relaxer: Relaxer, wrong: str) -> None:
    for call in (lambda: relaxer.relax([], fix=wrong), lambda: relaxer.relax_batch(ALL, fix=wrong)):
        with pytest.raises(ConfigError, match=f"`fix` {wrong}: choose cell or positions"):
            call()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (constrained(FixAtoms([0, 9])), "its constraints name atoms that it does not have; correct or remove them"),
        (flagged([[True, False]] * 5), "selective_dynamics are not three truth values for each site"),
        (flagged([["T", "T", "F"]] * 5), "selective_dynamics are not three truth values for each site"),
        (flagged(["TTF", *[[True] * 3] * 4]), "selective_dynamics are not three truth values for each site"),
    ],
)
def test_what_is_said_badly_is_refused_alone(relaxer: Relaxer, bad: Atoms | Structure, message: str) -> None:
    result = relaxer.relax([bad, triclinic()])
    assert result.status[0].startswith(f"refused: {message}")
    assert result.structures[1] is not None
    with pytest.raises(CrystalError, match=message):
        relaxer.relax(bad)
    assert relaxer.relax([bad], fix="positions").structures[0] is not None


def test_batches_in_which_nothing_is_fixed_hold_no_marks(relaxer: Relaxer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    forward = relaxer.network.forward
    monkeypatch.setattr(
        relaxer.network, "forward", lambda crystals, graph: (seen.append(crystals), forward(crystals))[1]
    )
    relaxer.relax([triclinic(), constrained(FixBondLength(0, 1)), flagged([[True] * 3] * 5), bulk("Cu")])
    relaxer.relax([triclinic(), constrained(FixAtoms([1]))])
    assert [one.fixed_frac is None for one in seen] == [True, False]
    assert [one.fixed_cell for one in seen] == [None, None]
