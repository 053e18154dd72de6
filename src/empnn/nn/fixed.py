"""Layers on crystals of which something is fixed: they leave it alone, and the next layer sees that they did."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from empnn.crystals import CrystalBatch
from empnn.nn.action import LayerAction


def keep_fixed(action: LayerAction, crystals: CrystalBatch, before: Float[Tensor, "structures 3 3"]) -> LayerAction:
    """What a layer does to crystals but for what they fix: h = I on cells, no displacement along fixed coordinates.

    Equivariant as the action is, if the marks go with the atoms; those of some coordinates of an atom belong to the
    basis.

    Args:
        action: What the layer does where nothing is fixed.
        crystals: The crystals that the first layer got.
        before: The action accumulated before this layer.
    """
    if crystals.fixed_cell is not None:
        fixed = crystals.fixed_cell[:, None, None]
        identity = torch.eye(3, dtype=action.lattice.dtype, device=action.lattice.device)
        lattice, strain = torch.where(fixed, identity, action.lattice), torch.where(fixed, 0.0, action.strain)
        action = replace(action, lattice=lattice, strain=strain)
    if crystals.fixed_frac is not None and action.displacement is not None:
        current = crystals.with_cell(crystals.cell @ before.mT)
        action = replace(action, displacement=_from_fixed(action.displacement, current, crystals.fixed_frac))
    return action


def _from_fixed(
    displacement: Float[Tensor, "atoms 3"], crystals: CrystalBatch, fixed: Bool[Tensor, "atoms 3"]
) -> Float[Tensor, "atoms 3"]:
    """Displacements as seen from what is fixed, which therefore stays.

    In each fractional coordinate f = inv(cell) d of an atom is 0 where it is fixed, else f minus the mean of f over the
    atoms of the structure that are fixed in this coordinate, if there are such: a common translation means nothing, so
    that a single fixed atom changes nothing but the origin.
    """
    shift = crystals.fractional(displacement.to(torch.float64))
    held = torch.cat([torch.where(fixed, shift, 0.0), fixed.to(torch.float64)], dim=1)
    total, count = torch.split(held.new_zeros(len(crystals), 6).index_add(0, crystals.batch, held), 3, dim=1)
    frame = (total / count.clamp_min(1)).index_select(0, crystals.batch)
    free = torch.where(fixed, 0.0, shift - frame)
    return (free.unsqueeze(-1) * crystals.cell.index_select(0, crystals.batch)).sum(1).to(displacement.dtype)
