import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.spacegroup import crystal as built_by_ase
from jaxtyping import TypeCheckError
from pymatgen.core import DummySpecies, Lattice, Structure
from support.zoo import ALL, LEFT_HANDED, PEROVSKITE, TRICLINIC, ZOO, zoo

from empnn.crystals import (
    CrystalBatch,
    from_arrays,
    from_atoms,
    from_structure,
    replace_cell,
    to_atoms,
    to_batch,
    to_structures,
    wrap,
)
from empnn.errors import ConfigError, CrystalError

CELL = TRICLINIC.cell[0].numpy()
OTHER_CELL = np.array([[4.0, 0.1, 0.2], [0.3, 5.0, -0.1], [-0.2, 0.4, 6.0]])


def assert_same(first: CrystalBatch, second: CrystalBatch, tolerance: float = 1e-13) -> None:
    torch.testing.assert_close(first.cell, second.cell, rtol=0, atol=tolerance)
    apart = first.frac - second.frac
    torch.testing.assert_close(apart - apart.round(), torch.zeros_like(apart), rtol=0, atol=tolerance)
    assert torch.equal(first.numbers, second.numbers)
    assert torch.equal(first.batch, second.batch)


@pytest.mark.parametrize("name", ZOO)
def test_round_trip_through_pymatgen_and_ase(name: str) -> None:
    crystal = ZOO[name]
    for written in (to_atoms(crystal), to_structures(crystal)):
        assert len(written) == 1
        assert_same(to_batch(written[0]), crystal, tolerance=1e-11)


def test_pymatgen_and_ase_agree_on_what_a_crystal_is() -> None:
    for atoms, structure in zip(to_atoms(ALL), to_structures(ALL), strict=True):
        assert atoms.pbc.all()
        np.testing.assert_allclose(atoms.cell.array, structure.lattice.matrix)
        np.testing.assert_allclose(atoms.positions, structure.cart_coords, atol=1e-12)
        assert atoms.get_chemical_symbols() == [site.specie.symbol for site in structure]
        same = Structure(atoms.cell.array, atoms.symbols, atoms.get_scaled_positions(wrap=False))
        assert same.matches(structure, scale=False) or len(structure) == 1


def test_positions_outside_the_cell_are_wrapped_inside() -> None:
    shifts = np.array([[0, 0, 0], [3, -2, 1], [-1, 0, 0], [0, 12, -7], [1, 1, 1]])
    frac = TRICLINIC.frac.numpy() + shifts
    numbers = TRICLINIC.numbers.numpy()
    atoms = Atoms(numbers=numbers, cell=CELL, positions=frac @ CELL, pbc=True)
    structure = Structure(Lattice(CELL), numbers, frac)
    for crystal in (atoms, structure):
        assert_same(to_batch(crystal), TRICLINIC, tolerance=1e-12)
        inside = to_batch(crystal).frac
        assert bool(((inside >= 0) & (inside < 1)).all())


@pytest.mark.parametrize(
    ("value", "wrapped"),
    [(-1e-17, 0.0), (1.0, 0.0), (0.0, 0.0), (-0.25, 0.75), (7.5, 0.5), (-3.0, 0.0), (1 - 2**-53, 1 - 2**-53)],
)
def test_wrap(value: float, wrapped: float) -> None:
    result = wrap(torch.tensor([[value] * 3], dtype=torch.float64))
    assert result.tolist() == [[wrapped] * 3]


def test_left_handed_cells_stay_left_handed() -> None:
    assert float(torch.linalg.det(LEFT_HANDED.cell)) < 0
    for written in (*to_atoms(LEFT_HANDED), *to_structures(LEFT_HANDED)):
        assert float(torch.linalg.det(to_batch(written).cell)) < 0


def test_sizes_and_starts() -> None:
    crystals = zoo("perovskite", "fcc", "hcp")
    assert len(crystals) == 3
    assert crystals.n_atoms == 8
    assert crystals.sizes.tolist() == [5, 1, 2]
    assert crystals.starts.tolist() == [0, 5, 6, 8]


