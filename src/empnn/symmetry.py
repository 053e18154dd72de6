"""The groups that leave a crystal the same, and their actions (Propositions 1 and 2).

Each function takes one group element per structure (permutations: one for all atoms) and returns crystals that
describe the same infinite point cloud, moved by the isometry if there is one.
"""

import itertools
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from empnn.crystals import CrystalBatch, wrap


def rotate(crystals: CrystalBatch, orthogonal: Float64[Tensor, "structures 3 3"]) -> CrystalBatch:
    """Q in O(3), rotations and reflections: `cell @ Q.T`, fractional coordinates unchanged."""
    return replace(crystals, cell=crystals.cell @ orthogonal.mT)


def translate(crystals: CrystalBatch, vector: Float64[Tensor, "structures 3"]) -> CrystalBatch:
    """Move all atoms of a structure by a Cartesian vector in angstrom: [x + rho^-1 v]."""
    shift = torch.linalg.solve(crystals.cell.mT, vector)
    return replace(crystals, frac=wrap(crystals.frac + shift[crystals.batch]))


def permute(crystals: CrystalBatch, order: Int64[Tensor, " atoms"]) -> CrystalBatch:
    """Reorder atoms within their structures: the new atom i is the old atom `order[i]`.

    Raises:
        ValueError: If the order moves an atom to another structure or is no permutation.
    """
    if not torch.equal(order.sort().values, torch.arange(crystals.n_atoms)):
        raise ValueError("order is not a permutation of the atoms")
    if not torch.equal(crystals.batch[order], crystals.batch):
        raise ValueError("order moves atoms between structures")
    fixed = None if crystals.fixed_frac is None else crystals.fixed_frac[order]
    return replace(crystals, frac=crystals.frac[order], numbers=crystals.numbers[order], fixed_frac=fixed)


def change_basis(crystals: CrystalBatch, unimodular: Int64[Tensor, "structures 3 3"]) -> CrystalBatch:
    """An element g of SL3(Z): (rho g^-1, [g x]), that is `inv(g).T @ cell`, `frac @ g.T mod 1`; the point cloud stays.

    Raises:
        ValueError: If a determinant is not 1, or an atom is fixed along some lattice vectors only, which belong to the
            basis.
    """
    fixed = crystals.fixed_frac
    if fixed is not None and not torch.equal(fixed.any(1), fixed.all(1)):
        raise ValueError("what is fixed along some lattice vectors only is not so along others; keep the basis")
    inverse = _integer_inverse(unimodular)
    moved = torch.einsum("nj,nij->ni", crystals.frac, unimodular.to(torch.float64)[crystals.batch])
    return replace(crystals, cell=inverse.to(torch.float64).mT @ crystals.cell, frac=wrap(moved))


def random_orthogonal(n: int, generator: torch.Generator) -> Float64[Tensor, "n 3 3"]:
    """Elements of O(3), uniformly distributed: rotations and reflections with equal probability."""
    orthogonal, upper = torch.linalg.qr(torch.randn(n, 3, 3, dtype=torch.float64, generator=generator))
    uniform: Tensor = orthogonal * upper.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    return uniform


def random_translation(n: int, generator: torch.Generator) -> Float64[Tensor, "n 3"]:
    """Cartesian vectors with normal entries of 5 angstrom."""
    return 5.0 * torch.randn(n, 3, dtype=torch.float64, generator=generator)


def random_permutation(crystals: CrystalBatch, generator: torch.Generator) -> Int64[Tensor, " atoms"]:
    """A random order of the atoms within each structure."""
    keys = crystals.batch + torch.rand(crystals.n_atoms, dtype=torch.float64, generator=generator)
    return keys.argsort()


def random_unimodular(n: int, generator: torch.Generator, factors: int = 4, largest: int = 1) -> Int64[Tensor, "n 3 3"]:
    """Elements of SL3(Z): products of elementary matrices I + m e_ij with 0 < |m| <= largest.

    Args:
        n: How many.
        generator: Source of randomness.
        factors: Elementary matrices per product; more of them, or a larger `largest`, give a more skewed basis.
        largest: Largest absolute value of m.
    """
    product = torch.eye(3, dtype=torch.int64).repeat(n, 1, 1)
    rows = torch.arange(n)
    for _ in range(factors):
        i = torch.randint(3, (n,), generator=generator)
        j = (i + torch.randint(1, 3, (n,), generator=generator)) % 3
        m = torch.randint(1, largest + 1, (n,), generator=generator)
        sign = 2 * torch.randint(2, (n,), generator=generator) - 1
        elementary = torch.eye(3, dtype=torch.int64).repeat(n, 1, 1)
        elementary[rows, i, j] = m * sign
        product = elementary @ product
    return product


ELEMENTARY: Int64[np.ndarray, "12 3 3"] = np.stack(
    [
        np.eye(3, dtype=np.int64) + sign * np.outer(first, second)
        for first, second in itertools.permutations(np.eye(3, dtype=np.int64), 2)
        for sign in (1, -1)
    ]
)
"""All elementary matrices of one step, I + e_ij and I - e_ij with i != j; they generate SL3(Z)."""
SIGNED_PERMUTATIONS: Int64[np.ndarray, "48 3 3"] = np.stack(
    [
        np.eye(3, dtype=np.int64)[list(order)] * signs
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    ]
)
"""The symmetries of a cube: axes exchanged and inverted."""


def elementary(generator: np.random.Generator) -> Int64[np.ndarray, "3 3"]:
    """An elementary matrix, I + e_ij or I - e_ij with i != j, uniformly."""
    i, j = generator.choice(3, size=2, replace=False)
    matrix = np.eye(3, dtype=np.int64)
    matrix[i, j] = generator.choice((-1, 1))
    return matrix


def elementary_product(generator: np.random.Generator, factors: int) -> Int64[np.ndarray, "3 3"]:
    """A product of so many elementary matrices, each as `elementary` draws it."""
    product = np.eye(3, dtype=np.int64)
    for _ in range(factors):
        product = elementary(generator) @ product
    return product


def _integer_inverse(unimodular: Tensor) -> Tensor:
    """Exact inverse of integer matrices of determinant 1: the adjugate."""
    first, second, third = unimodular.unbind(-2)
    cofactors = torch.stack(
        [torch.linalg.cross(second, third), torch.linalg.cross(third, first), torch.linalg.cross(first, second)], dim=-2
    )
    if not bool(((first * cofactors[:, 0]).sum(-1) == 1).all()):
        raise ValueError("a change of basis must have determinant 1")
    return cofactors.mT
