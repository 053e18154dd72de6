"""Benchmarks, run from the root of the repository: python -m benchmarks.speed.train_step.

They share the package `support` with the tests.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))
