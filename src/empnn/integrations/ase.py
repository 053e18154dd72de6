"""For ASE: `Atoms` relaxed in place, by a function or by a class that is used like an optimizer.

from empnn.integrations.ase import EMPNNRelax
EMPNNRelax(atoms).run()
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from ase import Atoms
from ase.io.trajectory import TrajectoryWriter

from empnn.integrations.common import Model, mark, relaxer_of
from empnn.models import DEFAULT
from empnn.relax import Relaxation


def relax(
    atoms: Atoms,
    model: Model = DEFAULT,
    fix: str | None = None,
    passes: int | None = None,
    device: str | torch.device | None = None,
) -> Relaxation[Atoms]:
    """Relax atoms in place: their cell and positions change, a calculator, constraints and all else stay.

    Atoms and directions that constraints fix keep their fractional coordinates. The info says `empnn_status`, and
    `empnn_warnings` if there are any.

    Args:
        atoms: The crystal.
        model: Name or folder of a model, or a loaded one, which is faster for many crystals.
        fix: What stays: the `cell`, or the `positions`, all fractional coordinates.
        passes: How often the network is applied; by default once, and again where the cell changes much.
        device: Where a model is loaded; found by itself by default.

    Raises:
        ConfigError: If there is no such model or device, or what is to stay cannot.
        CrystalError: If the crystal is unusable; it is left as it was.
        TypeError: If it is no `Atoms`: a filter of cells is not needed.
    """
    _check(atoms)
    result: Relaxation[Atoms] = relaxer_of(model, device).relax(atoms, passes=passes, fix=fix)
    atoms.set_cell(result.structures.cell, scale_atoms=False, apply_constraint=False)
    atoms.set_positions(result.structures.positions, apply_constraint=False)
    mark(atoms.info, result)
    return result


def _check(atoms: object) -> None:
    if not isinstance(atoms, Atoms):
        got = type(atoms).__name__
        raise TypeError(f"expected ASE Atoms, got {got}; give the atoms themselves, their cell is relaxed anyway")


class EMPNNRelax:
    """Relaxes `Atoms` in place, used like an optimizer of ASE: one step, without a calculator.

    Args:
        atoms: The crystal; no filter of cells is needed.
        model: Name or folder of a model, or a loaded one, which is faster for many crystals.
        fix: What stays: the `cell`, or the `positions`, all fractional coordinates.
        passes: How often the network is applied; by default once, and again where the cell changes much.
        device: Where a model is loaded; found by itself by default.
        logfile: A file, or the name of one, to write a line to before and after; `-` is stdout.
        trajectory: The same for the crystal before and after, as a trajectory of ASE.
        append_trajectory: Add to a trajectory that is there.

    Attributes:
        atoms: The crystal.
        nsteps: How often it has been relaxed.
        result: What `Relaxer.relax` said the last time; None at first.

    Raises:
        ConfigError: If there is no such model or device.
        TypeError: If it is no `Atoms`.
    """

    def __init__(
        self,
        atoms: Atoms,
        model: Model = DEFAULT,
        *,
        fix: str | None = None,
        passes: int | None = None,
        device: str | torch.device | None = None,
        logfile: str | Path | IO[str] | None = None,
        trajectory: str | Path | TrajectoryWriter | None = None,
        append_trajectory: bool = False,
    ) -> None:
        _check(atoms)
        self.atoms = atoms
        self.relaxer = relaxer_of(model, device)
        self.fix = fix
        self.passes = passes
        self.logfile = logfile
        self.nsteps = 0
        self.result: Relaxation[Atoms] | None = None
        self._observers: list[tuple[Callable[..., Any], int, tuple[Any, ...], dict[str, Any]]] = []
        self.trajectory = trajectory
        if isinstance(trajectory, str | Path) and not append_trajectory:
            Path(trajectory).unlink(missing_ok=True)

    def __enter__(self) -> EMPNNRelax:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def attach(self, function: Any, interval: int = 1, *args: Any, **kwargs: Any) -> None:
        """Have something called, or written to, before and after; every so many steps."""
        self._observers.append((function if callable(function) else function.write, interval, args, kwargs))

    def run(self, fmax: float | None = None, steps: int | None = None) -> bool:
        """Relax the atoms.

        Args:
            fmax: Without a meaning, for there are no forces.
            steps: None are taken if it is 0; more than one never are.

        Returns:
            Whether the answer is there and not suspect.

        Raises:
            ConfigError: If what is to stay cannot.
            CrystalError: If the crystal is unusable; it is left as it was.
        """
        return list(self.irun(fmax, steps))[-1]

    def irun(self, fmax: float | None = None, steps: int | None = None) -> Iterator[bool]:
        """The same step by step: what `converged` says before and after."""
        if self.nsteps == 0:
            self._report()
        yield False
        if steps != 0:
            self.result = relax(self.atoms, self.relaxer, self.fix, self.passes)
            self.nsteps += 1
            self._report()
            yield self.converged()

    def converged(self) -> bool:
        """Whether the atoms have been relaxed and the answer is not suspect."""
        return self.result is not None and self.result.status != "suspect"

    def get_number_of_steps(self) -> int:
        """How often the atoms have been relaxed."""
        return self.nsteps

    def _report(self) -> None:
        name, volume = type(self).__name__, abs(np.linalg.det(self.atoms.cell.array))
        if self.nsteps == 0:
            self._log(f"{'':{len(name)}}  Step     Time      Volume    Strain  Status\n")
        said = "" if self.result is None else f"{np.linalg.norm(self.result.strain):10.4f}  {self.result.status}"
        self._log(f"{name}: {self.nsteps:4d} {time.strftime('%H:%M:%S')} {volume:11.4f}{said}\n")
        self._write()
        for function, interval, args, kwargs in self._observers:
            if self.nsteps % interval == 0:
                function(*args, **kwargs)

    def _write(self) -> None:
        if isinstance(self.trajectory, str | Path):
            with TrajectoryWriter(self.trajectory, "a") as file:
                file.write(self.atoms)
        elif self.trajectory is not None:
            self.trajectory.write(self.atoms)

    def _log(self, line: str) -> None:
        if self.logfile == "-":
            sys.stdout.write(line)
        elif isinstance(self.logfile, str | Path):
            with Path(self.logfile).open("a", encoding="utf-8") as file:
                file.write(line)
        elif self.logfile is not None:
            self.logfile.write(line)
