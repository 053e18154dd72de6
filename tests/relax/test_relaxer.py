"""The Python API: what comes back, for one and for many, and that it moves with the crystal."""

import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import graphene
from ase.constraints import FixAtoms
from pymatgen.core import IMolecule, IStructure, Lattice, Molecule, Structure
from scipy.linalg import expm
from support.relaxing import salt, tiny_model, tiny_network, triclinic
from support.zoo import ALL

import empnn
from empnn import symmetry
from empnn.crystals import CrystalBatch, from_atoms, to_atoms, to_batch, to_structures
from empnn.errors import ConfigError, CrystalError
from empnn.geometry import metric_tensor
from empnn.nn import EMPNN, Deformation
from empnn.relax import Relaxer, load
from empnn.relax.inputs import ACCEPTED
from empnn.testing import moves

MISSING = "there is no structure (None); leave it out or see why it is missing"


@pytest.fixture(scope="module")
def relaxer():
    """In float64, so that equivariance can be asked for to the last digits."""
    return Relaxer(tiny_network().double(), {})


def frac(atoms):
    return atoms.get_scaled_positions(wrap=False)


def test_load_from_a_folder(tmp_path):
    relaxer = empnn.load(tiny_model(tmp_path, elements=[11, 17], strain_limit=0.5))
    assert (relaxer.elements, relaxer.strain_limit) == ({11, 17}, 0.5)
    relaxer.passes = 2
    assert relaxer.relax(salt()).trajectory.shape == (4, 3, 3)
    for device in ("nonsense", "meta", "privateuseone", "a\nb"):
        with pytest.raises(ConfigError, match=r"^device .{1,20} cannot be used: .*\w.*$") as caught:
            load(tmp_path, device=device)
        assert str(caught.value).isprintable()


def test_it_really_deforms(relaxer):
    assert np.abs(relaxer.relax(triclinic()).strain).max() > 0.05


def test_one_in_one_out(relaxer):
    given = salt("mp-1")
    before = given.copy()
    result = relaxer.relax(given)
    assert isinstance(result.structures, Atoms)
    assert result.status == "relaxed"
    assert result.warnings == []
    assert np.abs(frac(result.structures) - frac(given)).max() < 1e-12
    assert result.structures.info == given.info
    assert result.structures.arrays["site"].tolist() == [7, 8]
    assert given == before


def test_many_in_many_out(relaxer):
    given = [triclinic(), salt(), Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])]
    result = relaxer.relax(given)
    assert [type(s) for s in result.structures] == [Atoms, Atoms, Structure]
    assert result.strain.shape == (3, 3, 3)
    assert result.trajectory.shape == (3, 2, 3, 3)
    assert len(relaxer.relax(tuple(given)).structures) == len(relaxer.relax(iter(given)).structures) == 3
    assert relaxer.relax([salt()]).status == ["relaxed"]


def test_batching_changes_nothing(relaxer):
    given = to_atoms(ALL)
    together, alone = relaxer.relax(given), relaxer.relax(given, batch_atoms=1)
    assert together.strain == pytest.approx(alone.strain, abs=1e-9)


def test_nothing_in_nothing_out(relaxer):
    result = relaxer.relax([])
    assert (result.structures, result.status, result.warnings) == ([], [], [])
    assert (result.strain.shape, result.trajectory.shape) == ((0, 3, 3), (0, 0, 3, 3))


def test_strain_and_trajectory(relaxer):
    given = triclinic()
    for passes in (1, 3):
        result = relaxer.relax(given, passes=passes)
        assert result.trajectory.shape == (2 * passes, 3, 3)
        assert np.array_equal(result.trajectory[-1], result.structures.cell.array)
        assert result.strain == pytest.approx(result.strain.T, abs=1e-12)
        assert given.cell.array @ expm(result.strain) == pytest.approx(result.structures.cell.array, abs=1e-9)


def test_passes_are_repeated_relaxations(relaxer):
    """Up to the rotation that every return takes out."""
    twice = relaxer.relax(relaxer.relax(triclinic()).structures).structures
    at_once = relaxer.relax(triclinic(), passes=2).structures
    assert at_once.cell.cellpar() == pytest.approx(twice.cell.cellpar(), abs=1e-9)


