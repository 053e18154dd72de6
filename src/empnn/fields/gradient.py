"""Left-trivialised gradients of lengths, angles and areas: d/dh f(h v, h v') at h = I (section 5.1).

The paper's equations 5 to 7 differentiate by the lattice itself, which gives u e^T: that is not equivariant as an
action from the left. Lengths, angles and areas are invariant under O(3), so their derivative along a rotation is zero
and these matrices are symmetric: the rows `grad-*` and `gradsym-*` of Table 2 are the same functions.
"""

from torch import Tensor

from empnn.fields.in_plane import AlongEdge, Coefficients, Frame, InPlane

COLLINEAR = 1e-3
"""eps in sqrt(|v x v'|^2 + eps^2 r^2 r'^2), which keeps the fields of collinear triplets finite; they tend to 0."""


def _sine(frame: Frame) -> Tensor:
    return (frame.squared_sine + COLLINEAR**2).sqrt()


def _angle(frame: Frame) -> Coefficients:
    along = frame.cosine / _sine(frame)
    return Coefficients(first=along, second=along, symmetric=-2 / _sine(frame))


def _area(frame: Frame) -> Coefficients:
    """A (I - n n^T) = r r' (u u^T + u' u'^T - c (u u'^T + u' u^T)) / (2 s)."""
    along = frame.first * frame.second / (2 * _sine(frame))
    return Coefficients(first=along, second=along, symmetric=-2 * frame.cosine * along)


LENGTH = AlongEdge("grad r = r u u^T", lambda lengths: lengths)
"""The gradient of the length of an edge, u v^T, in angstrom."""
FIRST_LENGTH = InPlane("grad r", lambda frame: Coefficients(first=frame.first))
"""The gradient of the length of the first leg, in angstrom."""
SECOND_LENGTH = InPlane("grad r'", lambda frame: Coefficients(second=frame.second))
"""The gradient of the length of the second leg, in angstrom."""
ANGLE = InPlane("grad theta = -(u u'^T + u' u^T - c (u u^T + u' u'^T)) / s", _angle)
"""The gradient of the angle, c and s its cosine and sine, in radians; Frobenius norm sqrt(2) s."""
AREA = InPlane("grad area = A (I - n n^T)", _area)
"""The gradient of the area of the triangle, n its unit normal, in square angstrom."""
