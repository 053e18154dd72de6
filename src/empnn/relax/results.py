"""What relaxing gives back: of one crystal, and of many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, SupportsIndex, TypeVar, overload

import numpy as np
from jaxtyping import Float64

from empnn.crystals import to_batch

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms
    from pymatgen.core import IStructure

    C = TypeVar("C", bound=Atoms | IStructure)
    T = TypeVar("T", bound=Atoms | IStructure | None)
else:  # Not bound, for that would take an import of both.
    C, T = TypeVar("C"), TypeVar("T")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Relaxation(Generic[T]):
    """A relaxed crystal, of the type it was given.

    Attributes:
        structures: The relaxed crystal; None if it was refused, which only one of several can be.
        strain: Hencky strain log P from the given to the relaxed cell, Cartesian frame of the input; NaN if refused.
        displacements: How far each atom moves within the cell, Cartesian in the frame of the relaxed cell, angstrom;
            zero for models that relax the cell only, None if refused.
        status: `relaxed`, `unchanged` (no strain over 1e-4, no displacement over 0.001 angstrom),
            `suspect` (there are doubts, see `warnings`) or `refused: why`.
        warnings: Reasons to look twice (doubts), then what is special about the crystal as given (notes: a left-handed
            cell, charges and moments that the network does not see, deuterium, atoms that stay where they are), in
            words.
        trajectory: The cell after each layer and pass, angstrom, without stray rotation; NaN if refused.
        symmetrized: The space group that was made exact, as `P6_3/mmc (194)`; None unless that was asked for.
    """

    structures: T
    strain: Float64[np.ndarray, "3 3"]
    displacements: Float64[np.ndarray, "atoms 3"] | None
    status: str
    warnings: list[str]
    trajectory: Float64[np.ndarray, "steps 3 3"]
    symmetrized: str | None = None

    def __repr__(self) -> str:
        change = "" if self.structures is None else f", volume {math.expm1(np.trace(self.strain)):+.1%}"
        return f"Relaxation({self.status}{change})"

    def as_dict(self) -> dict[str, Any]:
        """The attributes in JSON types; the crystal as its `cell`, `frac` in [0, 1) and `numbers`; null if refused."""
        words = {"status": self.status, "warnings": self.warnings, "symmetrized": self.symmetrized}
        arrays = ("strain", "displacements", "trajectory")
        if self.structures is None:
            return {"structures": None, **dict.fromkeys(arrays), **words}
        batch: Any = to_batch(self.structures)
        crystal = {"cell": batch.cell[0].tolist(), "frac": batch.frac.tolist(), "numbers": batch.numbers.tolist()}
        return {"structures": crystal, **{name: getattr(self, name).tolist() for name in arrays}, **words}


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Relaxations(Sequence[Relaxation[C | None]]):
    """Relaxed crystals, in the order and of the types they were given: a sequence of `Relaxation`.

    Attributes:
        structures: The relaxed crystals; None where one was refused.
        strain: Hencky strain log P from the given to the relaxed cell, Cartesian frame of the input; NaN where refused.
        displacements: Those of each crystal, Cartesian, angstrom; None where refused.
        status: `relaxed`, `unchanged`, `suspect` or `refused: why`.
        warnings: Doubts and notes on each, in words.
        trajectory: The cell after each layer and pass, angstrom, without stray rotation; NaN where refused.
        symmetrized: The space group that was made exact in each; None unless that was asked for.
    """

    structures: list[C | None]
    strain: Float64[np.ndarray, "structures 3 3"]
    displacements: list[np.ndarray | None]
    status: list[str]
    warnings: list[list[str]]
    trajectory: Float64[np.ndarray, "structures steps 3 3"]
    symmetrized: list[str | None]

    def __len__(self) -> int:
        return len(self.structures)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Relaxation[C | None]: ...

    @overload
    def __getitem__(self, index: slice) -> Relaxations[C]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Relaxation[C | None] | Relaxations[C]:
        kind = Relaxations if isinstance(index, slice) else Relaxation
        return kind(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def __repr__(self) -> str:
        counts = Counter(status.partition(":")[0] for status in self.status)
        found = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        return f"Relaxations({found or 'none'})"

    def as_dict(self) -> dict[str, list[Any]]:
        """The attributes in JSON types; see `Relaxation.as_dict`."""
        each = [one.as_dict() for one in self]
        return {f.name: [one[f.name] for one in each] for f in fields(self)}

    def to_dataframe(self) -> pd.DataFrame:
        """A row per crystal: `structure`, `status`, `warnings`, and what changed, NaN where refused.

        `volume_change` is V / V before - 1, `strain` the Frobenius norm of log P, and `displacement` the largest one of
        an atom, angstrom.
        """
        import pandas as pd

        moved = [math.nan if d is None else np.linalg.norm(d, axis=1).max() for d in self.displacements]
        return pd.DataFrame(
            {
                "structure": pd.Series(self.structures, dtype=object),
                "status": self.status,
                "warnings": self.warnings,
                "volume_change": np.expm1(np.trace(self.strain, axis1=1, axis2=2)),
                "strain": np.linalg.norm(self.strain, axis=(1, 2)),
                "displacement": np.array(moved, dtype=np.float64),
            }
        )
