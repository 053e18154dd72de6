"""What crystals fix is left alone by every layer, and the layers behind it see that it was."""

import itertools
from dataclasses import replace

import pytest
import torch
from support.relaxing import tiny_network
from support.zoo import ZOO, supercell, zoo
from torch import Tensor

from empnn.crystals import CrystalBatch
from empnn.nn import Deformation, GraphConfig, Network
from empnn.nn.action import LayerAction
from empnn.nn.fixed import keep_fixed
from empnn.nn.message_passing import LocalGeometry
from empnn.nn.weights import EdgeWeights, TripletWeights
from empnn.testing import assert_equivariant, moves

CRYSTALS = zoo("hcp", "perovskite", "triclinic", "one-atom", "left-handed")
FIELDS = {"edges": "ketbra-e", "triplets": "grad-r-t", "edges and triplets": "ketbra-e-tall"}
WHOLE = torch.zeros(CRYSTALS.n_atoms, 3, dtype=torch.bool)
WHOLE[[1, 4, 7, 9]] = True
"""One atom of the first two crystals, two of the triclinic one, none of the others."""
SOME = WHOLE.clone()
SOME[[0, 8, 10, 14], [2, 0, 2, 1]] = True
SOME[15, :2] = True


def lively(fields: str = "ketbra-e") -> Network:
    """A network in float64 that moves atoms by some tenths of an angstrom."""
    options = {"deform": ["cell", "positions"], "fields": fields, "graph": GraphConfig(k=8)}
    return tiny_network(scale=8.0, **options).double().requires_grad_(False)


def marked(fixed: Tensor, crystals: CrystalBatch = CRYSTALS) -> CrystalBatch:
    return replace(crystals, fixed_frac=fixed)


def without_rows(network: Network, lattice: bool) -> Network:
    """The same network, none of whose weights act on the lattice, or none on the atoms."""
    for module in network.modules():
        if isinstance(module, EdgeWeights | TripletWeights):
            atoms = 1 if isinstance(module, EdgeWeights) else 2
            rows = module.weight.weight
            rows[: len(rows) - atoms if lattice else None][0 if lattice else len(rows) - atoms :] = 0.0
    return network


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_a_fixed_cell_is_that_of_a_network_that_moves_atoms_only(fields: str) -> None:
    """Not what comes of taking the cell of the network's answer back: its later layers saw another cell."""
    held, free = lively(fields)(CRYSTALS.fixing("cell")), lively(fields)(CRYSTALS)
    only = without_rows(lively(fields), lattice=True)(CRYSTALS)
    assert torch.equal(held.steps, torch.eye(3, dtype=torch.float64).expand_as(held.steps))
    torch.testing.assert_close(only.steps, held.steps, rtol=0, atol=1e-15)
    torch.testing.assert_close(held.displacement, only.displacement, rtol=0, atol=1e-12)
    overwritten = CRYSTALS.fractional(free.displacement) - CRYSTALS.fractional(held.displacement)
    assert float(overwritten.abs().max()) > 1e-3


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_fixed_positions_are_those_of_a_network_that_moves_cells_only(fields: str) -> None:
    held, free = lively(fields)(CRYSTALS.fixing("positions")), lively(fields)(CRYSTALS)
    only = without_rows(lively(fields), lattice=False)(CRYSTALS)
    assert not held.displacement.any()
    assert float(only.displacement.abs().max()) < 1e-15
    torch.testing.assert_close(held.steps, only.steps, rtol=0, atol=1e-12)
    assert float((held.action - free.action).abs().max()) > 1e-3


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_one_fixed_atom_changes_nothing_but_the_origin(fields: str) -> None:
    one = torch.zeros_like(WHOLE)
    one[[0, 3, 8, 12, 17]] = True
    held, free = lively(fields)(marked(one)), lively(fields)(CRYSTALS)
    torch.testing.assert_close(held.steps, free.steps, rtol=0, atol=1e-12)
    origin = free.displacement[one[:, 0]][CRYSTALS.batch]
    torch.testing.assert_close(held.displacement, free.displacement - origin, rtol=0, atol=1e-11)
    assert not held.displacement[one].any()
    assert float(origin.abs().max()) > 1e-2


