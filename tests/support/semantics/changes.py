"""What a change of the meaning of a file is."""

import random
from collections.abc import Callable

import numpy as np

from support.readings import Reading
from support.rewriting.sources import Source

Changed = tuple[str, tuple[Reading, ...]]
"""A text, and what may be read of it without a doubt."""
Change = Callable[[Source, random.Random], Changed]


def by(reader: Callable[[str], list[Reading]], text: str) -> list[Reading]:
    """What a text says by the book; nothing if it cannot be read."""
    try:
        return reader(text)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, np.linalg.LinAlgError):
        return []
