"""The items of a JSON array of any length, one after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_LONGEST_WORD = 16
"""Characters before its end within which a text that was cut off may be wrong: no word of JSON is longer."""


class Item(NamedTuple):
    """A value of JSON, and whether it is one of an array or all there is."""

    value: Any
    listed: bool


def items(chunks: Iterable[str]) -> Iterator[Item]:
    """The items of the array that a text holds, which comes in chunks; or the value that it holds instead.

    No more of the text is kept than twice the longest item, and a chunk.

    Raises:
        ValueError: Where it is no JSON, in the words of `json.loads`; what comes before is given.
        RecursionError: If it is nested too deeply.
    """
    text = _Text(chunks)
    if text.next_mark() != "[":
        text.read_all()
        value = text.value()
        text.end()
        yield Item(value, False)
        return
    text.at += 1
    empty = text.next_mark() == "]"
    while not empty:
        yield Item(text.value(), True)
        mark = text.next_mark()
        if mark == "]":
            break
        if mark != ",":
            raise text.error("Expecting ',' delimiter", text.at)
        text.at += 1
        text.next_mark()
    text.at += 1
    text.end()


class _Text:
    """What has been read of a text and is not decoded yet.

    Attributes:
        at: The place of what comes next.
    """

    def __init__(self, chunks: Iterable[str]) -> None:
        self._chunks = iter(chunks)
        self._text = ""
        self._ended = False
        self._dropped = 0
        self._lines = 0
        self._last_line_end = -1
        self.at = 0

    def next_mark(self) -> str:
        """Pass over white space; the character after it, empty at the end."""
        while True:
            self.at = self._after_space()
            if self.at < len(self._text) or self._ended:
                return self._text[self.at : self.at + 1]
            self._read_on()

    def value(self) -> Any:
        """The value that comes next."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self.at)
            except json.JSONDecodeError as error:
                if self._ended or not self._may_be_cut_off(error):
                    raise self.error(error.msg, error.pos) from None
            else:
                # A number may go on: 1, 1.5e3.
                if end + _LONGEST_WORD <= len(self._text) or self._ended:
                    self.at = end
                    return value
            self._read_on()

    def end(self) -> None:
        """Make sure that nothing comes any more."""
        if self.next_mark():
            raise self.error("Extra data", self.at)

    def read_all(self) -> None:
        """Read to the end."""
        self._text += "".join(self._chunks)
        self._ended = True

    def error(self, what: str, place: int) -> ValueError:
        """What `json.loads` would raise of the whole text."""
        line_end = self._text.rfind("\n", 0, place)
        last = self._last_line_end if line_end < 0 else self._dropped + line_end
        line = self._lines + self._text.count("\n", 0, place) + 1
        position = self._dropped + place
        return ValueError(f"{what}: line {line} column {position - last} (char {position})")

    def _after_space(self) -> int:
        found = _SPACE.match(self._text, self.at)
        return self.at if found is None else found.end()

    def _may_be_cut_off(self, error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated string") or error.pos > len(self._text) - _LONGEST_WORD

    def _read_on(self) -> None:
        """Drop what is decoded, and read at least as much as is left, so that a long value is decoded seldom."""
        line_end = self._text.rfind("\n", 0, self.at)
        if line_end >= 0:
            self._last_line_end = self._dropped + line_end
        self._lines += self._text.count("\n", 0, self.at)
        self._dropped += self.at
        read = [self._text[self.at :]]
        size = wanted = len(read[0])
        while size <= 2 * wanted and not self._ended:
            chunk = next(self._chunks, None)
            self._ended = chunk is None
            read.append(chunk or "")
            size += len(read[-1])
        self._text, self.at = "".join(read), 0
