"""Write requirements.lock: what empnn with its dev extra needs, in the versions of this (fresh) environment."""

import re
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOTS = ("empnn[dev]", "hatchling", "editables")
HEADER = "# Versions that `make venv` installs, for Python 3.11. Written by scripts/lock.py (make lock).\n"


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
    pins = closure(ROOTS)
    pins.pop("empnn")
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    Path("requirements.lock").write_text(HEADER + "".join(lines))
    print(f"wrote requirements.lock: {len(lines)} packages")
