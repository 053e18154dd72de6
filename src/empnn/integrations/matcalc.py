"""For matcalc: relaxing with the interface of its `RelaxCalc`, alone or in a `ChainedCalc`; matcalc is not needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from empnn.errors import CrystalError
from empnn.integrations.common import Model, marks, relaxer_of
from empnn.models import DEFAULT
from empnn.relax import Relaxation, Relaxations

_TOGETHER = 256
_UNITS = dict.fromkeys(("a", "b", "c"), "A") | dict.fromkeys(("alpha", "beta", "gamma"), "degree") | {"volume": "A^3"}


class EMPNNCalc:
    """Relaxes structures; there are no energies, forces and stresses.

    Args:
        model: Name or folder of a model, or a loaded one.
        fix: What stays: the `cell`, or the `positions`, all fractional coordinates.
        passes: How often the network is applied; by default once, and again where the cell changes much.
        device: Where a model is loaded; found by itself by default.

    Raises:
        ConfigError: If there is no such model or device.
    """

    def __init__(
        self,
        model: Model = DEFAULT,
        fix: str | None = None,
        passes: int | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.relaxer = relaxer_of(model, device)
        self.fix = fix
        self.passes = passes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.relaxer!r})"

    def calc(self, structure: Structure | Atoms | dict[str, Any]) -> dict[str, Any]:
        """Relax a structure.

        Args:
            structure: A structure, `Atoms`, or the dictionary of a calculation before, with a `final_structure` or a
                `structure`.

        Returns:
            What was in the dictionary, `final_structure` (a `Structure`), its lengths `a`, `b`, `c` (angstrom), angles
            `alpha`, `beta`, `gamma` (degrees) and `volume` (cubic angstrom), `is_converged` (false if the answer is
            suspect), `empnn_status`, `empnn_warnings` and `empnn_error_*` if there are any, and the units of the
            others.

        Raises:
            ConfigError: If what is to stay cannot.
            CrystalError: If the structure is unusable, or a dictionary holds none.
        """
        (found,) = self.calc_many([structure])
        return found  # type: ignore[return-value]

    def calc_many(
        self,
        structures: Iterable[Structure | Atoms | dict[str, Any] | None],
        n_jobs: int | None = None,
        allow_errors: bool = False,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any] | None]:
        """Relax structures, some hundred at a time, as the answers are taken.

        Args:
            structures: As `calc` takes them, any number.
            n_jobs: Without a meaning, as all further options of joblib: they are relaxed together in this process.
            allow_errors: Give None for what is unusable, instead of an exception.
            kwargs: See `n_jobs`.

        Yields:
            What `calc` returns.

        Raises:
            ConfigError: If what is to stay cannot.
            CrystalError: If a structure is unusable, or a dictionary holds none, and errors are not allowed.
        """
        waiting = iter(structures)
        while given := list(islice(waiting, _TOGETHER)):
            several = list(map(_structure, given))
            results: Relaxations[Any] = self.relaxer.relax(several, passes=self.passes, fix=self.fix, progress=False)
            for before, result in zip(given, results, strict=True):
                if result.structures is not None:
                    yield _merged(before, result)
                elif allow_errors:
                    yield None
                else:
                    raise CrystalError(result.status.removeprefix("refused: "))


def _structure(given: Any) -> Any:
    if isinstance(given, Mapping):
        given = given.get("final_structure", given.get("structure"))
        if given is None:
            return CrystalError("the dictionary holds no structure; give one as final_structure or structure")
    return given


def _merged(before: Any, result: Relaxation[Any]) -> dict[str, Any]:
    """What was known before, and what is since."""
    relaxed = result.structures
    structure = AseAtomsAdaptor.get_structure(relaxed) if isinstance(relaxed, Atoms) else relaxed
    known = dict(before) if isinstance(before, Mapping) else {}
    known.pop("empnn_warnings", None)
    lattice = structure.lattice
    return {
        **known,
        "final_structure": structure,
        "is_converged": result.status != "suspect",
        **{name: getattr(lattice, name) for name in _UNITS},
        **marks(result),
        "_units": {**known.get("_units", {}), **_UNITS},
    }