def test_metric_tensor_is_that_of_the_network(relaxer):
    relaxed = relaxer.relax_batch(ALL).crystals
    moved = ALL.cell @ relaxer.network(ALL).action.detach().mT
    assert torch.allclose(metric_tensor(relaxed.cell), metric_tensor(moved), atol=1e-8)
    assert torch.equal(torch.linalg.det(relaxed.cell).sign(), torch.linalg.det(ALL.cell).sign())


@pytest.mark.parametrize("passes", [1, 2])
def test_equivariant(relaxer, generator, passes):
    before = relaxer.relax_batch(ALL, passes).crystals.cell
    for moved in moves(ALL, generator):
        after = relaxer.relax_batch(moved.crystals, passes).crystals.cell
        inverse = torch.linalg.inv(moved.unimodular.to(torch.float64))
        expected = inverse.mT @ before @ moved.orthogonal.mT
        scale = expected.abs().amax((1, 2), keepdim=True)
        assert ((after - expected) / scale).abs().max() < 1e-8, moved.group


def test_equivariant_for_atoms(relaxer, generator):
    """The whole way, from `Atoms` to `Atoms`, in the single precision that users run."""
    single = Relaxer(tiny_network(), {})
    batch = from_atoms(triclinic())
    q = symmetry.random_orthogonal(1, generator)
    rotated = to_atoms(symmetry.rotate(batch, q))[0]
    expected = single.relax(triclinic()).structures.cell.array @ q[0].numpy().T
    assert single.relax(rotated).structures.cell.array == pytest.approx(expected, abs=1e-4)


def test_pymatgen_stays_pymatgen(relaxer):
    structure = Structure(
        Lattice.from_parameters(4, 4.5, 5, 80, 95, 100),
        ["Cs2+", "Cl-"],
        [[-0.25, 0, 0], [0.5, 1.5, 0.5]],
        charge=1,
        site_properties={"magmom": [1.5, -0.5]},
    )
    relaxed = relaxer.relax(structure).structures
    assert isinstance(relaxed, Structure)
    assert [str(s) for s in relaxed.species] == ["Cs2+", "Cl-"]
    assert relaxed.charge == 1
    assert relaxed.site_properties == {"magmom": [1.5, -0.5]}
    assert np.abs(relaxed.frac_coords - structure.frac_coords).max() < 1e-12
    assert relaxed.cart_coords == pytest.approx(relaxed.frac_coords @ relaxed.lattice.matrix)
    assert not np.allclose(relaxed.lattice.matrix, structure.lattice.matrix)


def test_constraints_stay_and_do_not_distort(relaxer):
    given = triclinic()
    given.set_constraint(FixAtoms([0, 2]))
    relaxed = relaxer.relax(given).structures
    assert np.abs(frac(relaxed) - frac(given)).max() < 1e-12
    assert relaxed.constraints[0].index.tolist() == [0, 2]


def bad_crystals():
    cell = np.eye(3) * 4
    nan_cell = cell.copy()
    nan_cell[0, 1] = np.nan
    singular = Atoms("C", cell=cell, pbc=True)
    singular.cell[2] = singular.cell[0] + singular.cell[1]
    lattice = Lattice.cubic(3)
    return {
        "no atoms": Atoms(cell=cell, pbc=True),
        "no lattice": Atoms("C"),
        "the cell holds NaN": Atoms("C", positions=[[0, 0, 0]], cell=nan_cell, pbc=True),
        "atom 1 has NaN or infinite coordinates": Atoms(
            "C2", positions=[[0, 0, 0], [np.inf, 0, 0]], cell=cell, pbc=True
        ),
        "volume": singular,
        "atom 0 has atomic number 0": Atoms("X", cell=cell, pbc=True),
        "atoms 0 and 1 overlap": Atoms("C2", positions=[[0, 0, 0], [3.9, 0, 0]], cell=cell, pbc=True),
        "atom 0 and its periodic image overlap": Atoms("C", cell=[0.2, 5, 5], pbc=True),
        "site 0 (Fe:0.5": Structure(lattice, [{"Fe": 0.5}], [[0, 0, 0]]),
        "dummy": Structure(lattice, ["X"], [[0, 0, 0]]),
    }


