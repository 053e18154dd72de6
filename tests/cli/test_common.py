"""Long JSON documents are printed item by item, and are the same."""

import pytest

from empnn.cli.common import json_document, print_long_json


@pytest.mark.parametrize("items", [[], [1], [{"a": [1, {"b": float("nan")}], "c": "]\n"}, []], [[], {}, "x"]])
def test_a_long_document_is_that_of_all_at_once(capsys, items):
    print_long_json({"first": {"a": []}, "second": None}, "items", iter(items))
    assert capsys.readouterr().out == json_document({"first": {"a": []}, "second": None, "items": items})