def test_select_takes_structures_in_the_order_asked_for() -> None:
    crystals = zoo("perovskite", "fcc", "hcp")
    assert_same(crystals.select([2, 0, 2]), zoo("hcp", "perovskite", "hcp"), tolerance=0)
    assert_same(crystals.select(np.array([1])), zoo("fcc"), tolerance=0)
    assert len(crystals.select([])) == 0


def test_cat_undoes_select() -> None:
    assert_same(CrystalBatch.cat([ALL.select([i]) for i in range(len(ALL))]), ALL, tolerance=0)
    assert CrystalBatch.cat([]).n_atoms == 0


def test_marks_of_what_is_fixed_go_with_their_crystals() -> None:
    cells, atoms = zoo("fcc", "perovskite").fixing("cell"), zoo("hcp", "fcc").fixing("positions")
    together = CrystalBatch.cat([cells, zoo("triclinic"), atoms])
    assert together.fixed_cell.tolist() == [True, True, False, False, False]
    assert together.fixed_frac.all(1).tolist() == [False] * 11 + [True] * 3
    chosen = together.select([3, 1, 4])
    assert chosen.fixed_cell.tolist() == [False, True, False]
    assert chosen.fixed_frac.tolist() == [[True] * 3] * 2 + [[False] * 3] * 5 + [[True] * 3]
    assert torch.equal(chosen.with_cell(2 * chosen.cell).shifted(chosen.frac).fixed_frac, chosen.fixed_frac)
    for plain in (ALL, CrystalBatch.cat([ALL, ALL]), ALL.select([1]), ALL.fixing(None), ALL.to("meta")):
        assert plain.fixed_cell is plain.fixed_frac is None
    with pytest.raises(ConfigError, match="`fix` atoms: choose cell or positions"):
        ALL.fixing("atoms")


def test_to_moves_every_tensor_and_keeps_dtypes() -> None:
    moved = PEROVSKITE.fixing("cell").fixing("positions").to("meta")
    assert {t.device.type for t in vars(moved).values()} == {"meta"}
    assert moved.cell.dtype == torch.float64
    assert moved.numbers.dtype == torch.int64


def test_shapes_and_dtypes_are_checked() -> None:
    with pytest.raises(TypeCheckError):
        PEROVSKITE.with_cell(PEROVSKITE.cell.to(torch.float32))
    with pytest.raises(TypeCheckError):
        CrystalBatch(cell=PEROVSKITE.cell, frac=PEROVSKITE.frac[:4], numbers=PEROVSKITE.numbers, batch=PEROVSKITE.batch)