@pytest.mark.parametrize("reason", list(bad_crystals()))
def test_a_single_bad_crystal_raises(relaxer, reason):
    with pytest.raises(CrystalError) as caught:
        relaxer.relax(bad_crystals()[reason])
    assert reason in str(caught.value)
    assert "; " in str(caught.value)


def test_bad_crystals_among_good_ones_are_none(relaxer):
    bad = bad_crystals()
    result = relaxer.relax([salt(), *bad.values(), None, salt()])
    assert result.structures[1:-1] == [None] * (len(bad) + 1)
    for status, reason in zip(result.status[1:-1], [*bad, "None"], strict=True):
        assert status.startswith("refused: ")
        assert reason in status
    assert np.isnan(result.strain[1:-1]).all()
    assert result.strain[0] == pytest.approx(result.strain[-1], abs=1e-12)
    assert result.status[0] == result.status[-1] == "relaxed"
    assert relaxer.relax([bad["no atoms"]]).trajectory.shape == (1, 0, 3, 3)


CAESIUM_CHLORIDE = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
NO_CRYSTALS = {
    "bytes": b"a.cif",
    "int": 3,
    "Lattice": Lattice.cubic(3),
    "dict": {"a": salt()},
    "list of bytes": [b"a.cif", b"b.cif"],
    "list of dict": [salt().todict()],
    "generator of int": (n for n in range(3)),
    "Molecule of Site": Molecule("CO", [[0, 0, 0], [0, 0, 1.1]]),
    "IMolecule of Site": IMolecule("CO", [[0, 0, 0], [0, 0, 1.1]]),
    "list of PeriodicSite": CAESIUM_CHLORIDE.sites,
    "list of list": [[salt(), salt()]],
    "ndarray of ndarray": np.eye(3),
}


@pytest.mark.parametrize("name", list(NO_CRYSTALS))
def test_what_is_no_crystal_at_all_is_a_type_error(relaxer, name):
    """One, which says what is accepted, and not a refusal for each atom, key or character."""
    with pytest.raises(TypeError) as caught:
        relaxer.relax(NO_CRYSTALS[name])
    expected = f"expected {ACCEPTED}, got "
    assert str(caught.value) == expected + name


@pytest.mark.parametrize("many", [list, tuple, iter, set, lambda given: dict(enumerate(given)).values()])
def test_any_iterable_of_crystals_is_several(relaxer, many):
    (immutable,) = relaxer.relax(many([IStructure.from_sites(CAESIUM_CHLORIDE.sites)])).structures
    assert type(immutable) is IStructure
    assert relaxer.relax([None]).status == relaxer.relax(iter([None])).status == [f"refused: {MISSING}"]


def test_an_immutable_structure_is_relaxed_as_a_mutable_one(relaxer):
    lattice = Lattice.from_parameters(4, 4.5, 5, 80, 95, 100, pbc=(True, True, False))
    said = {"charge": 1, "site_properties": {"magmom": [1.5, -0.5]}, "labels": ["a", "b"], "properties": {"gap": 8.5}}
    sites = ["Cs2+", "Cl-"], [[-0.25, 0, 0], [0.5, 1.5, 0.5]]
    given, frozen = Structure(lattice, *sites, **said), IStructure(lattice, *sites, **said)
    before = given.as_dict(), frozen.as_dict()
    mutable, immutable = relaxer.relax(given), relaxer.relax(frozen)
    assert type(immutable.structures) is IStructure
    assert (given.as_dict(), frozen.as_dict()) == before
    assert immutable.structures.as_dict() == {**mutable.structures.as_dict(), "@class": "IStructure"}
    assert (immutable.status, immutable.warnings) == (mutable.status, mutable.warnings)
    assert immutable.warnings == [
        "not periodic in all directions, but taken as a crystal that is",
        "oxidation states are ignored",
        "magnetic moments are ignored",
        "charges are ignored",
    ]


