"""What can be given to be relaxed: crystals in memory, entries, paths, columns of tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from ase import Atoms
from pymatgen.core import IStructure, Structure

from empnn.ase_atoms import with_input_results
from empnn.data.formats import cif
from empnn.data.reading import read
from empnn.data.records import PARSE_ERRORS, named, unreadable
from empnn.errors import ConfigError, CrystalError
from empnn.terminal import counted

if TYPE_CHECKING:
    import pandas as pd

ACCEPTED = (
    "ASE Atoms, pymatgen Structures or ComputedStructureEntries, or paths, one or several (as a list or a generator), "
    "or a pandas DataFrame of crystals"
)


def listed(given: object, progress: bool | None) -> tuple[list[Any], bool]:
    """The crystals, and whether one was given, not several.

    What cannot be used is left in its place: the `CrystalError` that says why, or what is no crystal at all, which is
    refused where it is converted.

    Raises:
        ConfigError: If several columns of a table hold crystals.
        CrystalError: If nothing in the one file that is given can be read.
        TypeError: If what is given is neither a crystal nor several.
    """
    # A pymatgen Structure is itself a sequence (of sites).
    if isinstance(given, Atoms | IStructure):
        return [given], True
    if isinstance(given, str | PathLike):
        return _from_path(given), False
    column = _column(given)
    if column is not None:
        return [_from_cell(cell) for cell in column], False
    got = type(given).__name__
    if isinstance(given, Iterable) and not isinstance(given, bytes | Mapping):
        several = list(given)
        found = _from_several(several, progress)
        if not several or any(isinstance(one, Atoms | IStructure | CrystalError | None) for one in found):
            return found, False
        got += f" of {type(several[0]).__name__}"
    elif (structure := _from_entry(given)) is not given:
        if isinstance(structure, CrystalError):
            raise structure
        return [structure], True
    raise TypeError(f"expected {ACCEPTED}, got {got}")


def _from_several(given: list[Any], progress: bool | None) -> list[Any]:
    reads = any(isinstance(one, str | PathLike) for one in given)
    found: list[Any] = []
    with counted("reading", len(given), progress if reads else False) as advance:
        for one in given:
            if isinstance(one, str | PathLike):
                found += _in_files(one)
            elif one is None or isinstance(one, Atoms | IStructure):
                found.append(one)
            else:
                found.append(_from_entry(one))
            advance(1)
    return found


def _from_entry(given: Any) -> Any:
    """The structure that an entry or a document of pymatgen holds, or why it has none; anything else as it is."""
    if _is_held(given):
        return given.structure
    from pymatgen.entries import Entry

    if not isinstance(given, Entry):
        return given
    return CrystalError(f"a {type(given).__name__} holds no structure; give a ComputedStructureEntry or a Structure")


def _is_held(given: object) -> bool:
    return isinstance(getattr(given, "structure", None), IStructure)


def _from_path(path: str | PathLike[str]) -> list[Any]:
    found = list(_in_files(path))
    unread = [one for one in found if isinstance(one, CrystalError)]
    if len(unread) == len(found):
        raise unread[0]
    return found


def _in_files(path: str | PathLike[str]) -> Iterator[Atoms | CrystalError]:
    """The structures of a file, a folder or a pattern, each with its identifier and where it comes from in its info."""
    if not fspath(path) or "\n" in fspath(path):
        what = "text of several lines is no path" if fspath(path) else "an empty path"
        yield CrystalError(f"{what}; name a file, or make a Structure of it (Structure.from_str)")
        return
    for record in read(fspath(path)):
        atoms = named(record)
        if atoms is None:
            yield CrystalError(f"{record.label}: {record.error}")
        else:
            atoms = with_input_results(atoms)
            atoms.info["empnn_source"] = record.source
            yield atoms


def _column(given: object) -> pd.Series | None:
    """The column of crystals of a table of pandas, or one that is given alone; None for anything else.

    Raises:
        ConfigError: If there are several.
        TypeError: If there is none.
    """
    # What has not been imported cannot have been given.
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(given, pandas.DataFrame | pandas.Series):
        return None
    if len(given) == 0:
        return pandas.Series([], dtype=object)
    columns = [("", given)] if isinstance(given, pandas.Series) else list(given.items())
    columns = [(name, column) for name, column in columns if getattr(column.dtype, "kind", "O") == "O"]
    for kind in (_is_crystal, _describes_crystal):
        found = [(name, column) for name, column in columns if any(map(kind, column))]
        if len(found) > 1:
            names = ", ".join(str(name) for name, _ in found)
            raise ConfigError(
                f"the table has {len(found)} columns of crystals ({names}); give one of them: table[name]"
            )
        if found:
            return found[0][1]
    raise TypeError(
        f"expected {ACCEPTED}, got a {type(given).__name__} in which no column holds Structures, Atoms, entries, "
        "dictionaries of these or CIF text"
    )


def _is_crystal(cell: object) -> bool:
    return isinstance(cell, Atoms | IStructure) or _is_held(cell)


def _describes_crystal(cell: object) -> bool:
    if isinstance(cell, str):
        return _is_json(cell) or "_cell_length_a" in cell.lower()
    return isinstance(cell, Mapping) and ({"lattice", "sites"} <= {*cell} or "structure" in cell or _is_of_ase(cell))


def _is_json(cell: str) -> bool:
    return cell.lstrip().startswith("{") and '"lattice"' in cell


def _is_of_ase(content: Mapping[Any, Any]) -> bool:
    return {"numbers", "positions", "cell"} <= {*content}


def _from_cell(cell: Any) -> Any:
    """The crystal in a cell of a table, None where it is empty, or why there is none."""
    if isinstance(cell, Atoms | IStructure):
        return cell
    if cell is None or isinstance(cell, float) or type(cell).__name__ == "NAType":
        return None
    if isinstance(cell, str):
        return _parsed(_from_json, cell) if _is_json(cell) else _parsed(cif.atoms_from_text, cell)
    return _parsed(_from_dict, cell) if isinstance(cell, Mapping) else _from_entry(cell)


def _from_json(text: str) -> Any:
    return _from_dict(json.loads(text))


def _from_dict(content: Mapping[str, Any]) -> Any:
    """`Atoms` of ASE's dictionary, a `Structure` of pymatgen's."""
    if _is_of_ase(content):
        return Atoms.fromdict(dict(content))
    return Structure.from_dict(content.get("structure", content))


def _parsed(parse: Callable[[Any], Any], content: Any) -> Any:
    try:
        return parse(content)
    except CrystalError as error:
        return error
    except PARSE_ERRORS as error:
        return CrystalError(unreadable(error))
