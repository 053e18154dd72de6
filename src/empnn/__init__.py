"""Equivariant message passing neural network for crystals: a wrong cell in, its relaxed cell out.

import empnn
model = empnn.load()
result = model.relax(structures)
"""

from typing import TYPE_CHECKING, Any

from empnn.errors import ConfigError, CrystalError
from empnn.version import __version__

if TYPE_CHECKING:
    from empnn.relax import Relaxation, Relaxer, load
    from empnn.relax.results import Relaxations
    from empnn.relax.trust import PredictedErrors


__all__ = [
    "ConfigError",
    "CrystalError",
    "PredictedErrors",
    "Relaxation",
    "Relaxations",
    "Relaxer",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    """Import torch and the rest only when they are used, so that `import empnn` is instant."""
    if name in ("PredictedErrors", "Relaxation", "Relaxations", "Relaxer", "load"):
        from empnn import relax

        return getattr(relax, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """All names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})