@pytest.mark.parametrize("wrong", [b"a.cif", 3, [salt()]])
def test_what_is_no_crystal_among_crystals_is_refused(relaxer, wrong):
    result = relaxer.relax([salt(), wrong])
    assert result.structures[1] is None
    assert "expected ASE Atoms or pymatgen Structure" in result.status[1]
    assert result.status[0] == "relaxed"


def test_options_out_of_range(relaxer):
    with pytest.raises(ValueError, match="at least 1"):
        relaxer.relax([], batch_atoms=0)
    for passes in (-1, 0, 1001, 10**30):
        said = re.escape(f"`passes` {passes}: must lie between 1 and 1000")
        with pytest.raises(ConfigError, match=said):
            relaxer.relax([], passes=passes)
        with pytest.raises(ConfigError, match=said):
            relaxer.relax_batch(to_batch(salt()), passes)


def test_unchanged():
    still = Relaxer(tiny_network(scale=0.0), {})
    result = still.relax(salt())
    assert result.status == "unchanged"
    assert result.structures.cell.array == pytest.approx(salt().cell.array, abs=1e-9)


def test_suspect():
    relaxer = Relaxer(tiny_network(), {"elements": [11], "strain_limit": 1e-3})
    result = relaxer.relax(salt())
    assert result.status == "suspect"
    assert any("Cl" in w for w in result.warnings)
    assert any("strain" in w for w in result.warnings)
    slab = salt()
    slab.pbc = (True, True, False)
    assert any("not periodic" in w for w in relaxer.relax(slab).warnings)


class Ruins(EMPNN):
    """A network that makes something unusable of crystals with more than two atoms."""

    def __init__(self, value):
        super().__init__(tiny_network().config)
        self.value = value

    def forward(self, crystals: CrystalBatch, graph=None) -> Deformation:
        action = torch.eye(3, dtype=torch.float64).repeat(len(crystals), 1, 1)
        action[crystals.sizes > 2] *= self.value
        return Deformation(action=action, steps=action[None])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, 1e-3])
def test_a_network_that_fails_for_one_crystal_does_not_spoil_the_others(value):
    relaxer = Relaxer(Ruins(value), {})
    relaxer.passes = 2
    result = relaxer.relax([salt(), triclinic(), salt()])
    assert result.structures[1] is None
    assert "unusable" in result.status[1]
    assert result.status[0] == result.status[2] == "unchanged"


def test_a_model_that_moves_atoms() -> None:
    relaxer = Relaxer(tiny_network(deform=["cell", "positions"]), {})
    given = [triclinic(), salt()]
    result = relaxer.relax(given)
    for before, after, moved in zip(given, result.structures, result.displacements, strict=True):
        expected = frac(before) + moved @ np.linalg.inv(after.cell.array)
        np.testing.assert_allclose(frac(after), expected, atol=1e-9)
        np.testing.assert_allclose(moved.mean(0), 0.0, atol=1e-8)
        assert after.numbers.tolist() == before.numbers.tolist()
    assert np.abs(result.displacements[0]).max() > 1e-3
    one = relaxer.relax(to_structures(from_atoms(triclinic()))[0])
    np.testing.assert_allclose(one.displacements, result.displacements[0], atol=1e-6)
    np.testing.assert_allclose(
        one.structures.frac_coords,
        frac(result.structures[0]),
        atol=1e-6,
    )
    twice = relaxer.relax(triclinic(), passes=2)
    assert np.abs(twice.displacements - one.displacements).max() > 1e-4
    still = Relaxer(tiny_network(), {}).relax(triclinic())
    assert not still.displacements.any()


class Stretches(EMPNN):
    """A network that multiplies every cell by a factor and moves the first atom part of the way to the next."""

    def __init__(self, factor=1.0, way=0.0):
        super().__init__(tiny_network(deform=["cell", "positions"]).config)
        self.factor, self.way = factor, way

    def forward(self, crystals: CrystalBatch, graph=None) -> Deformation:
        action = self.factor * torch.eye(3, dtype=torch.float64).repeat(len(crystals), 1, 1)
        displacement = torch.zeros_like(crystals.frac)
        between = crystals.frac[1] - crystals.frac[0]
        displacement[0] = self.way * (between - between.round()) @ crystals.cell[0]
        return Deformation(action=action, steps=action[None], displacement=displacement)


