"""The rows of Table 2, and how a set of fields is named."""

import pytest
import torch
from torch import Tensor

from empnn.errors import ConfigError
from empnn.fields import EDGE_FIELDS, TABLE2, TRIPLET_FIELDS, FieldSet, field_set

KEYS = [
    "ketbra-e",
    "ketbra-t",
    "ketbra-e-t",
    "ketbra-e-tsym",
    "ketbra-e-tall",
    "grad-r-e",
    "grad-r-t",
    "grad-r-e-t",
    "grad-r-e-t-area",
    "grad-r-e-t-theta",
    "gradsym-r-e",
    "gradsym-r-t",
    "gradsym-r-e-t",
    "gradsym-r-e-t-area",
    "gradsym-r-e-t-theta",
]
COUNTS = {"r-e": (1, 0), "r-t": (0, 2), "r-e-t": (1, 2), "r-e-t-area": (1, 3), "r-e-t-theta": (1, 3)}


def _legs(generator: torch.Generator) -> Tensor:
    return torch.randn(2, 40, 3, dtype=torch.float64, generator=generator)


def _matrices(row: FieldSet, legs: Tensor) -> list[Tensor]:
    return [field(legs[0]) for field in row.edges] + [field(*legs) for field in row.triplets]


def test_the_fifteen_rows_and_their_order() -> None:
    assert [key for key in TABLE2 if key in KEYS] == KEYS
    ketbra = {"ketbra-e": (1, 0), "ketbra-t": (0, 2), "ketbra-e-t": (1, 2), "ketbra-e-tsym": (1, 3)}
    expected = ketbra | {"ketbra-e-tall": (1, 4)}
    expected |= {f"{kind}-{name}": count for kind in ("grad", "gradsym") for name, count in COUNTS.items()}
    assert {key: (len(TABLE2[key].edges), len(TABLE2[key].triplets)) for key in KEYS} == expected


def test_the_rows_hold_what_the_table_says(generator: torch.Generator) -> None:
    legs = _legs(generator)
    u, w = (v / torch.linalg.vector_norm(v, dim=-1, keepdim=True) for v in legs)
    uu, ww, uw = (torch.einsum("ti,tj->tij", a, b) for a, b in ((u, u), (w, w), (u, w)))
    length = torch.linalg.vector_norm(legs, dim=-1)[..., None, None]
    first, second = length[0] * uu, length[1] * ww
    expected = {
        "ketbra-e": [uu],
        "ketbra-t": [uu, ww],
        "ketbra-e-t": [uu, uu, ww],
        "ketbra-e-tsym": [uu, uu, ww, (uw + uw.mT) / 2],
        "ketbra-e-tall": [uu, uu, ww, uw, uw.mT],
        "grad-r-e": [first],
        "grad-r-t": [first, second],
        "grad-r-e-t": [first, first, second],
        "grad-r-e-t-area": [first, first, second, TRIPLET_FIELDS["grad-area"](*legs)],
        "grad-r-e-t-theta": [first, first, second, TRIPLET_FIELDS["grad-theta"](*legs)],
    }
    for key, matrices in expected.items():
        torch.testing.assert_close(_matrices(TABLE2[key], legs), matrices)


@pytest.mark.parametrize("name", COUNTS)
def test_symmetrised_gradients_are_the_gradients(name: str, generator: torch.Generator) -> None:
    legs = _legs(generator)
    gradients, symmetrised = (_matrices(TABLE2[f"{kind}-{name}"], legs) for kind in ("grad", "gradsym"))
    torch.testing.assert_close([(m + m.mT) / 2 for m in gradients], symmetrised, rtol=1e-13, atol=1e-13)
    assert all(torch.equal(a, b) for a, b in zip(gradients, symmetrised, strict=True))


@pytest.mark.parametrize("key", KEYS)
def test_one_row_only_is_not_symmetric(key: str, generator: torch.Generator) -> None:
    worst = max(float((m - m.mT).abs().max()) for m in _matrices(TABLE2[key], _legs(generator)))
    assert worst > 0.5 if key == "ketbra-e-tall" else worst < 1e-13


def test_fields_are_what_they_are_filed_as(generator: torch.Generator) -> None:
    """Those on edges take edges, those on triplets both legs, and nothing else; a protocol does not tell them apart."""
    first, second = _legs(generator)
    for fields, fitting, others in (
        (EDGE_FIELDS, (first,), (first, second)),
        (TRIPLET_FIELDS, (first, second), (first,)),
    ):
        for field in fields.values():
            assert field(*fitting).shape == (len(first), 3, 3)
            with pytest.raises(TypeError):
                field(*others)
    assert not set(EDGE_FIELDS) & set(TRIPLET_FIELDS)
    filed = {*EDGE_FIELDS.values(), *TRIPLET_FIELDS.values()}
    assert filed == {field for key in KEYS for field in (*TABLE2[key].edges, *TABLE2[key].triplets)}


def test_a_set_is_named_by_a_row_or_by_its_fields() -> None:
    for key, row in TABLE2.items():
        assert field_set(key) is row
    chosen = field_set(["grad-theta", "ketbra", "ketbra-first", "grad-r"])
    assert chosen.edges == (EDGE_FIELDS["ketbra"], EDGE_FIELDS["grad-r"])
    assert chosen.triplets == (TRIPLET_FIELDS["grad-theta"], TRIPLET_FIELDS["ketbra-first"])
    assert field_set(("ketbra",)) == FieldSet(edges=(EDGE_FIELDS["ketbra"],))


def test_the_formula_of_a_set_names_edges_and_triplets() -> None:
    assert TABLE2["ketbra-e"].formula == "edges: u u^T"
    assert TABLE2["ketbra-e-tsym"].formula == "edges: u u^T; triplets: u u^T, u' u'^T, sym(u u'^T)"
    assert TABLE2["grad-r-t"].formula == "triplets: grad r, grad r'"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ketbra", "model.fields=ketbra does not exist; use one of ketbra-e, .*gradsym-r-e-t-theta"),
        ("", "does not exist"),
        (["ketbra", "bra", "ket"], "no field bra, ket; use some of ketbra, grad-r, .*grad-theta"),
        (["ketbra-e"], "no field ketbra-e;"),
        ([], "no field given"),
        (["ketbra", "grad-r", "ketbra"], "occurs twice"),
        (3, "must be a row"),
        (None, "must be a row"),
        ([1, 2], "must be a row"),
    ],
)
def test_what_does_not_exist_is_refused(name: str | list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        field_set(name)
