"""A Dockerfile, taken apart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """An instruction of a Dockerfile.

    Attributes:
        stage: The number of the image it belongs to.
        verb: What it does: `RUN`, `COPY` and so on.
        rest: All that follows.
    """

    stage: int
    verb: str
    rest: str


def steps(path: Path) -> list[Step]:
    """The instructions of a file."""
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text())
    found: list[Step] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip():
            verb, _, rest = line.strip().partition(" ")
            stage = sum(step.verb == "FROM" for step in found) - (verb != "FROM")
            found.append(Step(stage, verb, rest.strip()))
    return found


def last(found: list[Step], verb: str) -> str:
    """What the last instruction of a kind says, which is the one that holds."""
    return [step.rest for step in found if step.verb == verb][-1]