def silicon_pair(distance):
    cell = np.eye(3) * 4.2
    return Atoms("Si2PrBr", [[0, 0, 0], [distance, 0, 0], [2.1, 2.1, 2.1], [2.1, 2.1, 0]], cell=cell, pbc=True)


@pytest.mark.parametrize(
    ("distance", "factor", "way", "reasons"),
    [
        (0.31, 1.0, 0.0, ["as given, atoms 0 and 1 are only 0.310", "once relaxed, atoms 0 and 1 are only 0.310"]),
        (0.31, 0.95, 0.0, ["as given, atoms 0 and 1 are only 0.310", "once relaxed, atoms 0 and 1 overlap (0.29"]),
        (0.55, 0.90, 0.0, ["once relaxed, atoms 0 and 1 are only 0.495 angstrom apart"]),
        (2.0, 1.0, 0.8, ["once relaxed, atoms 0 and 1 are only 0.400 angstrom apart"]),
        (2.0, 1.0, 0.9, ["once relaxed, atoms 0 and 1 overlap (0.200 angstrom apart)"]),
        (2.0, 1.0, 0.5, []),
        (2.0, 2500, 0.0, ["relaxed volume", "deformed", "once relaxed, a lattice vector is 1.05e+04 angstrom long"]),
        (2.0, 1.0, 1e7, ["unusable"]),
    ],
)
def test_what_comes_out_is_checked_as_what_goes_in(distance, factor, way, reasons):
    relaxer = Relaxer(Stretches(factor, way).double(), {})
    result = relaxer.relax([silicon_pair(distance)], passes=1)
    (status,), (warnings,) = result.status, result.warnings
    if reasons == ["unusable"]:
        assert status.startswith("refused: the network turned its cell into an unusable one")
        return
    assert status == ("suspect" if reasons else "relaxed")
    for reason, text in zip(reasons, warnings, strict=True):
        assert reason in text


@pytest.mark.parametrize("distance", [0.302, 0.35, 0.45, 0.52, 0.6, 0.9])
@pytest.mark.parametrize("factor", [0.75, 0.9, 0.99])
def test_what_was_called_relaxed_is_never_refused_when_it_comes_back(distance, factor):
    """Each time the atoms come nearer, and the answer that the next one would be refused for is suspect already."""
    relaxer = Relaxer(Stretches(factor).double(), {})
    result = relaxer.relax(silicon_pair(distance))
    assert result.status == ("suspect" if distance * factor < 0.5 or distance < 0.5 else "relaxed")
    while result.status == "relaxed":
        result = relaxer.relax(result.structures)
    assert result.status == "suspect"
    assert "angstrom apart" in result.warnings[-1]


def test_a_vacuum_is_a_doubt(relaxer):
    sheet = graphene(vacuum=7.5)
    sheet.pbc = True
    result = relaxer.relax([sheet, triclinic(), sheet.repeat((2, 2, 1))])
    assert result.status == ["suspect", "relaxed", "suspect"]
    for index in (0, 2):
        assert "a vacuum of 15.0 angstrom between sheets, relaxed as part of a crystal" in result.warnings[index]


def test_atoms_moved_onto_each_other_are_suspect(monkeypatch) -> None:
    network = tiny_network(deform=["cell", "positions"])

    def collide(crystals: CrystalBatch, graph: object = None) -> Deformation:
        action = torch.eye(3, dtype=torch.float64).repeat(len(crystals), 1, 1)
        half = (crystals.frac[1] - crystals.frac[0]) @ crystals.cell[0] / 2
        return Deformation(action=action, steps=action[None], displacement=torch.stack([half, -half]))

    monkeypatch.setattr(network, "forward", collide)
    result = Relaxer(network, {}).relax(salt())
    assert result.status == "suspect"
    assert any("once relaxed, atoms 0 and 1 overlap" in w for w in result.warnings)
