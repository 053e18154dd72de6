import numpy as np
import pytest
import spglib

from empnn.data.curation.normalisers import space_group

pytestmark = pytest.mark.filterwarnings("ignore:.*:Warning:spglib")

CLASSES = {1: 6960, 2: 27840, 16: 96, 19: 96, 22: 48, 47: 48, 62: 8, 69: 12, 75: 8, 139: 2, 156: 12, 160: 2, 166: 2}
CLASSES |= {176: 4, 186: 2, 194: 2, 198: 8, 216: 8, 221: 2, 225: 2, 227: 2, 230: 1}
"""Index of each space group in its affine normaliser, polar translations left out (International Tables A, 15.2)."""


def _hall(number: int) -> int:
    return next(hall for hall in range(1, 531) if spglib.get_spacegroup_type(hall).number == number)


@pytest.mark.parametrize("number", CLASSES)
def test_normaliser_conjugates_the_group_onto_itself(number):
    group = space_group(_hall(number))
    rotations = {tuple(w.ravel()): t for w, t in zip(group.rotations, group.translations, strict=True)}
    assert len(rotations) == len(group.rotations)
    count = 0
    for change, shifts in list(zip(group.changes, group.shifts, strict=True))[:40]:
        inverse = np.linalg.inv(change)
        conjugated = np.rint(change @ group.rotations @ inverse).astype(int)
        wanted = np.array([rotations[tuple(w.ravel())] for w in conjugated])
        for shift in shifts:
            moved = group.translations @ change.T + shift - conjugated @ shift
            assert np.abs((moved - wanted) - np.rint(moved - wanted)).max() < 1e-9
            count += 1
    assert sum(map(len, group.shifts)) == CLASSES[number]


@pytest.mark.parametrize("number", [5, 12, 15, 44, 79, 82, 146, 155, 167, 197, 203, 219])
def test_primitive_operations_of_centred_groups_form_a_group(number):
    group = space_group(_hall(number))
    places = {tuple(w.ravel()): t for w, t in zip(group.rotations, group.translations, strict=True)}
    for w, t in zip(group.rotations, group.translations, strict=True):
        for v, s in zip(group.rotations, group.translations, strict=True):
            off = w @ s + t - places[tuple((w @ v).ravel())]
            assert np.abs(off - np.rint(off)).max() < 1e-9