@pytest.mark.parametrize("fixed", [WHOLE, SOME], ids=["atoms", "coordinates"])
@pytest.mark.parametrize("cell", [False, True])
def test_every_layer_sees_what_the_one_before_was_allowed(fixed: Tensor, cell: bool) -> None:
    network = lively()
    seen: list[tuple[LocalGeometry, LayerAction]] = []
    for layer in network.layers:
        layer.action.register_forward_hook(lambda _, inputs, output: seen.append((inputs[1], output)))
    given = marked(fixed).fixing("cell" if cell else None)
    result = network(given)
    crystals = CRYSTALS
    for geometry, wanted in seen:
        graph = geometry.graph
        apart = crystals.frac[graph.target] - crystals.frac[graph.source] + graph.image
        vectors = torch.einsum("ei,eij->ej", apart, crystals.cell[graph.batch])
        torch.testing.assert_close(geometry.vectors, vectors, rtol=0, atol=1e-10)
        crystals = replace(crystals, frac=crystals.frac + allowed(crystals, wanted.displacement, fixed))
        if not cell:
            crystals = crystals.with_cell(crystals.cell @ wanted.lattice.mT)
    assert len(seen) == 2
    torch.testing.assert_close(CRYSTALS.cell @ result.action.mT, crystals.cell)
    whole = CRYSTALS.fractional(result.displacement)
    torch.testing.assert_close(CRYSTALS.frac + whole, crystals.frac, rtol=0, atol=1e-12)
    assert float(whole[fixed].abs().max()) < 1e-14
    assert not result.displacement[fixed.all(1)].any()
    assert float(result.displacement.norm(dim=1).max()) > 0.05


def allowed(crystals: CrystalBatch, displacement: Tensor, fixed: Tensor) -> Tensor:
    """What is left of displacements, in fractional coordinates: one coordinate of one atom after another."""
    shift = torch.linalg.solve(crystals.cell.mT[crystals.batch], displacement.unsqueeze(-1)).squeeze(-1)
    left = torch.zeros_like(shift)
    for atom, axis in itertools.product(range(crystals.n_atoms), range(3)):
        frame = [
            shift[other, axis]
            for other in range(crystals.n_atoms)
            if crystals.batch[other] == crystals.batch[atom] and fixed[other, axis]
        ]
        if not fixed[atom, axis]:
            left[atom, axis] = shift[atom, axis] - (sum(frame) / len(frame) if frame else 0.0)
    return left


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("fix", [None, "cell"])
def test_fixed_atoms_are_equivariant(fields: str, fix: str | None) -> None:
    network, given = lively(fields), marked(WHOLE).fixing(fix)
    assert float(network(given).displacement.norm(dim=1).max()) > 0.05
    assert_equivariant(network, given, tolerance=1e-9)
    assert_equivariant(network.float(), given, tolerance=2e-4)


def test_fixed_coordinates_turn_with_the_crystal(generator: torch.Generator) -> None:
    network, given = lively(), marked(SOME)
    before = network(given)
    for moved in itertools.islice(moves(given, generator), 3):
        after = network(moved.crystals)
        q = moved.orthogonal
        torch.testing.assert_close(after.action, q @ before.action @ q.mT, rtol=0, atol=1e-9)
        turned = torch.einsum("aij,aj->ai", q[given.batch], before.displacement)[moved.order]
        torch.testing.assert_close(after.displacement, turned, rtol=0, atol=1e-9)


@pytest.mark.parametrize("fixed", [WHOLE, SOME], ids=["atoms", "coordinates"])
def test_supercells_give_the_same(fixed: Tensor) -> None:
    network = lively("ketbra-e-tall")
    for name, atoms in (("hcp", slice(0, 2)), ("triclinic", slice(7, 12))):
        small = marked(fixed[atoms], ZOO[name])
        large = supercell(ZOO[name], (2, 1, 2))
        large = marked(fixed[atoms].repeat(4, 1), large)
        found, repeated = network(small), network(large)
        torch.testing.assert_close(repeated.displacement, found.displacement.repeat(4, 1), rtol=0, atol=1e-9)
        torch.testing.assert_close(repeated.action, found.action, rtol=0, atol=1e-9)


def test_crystals_that_fix_nothing_are_not_touched_by_those_beside_them() -> None:
    network = lively()
    cells = torch.tensor([False, True, True, False, False])
    together, alone = network(replace(marked(WHOLE), fixed_cell=cells)), network(CRYSTALS)
    torch.testing.assert_close(together.displacement[12:], alone.displacement[12:], rtol=0, atol=1e-13)
    torch.testing.assert_close(together.action[~cells], alone.action[~cells], rtol=0, atol=1e-12)
    assert torch.equal(together.action[cells], torch.eye(3, dtype=torch.float64).expand(2, 3, 3))


def test_where_nothing_is_fixed_nothing_is_done() -> None:
    identity = torch.eye(3, dtype=torch.float64).expand(len(CRYSTALS), 3, 3)
    action = LayerAction(lattice=2 * identity, strain=identity, displacement=torch.ones(CRYSTALS.n_atoms, 3))
    assert keep_fixed(action, CRYSTALS, identity) is action
    still = replace(action, displacement=None)
    assert keep_fixed(still, marked(WHOLE), identity) is still


def test_single_precision_keeps_atoms_to_the_last_bit() -> None:
    network = lively().float()
    result: Deformation = network(marked(WHOLE).fixing("cell"))
    assert not result.displacement[WHOLE].any()
    assert torch.equal(result.steps, torch.eye(3, dtype=torch.float64).expand_as(result.steps))
