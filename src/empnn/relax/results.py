"""What relaxing gives back: of one crystal, and of many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, SupportsIndex, TypeVar, overload

import numpy as np
import torch
from jaxtyping import Float64

from empnn.crystals import to_batch, wrap
from empnn.errors import CrystalError
from empnn.relax import shown
from empnn.relax.changes import COLUMNS, GROUPS, SYMPREC, Change, changes, columns
from empnn.relax.trust import PredictedErrors
from empnn.symmetry_search import space_group

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms
    from matplotlib.figure import Figure
    from pymatgen.core import IStructure

    C = TypeVar("C", bound=Atoms | IStructure)
    T = TypeVar("T", bound=Atoms | IStructure | None)
else:  # Not bound, for that would take an import of both.
    C, T = TypeVar("C"), TypeVar("T")


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Cell (3, 3), fractional coordinates (atoms, 3) and atomic numbers (atoms,) of a crystal."""


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
        trajectory: The cell after each layer of each pass, angstrom, without stray rotation. The last is the answer: a
            second pass that only some crystals have is part of it. NaN if refused.
        errors: What the answer may be off by; None if refused, or if the model has nothing that tells.
        symmetrized: The space group that was made exact, as `P6_3/mmc (194)`; None unless that was asked for.
    """

    structures: T
    strain: Float64[np.ndarray, "3 3"]
    displacements: Float64[np.ndarray, "atoms 3"] | None
    status: str
    warnings: list[str]
    trajectory: Float64[np.ndarray, "steps 3 3"]
    errors: PredictedErrors | None
    symmetrized: str | None = None

    def __repr__(self) -> str:
        return f"Relaxation({shown.line(self)})"

    def _repr_html_(self) -> str:
        return shown.table(self)

    @property
    def change(self) -> Change | None:
        """What changed, in numbers; None if it was refused."""
        if self.displacements is None:
            return None
        after = self.trajectory[-1:]
        (found,) = changes(_cells_before(after, self.strain[None]), after, [self.displacements])
        return found

    def space_groups(self, symprec: float = SYMPREC) -> tuple[str | None, str | None]:
        """The space groups before and after, as in `Fm-3m (225)`; None where spglib finds none, or if it was refused.

        Looked for at each call: that takes some milliseconds, as long as relaxing or longer.

        Args:
            symprec: Distance in angstrom within which they are looked for. Answers are symmetric to no more digits than
                they are right to, unless what was given is.
        """
        if self.structures is None:
            return None, None
        before, after = self.before_and_after()
        return space_group(*before, symprec), space_group(*after, symprec)

    def before_and_after(self) -> tuple[Arrays, Arrays]:
        """Cell, fractional coordinates and atomic numbers of the crystal as given and relaxed.

        Coordinates are in [0, 1) before, and move on from there.

        Raises:
            CrystalError: If it was refused.
        """
        if self.structures is None or self.displacements is None:
            raise CrystalError("it was refused, so that there is nothing before and after")
        crystal: Any = to_batch(self.structures)
        numbers, after = crystal.numbers.numpy(), self.trajectory[-1]
        moved = self.displacements @ np.linalg.inv(after)
        frac = wrap(crystal.frac - torch.from_numpy(moved)).numpy()
        return (_cells_before(after, self.strain), frac, numbers), (after, frac + moved, numbers)

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """Draw the crystal as given and relaxed, side by side: the cell as given is dashed behind the relaxed one.

        What changed, what the answer may be off by and doubts stand below. A notebook shows the figure.

        Args:
            path: A file to save it to as well; the suffix tells the format (.png, .pdf, .svg).

        Raises:
            CrystalError: If it was refused.
            OSError: If the file cannot be written.
        """
        from empnn.viz.states import RELAXED, WRONG, State, alone
        from empnn.viz.style import formula, save

        (cell, frac, numbers), (after, moved, _) = self.before_and_after()
        states = [State("given", WRONG, cell, frac), State("relaxed", RELAXED, after, moved)]
        figure = alone(states, numbers, formula(shown.formula(self)), shown.note(self))
        if path is not None:
            save(figure, Path(path))
        return figure

    def as_dict(self) -> dict[str, Any]:
        """The attributes in JSON types; the crystal as its `cell`, `frac` in [0, 1) and `numbers`; null if refused."""
        errors = None if self.errors is None else self.errors.as_dict()
        words = {"status": self.status, "warnings": self.warnings, "errors": errors, "symmetrized": self.symmetrized}
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
        trajectory: The cell after each layer of each pass, angstrom, without stray rotation. The last is the answer: a
            second pass that only some crystals have is part of it. NaN where refused.
        errors: What each answer may be off by; None where refused, or if the model has nothing that tells.
        symmetrized: The space group that was made exact in each; None unless that was asked for.
    """

    structures: list[C | None]
    strain: Float64[np.ndarray, "structures 3 3"]
    displacements: list[np.ndarray | None]
    status: list[str]
    warnings: list[list[str]]
    trajectory: Float64[np.ndarray, "structures steps 3 3"]
    errors: list[PredictedErrors | None]
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

    @property
    def change(self) -> list[Change | None]:
        """What changed of each, in numbers; None where refused."""
        done = [index for index, moved in enumerate(self.displacements) if moved is not None]
        after = self.trajectory[done, -1] if done else np.empty((0, 3, 3))
        moved = [moved for moved in self.displacements if moved is not None]
        found: list[Change | None] = [None] * len(self)
        for index, change in zip(done, changes(_cells_before(after, self.strain[done]), after, moved), strict=True):
            found[index] = change
        return found

    def _repr_html_(self) -> str:
        return shown.table_of_many(repr(self), self)

    def as_dict(self) -> dict[str, list[Any]]:
        """The attributes in JSON types; see `Relaxation.as_dict`."""
        each = [one.as_dict() for one in self]
        return {f.name: [one[f.name] for one in each] for f in fields(self)}

    def to_dataframe(self, space_groups: bool = False) -> pd.DataFrame:
        """A row per crystal: `structure`, `status`, `warnings`, and what changed, NaN where refused.

        The columns of what changed are those of tables that `empnn relax` writes, without `empnn_`: `volume_before` and
        `volume_after` in cubic angstrom, `volume_change` in per cent, `strain` (the Frobenius norm of log P),
        `displacement` (the largest one of an atom, angstrom), and `a_before` to `gamma_after`, angstrom and degrees;
        `error_volume` and the like are the predicted errors, if the model tells any.

        Args:
            space_groups: Add `space_group_before` and `space_group_after`, see `Relaxation.space_groups`; takes some
                milliseconds per crystal.
        """
        import pandas as pd

        kept = {"structure": pd.Series(self.structures, dtype=object), "status": self.status, "warnings": self.warnings}
        rows = [dict.fromkeys(COLUMNS, math.nan) if one is None else columns(vars(one)) for one in self.change]
        numbers = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in COLUMNS}
        told = [{} if errors is None else errors.as_dict() for errors in self.errors]
        names = [f.name for f in fields(PredictedErrors) if any(f.name in one for one in told)]
        errors = {f"error_{name}": [one.get(name, math.nan) for one in told] for name in names}
        table = pd.DataFrame({**kept, **numbers, **errors})
        if space_groups:
            table[list(GROUPS)] = pd.DataFrame([one.space_groups() for one in self], columns=list(GROUPS), dtype=object)
        return table


def _cells_before(
    after: Float64[np.ndarray, "*batch 3 3"], strain: Float64[np.ndarray, "*batch 3 3"]
) -> Float64[np.ndarray, "*batch 3 3"]:
    """The cells of which `cell @ P` became, P = exp(strain)."""
    values, vectors = np.linalg.eigh(strain)
    before: np.ndarray = after @ (vectors * np.exp(-values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return before
