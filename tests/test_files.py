"""Text is the same in whatever portions a file is read."""

import io

import pytest

from empnn import files
from empnn.errors import CrystalError


def chunks(content, size, monkeypatch):
    monkeypatch.setattr(files, "_BUFFER", size)
    return list(files.text_chunks(io.BytesIO(content)))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1 << 20])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ""),
        (b"\xef\xbb\xbfa\r\nb\rc\nd\r", "a\nb\nc\nd\n"),
        (b"\r\n\r\r\n", "\n\n\n"),
        ("a\u00e9\u4e2d\U0001f600\r\n\u00e9".encode(), "a\u00e9\u4e2d\U0001f600\n\u00e9"),
        (b"caf\xe9\r\n", "caf\u00e9\n"),
        (b"caf\xc3", "caf\u00c3"),
    ],
)
def test_portions_make_no_difference(content, expected, size, monkeypatch):
    assert "".join(chunks(content, size, monkeypatch)) == expected


def test_what_is_no_utf8_further_on_changes_nothing_before(monkeypatch):
    text = "\u00e9" * 50
    content = text.encode() + b"\r\n" + text.encode("latin-1")
    assert "".join(chunks(content, 25, monkeypatch)) == f"{text}\n{text}"


def test_a_null_character_is_told_where_it_comes(monkeypatch):
    monkeypatch.setattr(files, "_BUFFER", 4)
    found = files.text_chunks(io.BytesIO(b"good\0bad"))
    assert next(found) == "good"
    with pytest.raises(CrystalError, match="not a text file"):
        next(found)
