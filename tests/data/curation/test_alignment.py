"""Hand-made families, and crystals distorted within their symmetry."""

import numpy as np
import pytest
from support.families import (
    antiperovskite,
    form,
    half_heusler,
    perovskite,
    rewritten,
    rocksalt,
    spinel,
    tellurium,
    wurtzite,
)

from empnn.data.curation.alignment import Target

pytestmark = pytest.mark.filterwarnings("ignore:.*:Warning:spglib", "ignore:.*:Warning:pymatgen")

FAMILIES = {
    "rocksalt": [rocksalt(5.64, 11, 17), rocksalt(4.2, 8, 12, at=0.5), rocksalt(6.0, 19, 9, at=0.123)],
    "perovskite": [perovskite(3.9, 38, 22, 8), antiperovskite(3.8, 38, 22, 8), perovskite(3.9, 8, 22, 38)],
    "half-heusler": [
        half_heusler(6.0, (22, 28, 50), (0.0, 0.25, 0.5)),
        half_heusler(6.1, (28, 22, 50), (0.0, 0.25, 0.75)),
        half_heusler(5.9, (3, 33, 30), (0.5, 0.25, 0.0)),
    ],
    "wurtzite": [
        wurtzite(3.81, 6.26, 0.376, 30, 16),
        wurtzite(3.25, 5.2, 0.382, 30, 8, mirrored=True),
        wurtzite(4.0, 6.6, 0.621, 16, 48),
    ],
    "tellurium": [tellurium(4.45, 5.93, 0.269, 52), tellurium(4.37, 4.95, 0.225, 34, mirrored=True)],
    "spinel": [spinel(8.08, 0.262, 12, 13, 8), spinel(8.4, 0.2548, 30, 24, 16), spinel(9.9, 0.24, 12, 21, 34)],
}


@pytest.mark.parametrize("name", FAMILIES)
def test_members_of_a_family_are_laid_onto_each_other(name, generator):
    forms = [form(rewritten(one, generator)) for one in FAMILIES[name]]
    assert len({each.key for each in forms}) == 1
    for one in forms:
        target = Target(one.form)
        for other in forms:
            found = target.lay(other.form)
            assert found is not None
            assert sorted(found.slots) == list(range(len(found.slots)))
            assert len(set(zip(other.form.kinds, one.form.kinds[found.slots], strict=True))) == len(set(one.form.kinds))
            assert abs(round(np.linalg.det(found.change))) == 1
            assert found.displacement < (0.25 if name in ("wurtzite", "spinel", "tellurium") else 1e-6)
            assert found.strain < 0.2


def test_keys_tell_structures_apart():
    crystals = [rocksalt(5.64, 11, 17), perovskite(3.9, 38, 22, 8), half_heusler(6.0, (22, 28, 50), (0.0, 0.25, 0.5))]
    crystals += [wurtzite(3.8, 6.26, 0.376, 30, 16), spinel(8.08, 0.262, 12, 13, 8)]
    assert len({form(one).key for one in crystals}) == len(crystals)


def test_the_free_coordinate_of_a_spinel_is_its_displacement():
    one, other = (form(spinel(8.0, u, 12, 13, 8)) for u in (0.2600, 0.2625))
    found = Target(one.form).lay(other.form)
    # The 8 anions of 14 atoms move along the diagonal by du a sqrt(3).
    assert found.displacement == pytest.approx(8 / 14 * 0.0025 * 8.0 * 3**0.5, abs=1e-5)
    assert found.strain < 1e-9


def test_a_mirrored_wurtzite_is_laid_without_moving_an_atom():
    one, other = (form(wurtzite(3.8, 6.2, 0.38, 30, 16, mirrored)) for mirrored in (False, True))
    found = Target(one.form).lay(other.form)
    assert found.displacement < 1e-6
    assert found.strain < 1e-9


def test_crystals_beyond_likeness_stay_apart():
    flat = wurtzite(3.8, 6.2 * 3, 0.38, 30, 16)
    assert Target(form(wurtzite(3.8, 6.2, 0.38, 30, 16)).form).lay(form(flat).form) is None
