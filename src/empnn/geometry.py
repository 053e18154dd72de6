"""Lattice geometry on tensors: parameters, metric, volumes and the polar decomposition.

Cells have shape (structures, 3, 3) with lattice vectors as **rows**, in angstrom; angles are in degrees.
"""

import torch
from jaxtyping import Float
from torch import Tensor

_MIN_SQUARED_VOLUME = 1e-3


def angle(first: Float[Tensor, "*batch 3"], second: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """Unoriented angle between two vectors, in radians (Definition 7).

    Uses atan2(|u x v|, u . v): accurate and with finite gradients at 0 and pi, where acos has neither.
    Invariant under O(3).
    """
    sine = torch.linalg.vector_norm(torch.linalg.cross(first, second), dim=-1)
    return torch.atan2(sine, (first * second).sum(-1))


def lattice_parameters(cell: Float[Tensor, "structures 3 3"]) -> Float[Tensor, "structures 6"]:
    """(a, b, c) in angstrom and (alpha, beta, gamma) in degrees, one row per structure.

    Invariant under O(3) acting on the lattice; equivariant, not invariant, under SL3(Z).
    """
    lengths = torch.linalg.vector_norm(cell, dim=-1)
    a, b, c = cell.unbind(1)
    angles = angle(torch.stack([b, a, a], dim=1), torch.stack([c, c, b], dim=1))
    return torch.cat([lengths, torch.rad2deg(angles)], dim=-1)


def cell_from_parameters(parameters: Float[Tensor, "structures 6"]) -> Float[Tensor, "structures 3 3"]:
    """The right-handed cell with the given lattice parameters; c along z and a in the xz plane.

    The orientation is pymatgen's `Lattice.from_parameters`. Angles that close no cell are brought to a
    flat one (squared volume factor at least 1e-3) instead of giving NaN.
    """
    a, b, c = parameters[:, :3].unbind(-1)
    cosines, sines = torch.cos(torch.deg2rad(parameters[:, 3:])), torch.sin(torch.deg2rad(parameters[:, 3:]))
    cos_alpha, cos_beta, cos_gamma = cosines.unbind(-1)
    sin_beta = sines[:, 1]
    squared = 1 - (cosines**2).sum(-1) + 2 * cosines.prod(-1)
    height = squared.clamp_min(_MIN_SQUARED_VOLUME).sqrt() / sin_beta
    zero = torch.zeros_like(a)
    x_of_b = (cos_gamma - cos_alpha * cos_beta) / sin_beta
    rows = [
        torch.stack([a * sin_beta, zero, a * cos_beta], dim=-1),
        torch.stack([b * x_of_b, b * height, b * cos_alpha], dim=-1),
        torch.stack([zero, zero, c], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def metric_tensor(cell: Float[Tensor, "structures 3 3"]) -> Float[Tensor, "structures 3 3"]:
    """Scalar products of the lattice vectors, F(rho) = rho^T rho (appendix B.2), in square angstrom."""
    return cell @ cell.mT


def volume(cell: Float[Tensor, "structures 3 3"]) -> Float[Tensor, "structures"]:
    """Cell volume in cubic angstrom, positive for either handedness."""
    determinant: Tensor = torch.linalg.det(cell)
    return determinant.abs()


def polar_factor(action: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The symmetric positive factor P of h = R P, P = sqrt(h^T h).

    P deforms a lattice to the same metric tensor as h, without the rotation R (design: what `relax` returns).
    """
    _, singular, right = torch.linalg.svd(action)
    stretch: Tensor = right.mT @ (singular.unsqueeze(-1) * right)
    return stretch


def principal_strains(
    action: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch 3 3"]]:
    """Logarithms of the principal stretches of h = R P, and their axes in the rows: P = axes^T diag(exp) axes."""
    _, singular, right = torch.linalg.svd(action)
    return singular.log(), right


def isotropic_and_deviatoric(
    strain: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 3 3"]]:
    """The parts of a strain that change the volume, (tr / 3) I, and the shape."""
    third = strain.diagonal(dim1=-2, dim2=-1).mean(-1)
    isotropic = third[..., None, None] * torch.eye(3, dtype=strain.dtype, device=strain.device)
    return isotropic, strain - isotropic


def turned(cell: Float[Tensor, "*batch 3 3"], onto: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """A cell, `cell @ Q` with Q in O(3), so that the strain to another is symmetric: `onto = turned @ S`, S positive.

    So is the strain from the other. Invariant under O(3) acting on `cell`.
    """
    left, _, right = torch.linalg.svd(torch.linalg.solve(cell, onto))
    found: Tensor = cell @ left @ right
    return found


def hencky_distance(
    first: Float[Tensor, "structures 3 3"], second: Float[Tensor, "structures 3 3"]
) -> Float[Tensor, " structures"]:
    """Frobenius norm of the Hencky strain that takes one cell to the other, dimensionless.

    Invariant under O(3) acting on either cell, under a change of basis of both, and symmetric.
    """
    stretches = torch.linalg.svdvals(torch.linalg.solve(first, second))
    distance: Tensor = torch.linalg.vector_norm(stretches.log(), dim=-1)
    return distance


def hencky_strain(stretch: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The logarithm of a symmetric positive stretch P: the Hencky (true, logarithmic) strain, dimensionless."""
    values, vectors = torch.linalg.eigh(stretch)
    strain: Tensor = vectors @ (values.log().unsqueeze(-1) * vectors.mT)
    return strain
