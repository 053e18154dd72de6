"""Write a lock: what empnn with some of its extras needs, in the versions of this (fresh) environment.

Usage: python scripts/lock.py LOCK, a file that LOCKS names
"""

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

BUILD = ("hatchling", "editables")
LOCKS = {
    "requirements.lock": ("venv", ("empnn[dev]", *BUILD)),
    "requirements-web.lock": ("test-web", ("empnn[browser]", *BUILD)),
    "requirements-docs.lock": ("docs", ("empnn[docs,test]", *BUILD)),
    "requirements-cluster.lock": ("test-cluster", ("empnn[cluster,test]", *BUILD)),
    "requirements-integrations.lock": ("test-integrations", ("empnn[integrations,test]", *BUILD)),
}
"""What installs each, and what it is for."""
HEADER = "# Versions that `make {}` installs, for Python 3.11. Written by scripts/lock.py (make lock).\n"


def closure(roots: tuple[str, ...]) -> dict[str, str]:
    """Name and version of every distribution the roots need here."""
    found: dict[str, str] = {}
    waiting = [(Requirement(r).name, frozenset(Requirement(r).extras)) for r in roots]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        dist = distribution(name)
        key = re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower()
        found[key] = dist.version.partition("+")[0]
        for text in dist.requires or ():
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in (extras or {""})):
                waiting.append((need.name, frozenset(need.extras)))
    return found


if __name__ == "__main__":
    lock = sys.argv[1]
    target, roots = LOCKS[lock]
    pins = closure(roots)
    pins.pop("empnn")
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    Path(lock).write_text(HEADER.format(target) + "".join(lines))
    print(f"wrote {lock}: {len(lines)} packages")
