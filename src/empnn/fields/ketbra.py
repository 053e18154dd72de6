"""The ket-bra fields |u><u'| of Definition 8, with u = v / r: stretches and shears of size 1."""

import torch

from empnn.fields.in_plane import AlongEdge, Coefficients, InPlane

KETBRA = AlongEdge("u u^T", torch.ones_like)
"""Stretch along an edge."""
KETBRA_FIRST = InPlane("u u^T", lambda _: Coefficients(first=1.0))
"""Stretch along the first leg."""
KETBRA_SECOND = InPlane("u' u'^T", lambda _: Coefficients(second=1.0))
"""Stretch along the second leg."""
KETBRA_SYMMETRIC = InPlane("sym(u u'^T)", lambda _: Coefficients(symmetric=1.0))
"""Shear of the plane of both legs."""
KETBRA_CROSS = InPlane("u u'^T", lambda _: Coefficients(symmetric=1.0, antisymmetric=1.0))
"""Not symmetric."""
KETBRA_CROSS_BACK = InPlane("u' u^T", lambda _: Coefficients(symmetric=1.0, antisymmetric=-1.0))
"""Not symmetric."""