def _structure(species: list[object], frac: float = 0.0) -> Structure:
    return Structure(Lattice.cubic(4.0), species, [[frac, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("crystal", "message"),
    [
        (_structure([{"Fe": 0.5, "Ni": 0.5}, "O"]), r"site 0 .*disordered.*order the structure"),
        (_structure(["Fe", {"O": 0.9}]), r"site 1 .*partly occupied"),
        (_structure(["Fe", DummySpecies("Xa")]), r"site 1 .*dummy.*replace"),
        (_structure(["Fe", "O"], frac=np.nan), r"atom 0 has NaN"),
        (Structure(Lattice(np.full((3, 3), np.inf)), [], []), r"no atoms"),
        (Atoms("O", positions=[[0, 0, 0]]), r"no lattice.*three lattice vectors"),
        (Atoms("O", cell=[3, 3, 0], pbc=True), r"linearly dependent.*correct the cell"),
        (Atoms("OO", cell=[3, 3, 3], positions=[[0, 0, 0], [0, np.inf, 0]], pbc=True), r"atom 1 has NaN or infinite"),
        (Atoms("O", cell=[[3, 0, 0], [0, np.nan, 0], [0, 0, 3]], pbc=True), r"cell holds NaN.*correct"),
        (Atoms(cell=[3, 3, 3], pbc=True), r"no atoms"),
        (Atoms("X", cell=[3, 3, 3], pbc=True), r"atom 0 has atomic number 0.*replace"),
    ],
)
def test_what_is_no_crystal_is_refused(crystal: Atoms | Structure, message: str) -> None:
    with pytest.raises(CrystalError, match=message):
        to_batch(crystal)


def _marked(occupancy: object, kinds: list[int] | None = None) -> Atoms:
    atoms = bulk("Ni", "fcc", a=3.6, cubic=True)
    atoms.info["occupancy"] = occupancy
    if kinds is not None:
        atoms.set_array("spacegroup_kinds", np.array(kinds))
    return atoms


@pytest.mark.parametrize("kinds", [None, [0, 0, 0, 0], [1, 1, 0, 0]])
@pytest.mark.parametrize(
    "occupancy",
    [
        {"0": {"Fe": 0.5, "Ni": 0.5}},
        {0: {"Fe": 0.5, "Ni": 0.5}},
        {0: {"Fe": np.float64(0.5), "Ni": np.array(0.5)}},
        {"0": {"Ni": 0.9}},
        {"0": {"Ni": 0.0}},
        {"0": {"Ni": "0.5"}},
        {"0": {"Ni": np.nan}},
        {0: 0.5},
        "{'0': {'Fe': 0.5, 'Ni': 0.5}}",
        '{"0": {"Fe": 0.5, "Ni": 0.5}}',
        "{0: {'Ni': 0.25}}",
        [0.5, 1.0, 1.0, 1.0],
        np.array([0.5, 1.0, 1.0, 1.0]),
        [{"Fe": 0.5, "Ni": 0.5}],
        {"0": {"Ni": 1.0}, "1": {"Ni": 1.0}, 0: {"Fe": 0.5}},
    ],
)
def test_partial_occupancy_marked_by_ase_is_refused(occupancy: object, kinds: list[int] | None) -> None:
    with pytest.raises(
        CrystalError, match=r"site [02] \(.*is disordered or partly occupied; order the structure first"
    ):
        to_batch(_marked(occupancy, kinds))


@pytest.mark.parametrize(
    "occupancy",
    [
        *(
            {"0": {"Ni": 1.0}},
            {0: {"Ni": 1}},
            {"0": {"Ni": 1.0, "Fe": 0.0}},
            {"0": {"Ni": 0.9995}},
            {},
            None,
            "full",
            0.5,
        ),
        *('{"0": {"Ni": 1.0}}', "{broken", [1.0] * 4, np.ones(4), {"7": {"Fe": 0.5}}),
    ],
)
def test_full_occupancy_and_what_is_no_mark_are_fine(occupancy: object) -> None:
    assert to_batch(_marked(occupancy, [0, 0, 0, 0])).n_atoms == 4


@pytest.mark.parametrize(("share", "refused"), [(1.0, False), (0.5, True)])
def test_crystals_that_ase_builds(share: float, refused: bool) -> None:
    atoms = built_by_ase(
        ["Na", "Cl"], [(0, 0, 0), (0.5, 0, 0)], occupancies=[1.0, share], spacegroup=225, cellpar=[5.6] * 3 + [90] * 3
    )
    if refused:
        with pytest.raises(CrystalError, match=r"site 4 \(Cl:0.5\) is disordered or partly occupied"):
            from_atoms(atoms)
    else:
        assert from_atoms(atoms).n_atoms == 8


@pytest.mark.parametrize("name", ["occupancy", "occupancies"])
def test_occupancy_by_atom(name: str) -> None:
    atoms = bulk("Ni", "fcc", a=3.6, cubic=True)
    atoms.set_array(name, np.array([1.0, 1.0, 0.25, 1.0]))
    with pytest.raises(CrystalError, match=r"site 2 \(Ni:0.25\) is disordered or partly occupied"):
        from_atoms(atoms)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("positions", np.zeros((2, 2)), r"positions are float64 of shape \(2, 2\)"),
        ("positions", np.zeros((2, 3), dtype=complex), "positions are complex128"),
        ("positions", np.full((2, 3), "0"), "positions are str"),
        ("positions", None, "positions are object"),
        ("positions", np.eye(3), r"numbers are int64 of shape \(2,\), not whole numbers of shape \(3,\)"),
        ("numbers", np.array([11.5, 17.5]), "numbers are float64"),
        ("numbers", np.array([11.0, np.inf]), "numbers are float64"),
        ("numbers", np.array(["Na", "Cl"]), "numbers are str"),
        ("numbers", np.array([[11], [17]]), r"numbers are int64 of shape \(2, 1\)"),
        ("numbers", np.array([11]), r"numbers are int64 of shape \(1,\)"),
    ],
)
def test_arrays_of_another_shape_or_kind_are_refused(name: str, array: object, message: str) -> None:
    atoms = Atoms("NaCl", cell=np.eye(3) * 5.0, scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], pbc=True)
    atoms.arrays[name] = array
    with pytest.raises(CrystalError, match=f"^its .*{message}.*; correct them$"):
        from_atoms(atoms)


