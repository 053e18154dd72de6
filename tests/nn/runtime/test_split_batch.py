"""Structures side by side in threads give what they give in one."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from ase.build import bulk
from support.zoo import zoo
from torch import Tensor

from empnn.crystals import CrystalBatch, from_atoms
from empnn.graph import Graph
from empnn.nn import EMPNN, Deformation, ModelConfig, RadialConfig
from empnn.nn.runtime import split_batch as module
from empnn.nn.runtime.split_batch import side_by_side
from empnn.nn.runtime.threads import available, share, threads_for_structures

CRYSTALS = zoo("hcp", "perovskite", "one-atom", "triclinic", "left-handed")
MODELS = {
    "edges": ModelConfig(features=8, radial=RadialConfig(count=6)),
    "triplets": ModelConfig(features=8, radial=RadialConfig(count=6), fields="ketbra-e-tall"),
    "positions": ModelConfig(features=8, radial=RadialConfig(count=6), deform=["cell", "positions"]),
    "messages of triplets": ModelConfig(features=8, radial=RadialConfig(count=6), message_triplets=True),
}


@pytest.fixture(autouse=True)
def several_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setattr(module, "FEWEST_ATOMS", 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=MODELS)
def network(request: pytest.FixtureRequest) -> EMPNN:
    torch.manual_seed(0)
    return EMPNN(MODELS[request.param]).double()


def outputs(found: Deformation) -> list[Tensor]:
    return [t for t in (found.action, found.steps, found.displacement) if t is not None]


def parts_of(network: EMPNN) -> int:
    return len(module._parts(CRYSTALS, network.rule(CRYSTALS)))


def gradients(network: EMPNN, crystals: CrystalBatch) -> list[Tensor | None]:
    network.zero_grad()
    sum(t.sin().sum() for t in outputs(network(crystals))).backward()
    return [None if p.grad is None else p.grad.clone() for p in network.parameters()]


def test_values_and_gradients_are_those_of_one_thread(network: EMPNN) -> None:
    whole, slopes = outputs(network(CRYSTALS)), gradients(network, CRYSTALS)
    with threads_for_structures():
        assert parts_of(network) == 3
        torch.testing.assert_close(outputs(network(CRYSTALS)), whole, rtol=1e-12, atol=1e-12)
        found = gradients(network, CRYSTALS)
        with torch.inference_mode():
            torch.testing.assert_close(outputs(network(CRYSTALS)), whole, rtol=1e-12, atol=1e-12)
    assert parts_of(network) == 1
    for ours, theirs in zip(found, slopes, strict=True):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_what_is_fixed_goes_with_its_part(network: EMPNN) -> None:
    atoms = torch.zeros_like(CRYSTALS.frac, dtype=torch.bool)
    atoms[[1, 4, 9, 15]] = True
    held = replace(CRYSTALS, fixed_frac=atoms, fixed_cell=torch.tensor([False, True, False, False, True]))
    whole = outputs(network(held))
    with threads_for_structures():
        assert parts_of(network) == 3
        torch.testing.assert_close(outputs(network(held)), whole, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(whole[0], outputs(network(CRYSTALS))[0])


def test_weights_that_are_not_trained_get_no_gradient(network: EMPNN) -> None:
    network.encoder.requires_grad_(False)
    with threads_for_structures():
        found = gradients(network, CRYSTALS)
        network.requires_grad_(False)
        assert not network(CRYSTALS).action.requires_grad
    for parameter, gradient in zip(network.parameters(), found, strict=True):
        frozen = any(parameter is p for p in network.encoder.parameters())
        assert (gradient is None) or not frozen


def test_a_failure_in_a_thread_is_raised(network: EMPNN) -> None:
    def fail(crystals: CrystalBatch, graph: Graph) -> tuple[Tensor, None]:
        raise ArithmeticError

    with threads_for_structures(), pytest.raises(ArithmeticError):
        side_by_side(fail, CRYSTALS, network.rule(CRYSTALS), ())


def test_one_structure_and_few_atoms_are_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    network = EMPNN(MODELS["edges"])
    one = zoo("perovskite")
    with threads_for_structures():
        assert len(module._parts(one, network.rule(one))) == 1
        monkeypatch.setattr(module, "FEWEST_ATOMS", CRYSTALS.n_atoms)
        assert parts_of(network) == 1


def test_a_structure_that_dominates_keeps_the_batch_whole() -> None:
    network = EMPNN(MODELS["edges"])
    large = from_atoms(bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat(3))
    small = zoo("perovskite").select([0] * 40)
    with threads_for_structures():
        assert len(module._parts(small, network.rule(small))) == 3
        for mixed in (CrystalBatch.cat([large, zoo("perovskite")]), CrystalBatch.cat([zoo("perovskite"), large])):
            assert len(module._parts(mixed, network.rule(mixed))) == 1


def test_the_way_back_is_gone_once() -> None:
    network = EMPNN(MODELS["edges"])
    with threads_for_structures():
        loss = network(CRYSTALS).action.sum()
        loss.backward(retain_graph=True)
        with pytest.raises(RuntimeError, match="do not retain"):
            loss.backward()


def test_the_threads_of_the_process_come_back() -> None:
    network = EMPNN(MODELS["edges"])
    with threads_for_structures():
        assert torch.get_num_threads() == 1
        assert share(lambda part: torch.get_num_threads(), [0]) == [3]
        with threads_for_structures():
            network(CRYSTALS)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)
    with threads_for_structures():
        assert parts_of(network) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_was_forked_has_no_threads() -> None:
    child, fine = -1, False
    try:
        with threads_for_structures():
            share(lambda part: part, [0, 1])
            child = os.fork()
            alone = available() == 0 and share(lambda part: part, [0, 1]) == [0, 1]
        fine = alone
    finally:
        if child == 0:
            os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
