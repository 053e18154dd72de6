"""Hostile objects for the Python interface, and what must not come of them."""

import random
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixBondLength, FixScaled
from jaxtyping import TypeCheckError
from pymatgen.core import Composition, DummySpecies, Element, IStructure, Lattice, Molecule, PeriodicSite, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from empnn import CrystalError, Relaxer, load
from empnn.crystals import CrystalBatch, from_atoms, from_structure, to_batch
from empnn.data.reading import read
from empnn.data.writing import writer
from empnn.errors import ConfigError
from support.judges import Verdict
from support.relaxing import salt, tiny_network, triclinic

SAME, WRONG, ANY = "the same crystal", "no crystal", "whatever"
"""What an object is: worth the answer of the crystal it was made of, to be refused or doubted, or either."""


@dataclass(frozen=True)
class Hostile:
    """An object.

    Attributes:
        name: How it was made.
        value: It.
        is_worth: What it is.
        base: The crystal it was made of.
    """

    name: str
    value: Any
    is_worth: str
    base: Atoms


class _Failing(Calculator):
    """A calculator that cannot compute anything."""

    def calculate(self, *arguments: object, **options: object) -> None:
        raise RuntimeError("no results")


class _Own(Atoms):
    """A class of somebody's own."""


class _OwnStructure(Structure):
    """A class of somebody's own."""


def _arrays(name: str, of: Callable[[Atoms], Any]) -> Callable[[Atoms], Atoms]:
    def change(atoms: Atoms) -> Atoms:
        atoms.arrays[name] = of(atoms)
        return atoms

    return change


def _cell(of: Callable[[np.ndarray], Any]) -> Callable[[Atoms], Atoms]:
    return lambda atoms: _put(atoms, cell=of(atoms.cell.array.copy()))


def _put(atoms: Atoms, **values: Any) -> Atoms:
    for name, value in values.items():
        if name == "cell":
            atoms.set_cell(value)
        elif name == "info":
            atoms.info.update(value)
        else:
            setattr(atoms, name, value)
    return atoms


def _number(value: int) -> Callable[[Atoms], Atoms]:
    return _arrays("numbers", lambda atoms: np.array([value, *atoms.numbers[1:]]))


def _place(value: float) -> Callable[[Atoms], Atoms]:
    return _arrays("positions", lambda atoms: np.vstack([[value, 0, 0], atoms.positions[1:]]))


def _doubled(atoms: Atoms) -> Atoms:
    return atoms + atoms[:1]


def _permuted(atoms: Atoms) -> Atoms:
    return atoms[::-1]


def _rotated(atoms: Atoms) -> Atoms:
    atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    return atoms


def _other_basis(atoms: Atoms) -> Atoms:
    atoms.set_cell(np.array([[1, 0, 0], [3, 1, 0], [-2, 5, 1]]) @ atoms.cell.array)
    return atoms


