"""The package `support` of the tests, for benchmarks run as scripts, whose path holds this folder only."""

from pathlib import Path

__path__ = [str(Path(__file__).parents[1] / "tests" / "support")]
