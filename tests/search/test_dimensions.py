"""What a key may be, as it is typed and as a file says it."""

import pytest

from empnn.errors import ConfigError
from empnn.search.dimensions import Choices, Range, dimension, typed_dimension
from empnn.training.config import key_named


def typed(text: str) -> Choices | Range | None:
    name, _, value = text.partition("=")
    return typed_dimension(*key_named(name), value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.learning_rate=log(1e-5,1e-2)", Range(1e-5, 1e-2, log=True, whole=False)),
        ("lr=range(0, 0.5)", Range(0.0, 0.5, log=False, whole=False)),
        ("model.features=log(16,256)", Range(16.0, 256.0, log=True, whole=True)),
        ("model.weight_limit=[null,0.01]", Choices(("null", "0.01"))),
        ("lr=[1e-4,3e-5,1e-5,1e-4]", Choices(("0.0001", "3e-05", "1e-05"))),
        ("loss=[param_mae, hencky]", Choices(('"param_mae"', '"hencky"'))),
        ("train.decay=[true,false]", Choices(("true", "false"))),
        ("model.deform=choices([cell],[cell,positions])", Choices(('["cell"]', '["cell", "positions"]'))),
        ("model.fields=choices(ketbra-e,grad-r-e)", Choices(('"ketbra-e"', '"grad-r-e"'))),
        # A list where the key takes one is a value, as everywhere.
        ("model.deform=[cell,positions]", None),
        ("data.path=[a.cif,b.cif]", None),
        ("lr=1e-3", None),
    ],
)
def test_what_is_typed(text: str, expected: Choices | Range | None) -> None:
    assert typed(text) == expected


def test_the_values_of_choices_are_those_of_the_configuration() -> None:
    found = typed("model.weight_limit=[null,0.01]")
    assert isinstance(found, Choices)
    assert found.values == [None, 0.01]


def test_in_a_file_a_list_is_always_choices() -> None:
    assert dimension(*key_named("model.deform"), [["cell"], ["cell", "positions"]]) == Choices(
        ('["cell"]', '["cell", "positions"]')
    )


@pytest.mark.parametrize("text", ["train.learning_rate=log(1e-5,0.01)", "model.features=range(16,256)", "lr=[1,2]"])
def test_a_dimension_is_written_as_it_is_typed(text: str) -> None:
    found = typed(text)
    name = text.partition("=")[0]
    assert typed(f"{name}={found}") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.learning_rat=[1,2]", "unknown key train.learning_rat; did you mean train.learning_rate?"),
        ("train=[1,2]", "unknown key train; did you mean train"),
        ("lr=log(0,1)", "only positive numbers have a logarithm"),
        ("lr=range(2,1)", "the first number must be smaller"),
        ("lr=range(1)", "give two numbers, as in range(1,8)"),
        ("lr=range(1,nan)", "must be smaller than the second, and both finite"),
        ("model.features=range(1,2.5)", "must be whole numbers"),
        ("loss=range(1,2)", "only numbers have a range; give choices"),
        ("lr=[]", "nothing to choose from"),
        ("lr=[1,2", "not a list of values"),
        ("lr=choices()", "nothing to choose from"),
    ],
)
def test_what_cannot_be(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        typed(text)
    assert message in str(caught.value)


def test_a_file_that_gives_one_value_gives_nothing_to_choose_from() -> None:
    with pytest.raises(ConfigError, match=r"train.learning_rate=0.1: nothing to choose from; give \[a,b\]"):
        dimension(*key_named("lr"), 0.1)