_ATOMS: dict[str, tuple[Callable[[Atoms], Any], str]] = {
    "as it is": (lambda atoms: atoms, SAME),
    "own class": (lambda atoms: _Own(atoms), SAME),
    "whole numbers for positions": (_arrays("positions", lambda a: np.round(a.positions).astype(int)), ANY),
    "float32": (_arrays("positions", lambda a: a.positions.astype(np.float32)), SAME),
    "order": (_permuted, SAME),
    "rotated": (_rotated, SAME),
    "other basis": (_other_basis, SAME),
    "unwrapped": (lambda a: _put(a, positions=a.positions + a.cell.array[0] * 3), SAME),
    "no pbc": (lambda a: _put(a, pbc=False), ANY),
    "partial pbc": (lambda a: _put(a, pbc=(True, True, False)), WRONG),
    "no cell": (_cell(lambda cell: cell * 0), WRONG),
    "two vectors": (_cell(lambda cell: cell * [[1], [1], [0]]), WRONG),
    "flat": (_cell(lambda cell: np.array([cell[0], cell[1], cell[0] + cell[1]])), WRONG),
    "NaN cell": (_cell(lambda cell: cell * np.nan), WRONG),
    "infinite cell": (_cell(lambda cell: cell * np.inf), WRONG),
    "huge cell": (_cell(lambda cell: cell * 1e6), WRONG),
    "tiny cell": (_cell(lambda cell: cell * 1e-3), WRONG),
    "huge numbers in the cell": (_cell(lambda cell: cell * 1e200), WRONG),
    "no atoms": (lambda a: a[:0], WRONG),
    "ghost": (_number(0), WRONG),
    "negative": (_number(-1), WRONG),
    "beyond the table": (_number(119), WRONG),
    "far beyond": (_number(2**40), WRONG),
    "fractions of elements": (_arrays("numbers", lambda a: a.numbers + 0.5), WRONG),
    "numbers as floats": (_arrays("numbers", lambda a: a.numbers.astype(float)), ANY),
    "symbols for numbers": (_arrays("numbers", lambda a: np.array(a.get_chemical_symbols())), WRONG),
    "too few numbers": (_arrays("numbers", lambda a: a.numbers[:-1]), WRONG),
    "numbers in rows": (_arrays("numbers", lambda a: a.numbers[:, None]), WRONG),
    "NaN position": (_place(np.nan), WRONG),
    "infinite position": (_place(np.inf), WRONG),
    "far away": (_place(1e18), WRONG),
    "positions in a plane": (_arrays("positions", lambda a: a.positions[:, :2]), WRONG),
    "too few positions": (_arrays("positions", lambda a: a.positions[:-1]), WRONG),
    "objects for positions": (_arrays("positions", lambda a: a.positions.astype(object)), ANY),
    "words for positions": (_arrays("positions", lambda a: a.positions.astype(str)), WRONG),
    "complex positions": (_arrays("positions", lambda a: a.positions + 1j), WRONG),
    "nothing for positions": (_arrays("positions", lambda a: None), WRONG),
    "no arrays": (lambda a: _put(a, arrays={}), WRONG),
    "one atom twice": (_doubled, WRONG),
    "fixed": (lambda a: _put(a, constraints=[FixAtoms([0])]), SAME),
    "fixed in part": (lambda a: _put(a, constraints=[FixScaled(0, (True, False, True))]), SAME),
    "bond held": (lambda a: _put(a, constraints=[FixBondLength(0, 1)]), SAME),
    "calculator that fails": (lambda a: _put(a, calc=_Failing()), SAME),
    "odd results": (lambda a: _put(a, calc=SinglePointCalculator(a, energy=np.nan)), SAME),
    "odd info": (lambda a: _put(a, info={"f": len, 3: 4, ("a",): None, "deep": {"a": {1, 2}}}), SAME),
    "names of ours": (lambda a: _put(a, info={"empnn_status": 5, "empnn_warnings": [1], "charge": "x"}), ANY),
    "whole occupancy": (lambda a: _put(a, info={"occupancy": {"0": {str(a.symbols[0]): 1.0}}}), SAME),
    "partial occupancy": (lambda a: _put(a, info={"occupancy": {"0": {str(a.symbols[0]): 0.5}}}), WRONG),
    "occupancy by number": (lambda a: _put(a, info={"occupancy": {0: {str(a.symbols[0]): 0.5, "Ni": 0.5}}}), WRONG),
    "odd occupancy": (lambda a: _put(a, info={"occupancy": "half"}), ANY),
    "odd states": (_arrays("oxi_states", lambda a: np.array(["x"] * len(a))), ANY),
    "odd moments": (_arrays("initial_magmoms", lambda a: np.array([None] * len(a))), ANY),
    "odd masses": (_arrays("masses", lambda a: np.full(len(a), np.nan)), ANY),
}


def _with_sites(structure: Structure, first: Any, place: Sequence[float] | None = None) -> Structure:
    kinds = [first, *structure.species[1:]]
    frac = structure.frac_coords.copy()
    if place is not None:
        frac[0] = place
    return Structure(structure.lattice, kinds, frac)


def _property(values: Callable[[int], list[Any]], name: str = "magmom") -> Callable[[Structure], Structure]:
    def change(structure: Structure) -> Structure:
        structure.add_site_property(name, values(len(structure)))
        return structure

    return change


def _with_lattice(lattice: Callable[[np.ndarray], Lattice]) -> Callable[[Structure], Structure]:
    return lambda s: Structure(lattice(s.lattice.matrix), s.species, s.frac_coords)


