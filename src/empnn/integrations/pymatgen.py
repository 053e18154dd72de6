"""For pymatgen: relaxing as a transformation, alone, in a `TransformedStructure` or in a transmuter."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pymatgen.core import Structure
from pymatgen.transformations.transformation_abc import AbstractTransformation

from empnn.integrations.common import mark
from empnn.models import DEFAULT
from empnn.relax import Relaxation, Relaxer, load


class EMPNNTransformation(AbstractTransformation):
    """Relaxes a structure; written down in JSON (`as_dict`) by the name of the model and the options.

    Args:
        model: A packaged model by name, a model folder or a run directory.
        fix: What stays: the `cell`, or the `positions`, all fractional coordinates.
        passes: How often the network is applied; by default once, and again where the cell changes much.
        device: Where to compute; found by itself by default.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT,
        fix: str | None = None,
        passes: int | None = None,
        device: str | None = None,
    ) -> None:
        self.model = str(model)
        self.fix = fix
        self.passes = passes
        self.device = device

    def __repr__(self) -> str:
        options = {"fix": self.fix, "passes": self.passes, "device": self.device}
        said = [f"{name}={value!r}" for name, value in options.items() if value is not None]
        return f"{type(self).__name__}({', '.join([repr(self.model), *said])})"

    def apply_transformation(self, structure: Structure) -> Structure:
        """The relaxed structure, whose properties say `empnn_status`, and `empnn_warnings` if there are any.

        Raises:
            ConfigError: If there is no such model or device, or what is to stay cannot.
            CrystalError: If the structure is unusable.
        """
        result: Relaxation[Structure] = self._relaxer.relax(structure, passes=self.passes, fix=self.fix)
        mark(result.structures.properties, result)
        return result.structures

    @cached_property
    def _relaxer(self) -> Relaxer:
        return load(self.model, self.device)