def test_arrays_of_another_kind_that_say_the_same_are_fine() -> None:
    atoms = Atoms("NaCl", cell=np.eye(3) * 5.0, scaled_positions=[[0, 0, 0], [0.2, 0.4, 0.6]], pbc=True)
    expected = from_atoms(atoms)
    atoms.arrays["numbers"] = atoms.numbers.astype(float)
    atoms.arrays["positions"] = atoms.positions.astype(int)
    assert torch.equal(from_atoms(atoms).numbers, expected.numbers)
    assert torch.allclose(from_atoms(atoms).frac, expected.frac)


def test_unknown_elements_are_refused() -> None:
    with pytest.raises(CrystalError, match="atomic number 119"):
        from_arrays(np.eye(3), np.zeros((2, 3)), np.array([1, 119]))


def test_other_objects_are_no_crystals() -> None:
    with pytest.raises(TypeError, match="dict"):
        to_batch({"cell": np.eye(3)})


def test_deuterium_is_hydrogen_and_charges_do_not_matter() -> None:
    assert from_structure(_structure(["D", "O2-"])).numbers.tolist() == [1, 8]


@pytest.mark.parametrize("shift", [0, 4])
def test_replace_cell_keeps_fractional_coordinates_as_written(shift: int) -> None:
    frac = TRICLINIC.frac.numpy() + shift * np.array([1, -1, 2])
    numbers = TRICLINIC.numbers.numpy()
    atoms = Atoms(numbers=numbers, cell=CELL, positions=frac @ CELL, pbc=True, info={"id": "a"})
    atoms.set_array("label", np.arange(5))
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = SinglePointCalculator(atoms, energy=1.0)
    moved = replace_cell(atoms, OTHER_CELL)
    np.testing.assert_allclose(moved.cell.array, OTHER_CELL)
    np.testing.assert_allclose(moved.get_scaled_positions(wrap=False), frac, atol=1e-12)
    assert moved.info == {"id": "a"}
    assert moved.arrays["label"].tolist() == [0, 1, 2, 3, 4]
    assert moved.calc is None
    assert moved.constraints[0].index.tolist() == [0]
    np.testing.assert_array_equal(atoms.cell.array, CELL)

    structure = Structure(Lattice(CELL), numbers, frac, site_properties={"label": list(range(5))})
    other = replace_cell(structure, OTHER_CELL)
    np.testing.assert_allclose(other.lattice.matrix, OTHER_CELL)
    np.testing.assert_array_equal(other.frac_coords, frac)
    np.testing.assert_allclose(other.cart_coords, frac @ OTHER_CELL, atol=1e-12)
    assert other.site_properties["label"] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(structure.lattice.matrix, CELL)


def test_conversion_does_not_share_memory_with_the_caller() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    crystal = from_atoms(atoms)
    before = crystal.cell.clone()
    atoms.set_cell(2 * atoms.cell.array)
    assert torch.equal(crystal.cell, before)


def test_atoms_a_million_cells_away_are_refused() -> None:
    with pytest.raises(CrystalError, match=r"atom 1 lies 1e\+16 cells from the origin; correct its position"):
        from_arrays(np.eye(3) * 4, np.array([[0, 0, 0], [0, 1e16, 0.5]]), np.array([6, 6]))