_STRUCTURES: dict[str, tuple[Callable[[Structure], Any], str]] = {
    "as it is": (lambda s: s, SAME),
    "own class": (lambda s: _OwnStructure.from_sites(list(s)), SAME),
    "immutable": (lambda s: IStructure.from_sites(list(s)), ANY),
    "charged": (lambda s: Structure(s.lattice, s.species, s.frac_coords, charge=2), SAME),
    "oxidation states": (lambda s: s.add_oxidation_state_by_element({e.symbol: 0.5 for e in s.elements}), SAME),
    "spins": (lambda s: s.add_spin_by_element({e.symbol: 3 for e in s.elements}), SAME),
    "dummy": (lambda s: _with_sites(s, DummySpecies("X")), WRONG),
    "disordered": (lambda s: _with_sites(s, {"Fe": 0.5, "Ni": 0.5}), WRONG),
    "vacancy": (lambda s: _with_sites(s, {"Fe": 0.9}), WRONG),
    "NaN place": (lambda s: _with_sites(s, "Fe", [np.nan, 0, 0]), WRONG),
    "far away": (lambda s: _with_sites(s, "Fe", [1e18, 0, 0]), WRONG),
    "one atom twice": (lambda s: Structure.from_sites([*s, s[0]]), WRONG),
    "no atoms": (lambda s: Structure(s.lattice, [], []), WRONG),
    "NaN lattice": (_with_lattice(lambda m: Lattice(m * np.nan)), WRONG),
    "flat lattice": (_with_lattice(lambda m: Lattice([m[0], m[1], m[0] + m[1]])), WRONG),
    "partial pbc": (_with_lattice(lambda m: Lattice(m, pbc=(True, False, True))), WRONG),
    "left-handed": (lambda s: Structure(Lattice(s.lattice.matrix * [1, 1, -1]), s.species, s.frac_coords), SAME),
    "moments missing": (_property(lambda n: [None, *[1.0] * (n - 1)]), SAME),
    "odd moments": (_property(lambda n: ["up", *[[1, 2, 3]] * (n - 1)]), ANY),
    "flags missing": (_property(lambda n: [[True, False, True], *[None] * (n - 1)], "selective_dynamics"), SAME),
    "odd charges": (_property(lambda n: [{"a": 1}] * n, "charge"), ANY),
    "properties of objects": (_property(lambda n: [object()] * n, "thing"), SAME),
}

_NO_CRYSTALS: tuple[Any, ...] = (
    *(None, "POSCAR", "", b"data_", 5, 1.5, float("nan"), True, Path("in.cif"), object(), Atoms, Structure, len, ...),
    *(ase.Atom("Fe"), Lattice.cubic(4), Element("Fe"), Composition("NaCl"), Molecule(["H"], [[0, 0, 0]]), np.eye(3)),
    *(torch.eye(3), np.float64(3), {"a": 1}, slice(3), range(3), PeriodicSite("Fe", [0, 0, 0], Lattice.cubic(3))),
)
_COUNTS: tuple[Any, ...] = (0, -1, 1, 2, 1.5, "2", None, True, float("nan"), float("inf"), [], np.int64(1), b"1")
_MODELS: tuple[Any, ...] = (
    *(None, "", 5, b"mp-20", Path(), [], "mp-20\0", "../mp-20", "nothing", {}, 1.5, "a\nb", Atoms, "x" * 5000),
    "\udcff",
)
_DEVICES: tuple[Any, ...] = (
    *(None, "", 5, "cuda", "meta", "tpu", [], "a\nb", "privateuseone", torch.device("cpu"), "mps", "xla", "cuda:99"),
    {},
)
_FILES: tuple[Any, ...] = (
    *(None, 5, 1.5, b"x", {}, "missing.cif", "a\0b.cif", "x" * 5000, "\udcff.cif", [], "a\nb", object(), "["),
    "missing/*",
)
_OUTPUTS = ("o.extxyz", "o.cif", "o.json", "o.csv", "o.db", "o.traj", "o.vasp", "o.xyzzy", "", ".", "o.xsf")
_NO_CONTAINERS = (dict, bytes, ase.Atom, PeriodicSite, Molecule, np.ndarray, torch.Tensor)


def hostile(rng: random.Random) -> Hostile:
    """An object that is, was or looks like a crystal."""
    base = rng.choice((salt, triclinic))()
    if rng.random() < 0.6:
        name = rng.choice(list(_ATOMS))
        change, is_worth = _ATOMS[name]
        return Hostile(f"Atoms, {name}", change(base.copy()), is_worth, base)
    name = rng.choice(list(_STRUCTURES))
    alter, is_worth = _STRUCTURES[name]
    return Hostile(f"Structure, {name}", alter(AseAtomsAdaptor.get_structure(base)), is_worth, base)


class Judge:
    """Calls the Python interface with hostile objects."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.relaxer = Relaxer(tiny_network(), {"strain_limit": 9.0})

    def __call__(self, seed: int, number: int) -> Verdict:
        """The case of this number."""
        rng = random.Random(f"objects/{seed}/{number}")  # noqa: S311
        rarely = (self.containers, self.counts, self.models, self.conversions, self.files)
        call = rng.choice((self.one, self.one, self.many, self.many, *rarely))
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                name, trouble = call(rng)
            except Exception as error:
                # Whatever escapes is what is being looked for.
                name, trouble = call.__name__, f"{type(error).__name__} escaped: {error}"
        outcome = f"FAILURE: {call.__name__}: {name}: {trouble}" if trouble else call.__name__
        return Verdict(outcome, trouble, time.perf_counter() - started)

    def one(self, rng: random.Random) -> tuple[str, str]:
        """A single object: relaxed, or one of the exceptions that are promised."""
        given = hostile(rng)
        try:
            result = self.relaxer.relax(given.value)
        except (CrystalError, TypeError) as error:
            return given.name, _refused(given, error)
        except Exception as error:
            return given.name, f"{type(error).__name__} escaped: {error}"
        return given.name, self._sound(given, result.structures, result.status, result.strain)

    def many(self, rng: random.Random) -> tuple[str, str]:
        """Several objects: never an exception, and the good ones come out as they would alone."""
        items = [hostile(rng) for _ in range(rng.randint(1, 4))]
        strange = rng.choice(_NO_CRYSTALS)
        given: list[Any] = [one.value for one in items]
        with_strange = rng.random() < 0.3
        result = self.relaxer.relax([*given, strange] if with_strange else given)
        name = ", ".join(one.name for one in items) + (f", {strange!r}" if with_strange else "")
        if not len(result.structures) == len(result.status) == len(given) + with_strange:
            return name, f"{len(result.structures)} results"
        if with_strange and not result.status[-1].startswith("refused: "):
            return name, f"{strange!r} is {result.status[-1]}"
        for index, one in enumerate(items):
            status = result.status[index]
            if (result.structures[index] is None) != status.startswith("refused"):
                return name, f"{status}, {result.structures[index]}"
            if result.structures[index] is None:
                trouble = _refused(one, CrystalError(status.removeprefix("refused: ")))
            else:
                trouble = self._sound(one, result.structures[index], status, result.strain[index])
            if trouble:
                return f"{one.name} among others", trouble
        return name, ""

    def containers(self, rng: random.Random) -> tuple[str, str]:
        """What is no crystal, and crystals in all sorts of containers."""
        crystals = [salt(), triclinic()]
        held = np.empty(2, dtype=object)
        held[0], held[1] = crystals
        sound = (tuple(crystals), iter(crystals), (one for one in crystals), held, dict.fromkeys("ab", salt()).values())
        if rng.random() < 0.3:
            status = self.relaxer.relax(rng.choice(sound)).status
            return "container", "" if len(status) == 2 and {*status} <= {"relaxed", "unchanged"} else str(status)
        one: Any = salt()
        strange = ({"a": one}, [crystals], {0: one}, [[]], [{"a": one}], [one.todict()], [None], ["x"], [one, None])
        given = rng.choice((*_NO_CRYSTALS, *strange, set(), [], {}, one.todict()))
        try:
            result = self.relaxer.relax(given)
        except (CrystalError, TypeError) as error:
            return repr(given)[:80], _bad_words(error)
        if isinstance(given, _NO_CONTAINERS):
            return repr(given)[:80], f"took a {type(given).__name__} for crystals: {result.status[:2]}"
        accepted = [made for made in result.structures if made is not None and not isinstance(made, Atoms)]
        if len(result.status) != len(given):
            return repr(given)[:80], f"{len(result.status)} results"
        return repr(given)[:80], f"made {accepted} of it" if accepted else ""

    def counts(self, rng: random.Random) -> tuple[str, str]:
        """Passes and atoms per batch."""
        passes, batch = rng.choice((*_COUNTS, 1, 1)), rng.choice((*_COUNTS, 64, 64))
        name = f"passes={passes!r}, batch_atoms={batch!r}"
        try:
            result = self.relaxer.relax([salt(), triclinic()], passes=passes, batch_atoms=batch)
        except (ValueError, TypeError) as error:
            return name, _bad_words(error)
        if passes not in (None, 1, 2) or isinstance(batch, str | bytes) or batch in (0, -1):
            return name, f"obeyed: {result.status}"
        return name, "" if None not in result.structures else str(result.status)

    def models(self, rng: random.Random) -> tuple[str, str]:
        """Names of models and of devices."""
        name, device = (rng.choice(_MODELS), "cpu") if rng.random() < 0.5 else ("mp-20", rng.choice(_DEVICES))
        try:
            load(name, device)
        except (ConfigError, TypeError) as error:
            return f"load({name!r}, {device!r})", _bad_words(error)
        return f"load({name!r}, {device!r})", "" if name == "mp-20" and str(device) in ("cpu", "None") else "loaded"

    def conversions(self, rng: random.Random) -> tuple[str, str]:
        """Crystals as the package holds them."""
        given = hostile(rng) if rng.random() < 0.8 else Hostile("no crystal", rng.choice(_NO_CRYSTALS), WRONG, salt())
        convert: Callable[[Any], CrystalBatch] = to_batch
        if isinstance(given.value, Atoms | Structure) and rng.random() < 0.5:
            convert = from_atoms if isinstance(given.value, Atoms) else from_structure
        try:
            batch = convert(given.value)
        except (CrystalError, TypeError) as error:
            return given.name, _bad_words(error)
        finite = bool(torch.isfinite(batch.cell).all() and torch.isfinite(batch.frac).all())
        return given.name, "" if finite and len(batch.numbers) and int(batch.numbers.min()) > 0 else "unusable"

    def files(self, rng: random.Random) -> tuple[str, str]:
        """Reading and writing."""
        if rng.random() < 0.4:
            given = rng.choice(_FILES)
            try:
                records = list(read(given))
            except TypeError as error:
                return f"read({given!r})", _bad_words(error)
            return f"read({given!r})"[:80], "" if records and all(one.error for one in records) else "read"
        name = rng.choice(_OUTPUTS)
        objects = [hostile(rng).value for _ in range(rng.randint(1, 2))]
        objects = [one for one in objects if isinstance(one, Atoms)] or [rng.choice((*_NO_CRYSTALS, salt()))]
        try:
            writer(self.folder / name)(objects)
        except (ConfigError, TypeError, OSError) as error:
            return f"write to {name}", _bad_words(error)
        return f"write to {name}", ""

    def _sound(self, given: Hostile, crystal: Any, status: str, strain: Any) -> str:
        """Where a result is nonsense."""
        if status not in ("relaxed", "unchanged", "suspect"):
            return f"status {status}"
        if type(crystal) is not type(given.value):
            return f"a {type(crystal).__name__} for a {type(given.value).__name__}"
        is_atoms = isinstance(crystal, Atoms)
        volume = (crystal.get_volume() if is_atoms else crystal.volume) / len(crystal)
        places = crystal.positions if is_atoms else crystal.cart_coords
        if not (np.isfinite(strain).all() and np.isfinite(places).all() and volume > 0.5):
            return "an unusable result"
        if given.is_worth == WRONG and status != "suspect":
            return f"taken for a crystal, {status}"
        if given.is_worth == SAME:
            alone = self.relaxer.relax(given.base).structures
            expected = alone.get_volume() / len(alone)
            return "" if abs(volume / expected - 1) < 1e-4 else f"volume {volume}, not {expected}"
        return ""


def _refused(given: Hostile, error: Exception) -> str:
    return f"refused: {error}" if given.is_worth == SAME else _bad_words(error)


def _bad_words(error: Exception) -> str:
    """What is wrong with the words of an exception; those of the suite's own checks of types are not ours."""
    message = str(error)
    bad = not message or "\n" in message or len(message) > 400 or not message.isprintable()
    return f"bad words: {message!r}" if bad and not isinstance(error, TypeCheckError) else ""
