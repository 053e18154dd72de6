"""Tables with one crystal per row, as CIF text in a column `cif` or pymatgen JSON in a column `structure`.

The other columns are the crystal's info, in both directions.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from io import TextIOBase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.feather
import pyarrow.parquet
from ase import Atoms

from empnn.data import cif, pymatgen_json
from empnn.data.records import ID_KEYS, Entries, Entry, identifier, open_bytes, with_results_kept
from empnn.errors import CrystalError

_CRYSTAL_COLUMNS: dict[str, Callable[[Any], Atoms]] = {
    "cif": cif.atoms_from_text,
    "structure": pymatgen_json.atoms_from_dict,
}
_PLAIN = (str, int, float, bool)
_BATCH_ROWS = 1024


def csv_entries(path: Path) -> Entries:
    """The rows of a CSV file; numbers, lists and truth values in it are read as such, identifiers as text."""
    csv.field_size_limit(2**31 - 1)
    with io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="") as handle:
        # Strict, because a file cut off within a quoted field would otherwise pass for a crystal with fewer atoms.
        rows = csv.DictReader(handle, strict=True)
        yield from _entries(rows, rows.fieldnames or (), _value_of_text)


def parquet_entries(path: Path) -> Entries:
    """The rows of a parquet file, some at a time."""
    with pyarrow.parquet.ParquetFile(path) as file:
        batches = file.iter_batches(batch_size=_BATCH_ROWS)
        rows = (row for batch in batches for row in batch.to_pylist())
        yield from _entries(rows, file.schema_arrow.names, _value_of_arrow)


def feather_entries(path: Path) -> Entries:
    """The rows of a feather file (Arrow IPC), some at a time."""
    with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_file(source) as file:
        batches = (file.get_batch(index) for index in range(file.num_record_batches))
        rows = (row for batch in batches for part in _slices(batch) for row in part.to_pylist())
        yield from _entries(rows, file.schema.names, _value_of_arrow)


def write_csv(handle: TextIOBase, structures: Sequence[Atoms]) -> None:
    """Rows of CIF text with their info; what is neither text nor number as JSON."""
    rows, columns = _rows(structures, _text)
    table = csv.DictWriter(handle, fieldnames=columns)
    table.writeheader()
    table.writerows(rows)


def write_parquet(path: Path, structures: Sequence[Atoms]) -> None:
    """The same rows as parquet."""
    pyarrow.parquet.write_table(_arrow_table(structures), path)


def write_feather(path: Path, structures: Sequence[Atoms]) -> None:
    """The same rows as feather."""
    pyarrow.feather.write_feather(_arrow_table(structures), str(path), chunksize=_BATCH_ROWS)


def join_parquet(parts: Sequence[Path], target: Path) -> None:
    """Parquet files one after another; a column that one of them lacks is empty there."""
    schema = _common_schema([pyarrow.parquet.read_schema(part) for part in parts])
    with pyarrow.parquet.ParquetWriter(target, schema) as writer:
        for part in parts:
            writer.write_table(_with_schema(pyarrow.parquet.read_table(part), schema))


def join_feather(parts: Sequence[Path], target: Path) -> None:
    """Feather files one after another; a column that one of them lacks is empty there."""
    tables = [pyarrow.feather.read_table(part, memory_map=True) for part in parts]
    schema = _common_schema([table.schema for table in tables])
    options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
    with pyarrow.ipc.new_file(str(target), schema, options=options) as writer:
        for table in tables:
            writer.write_table(_with_schema(table, schema), max_chunksize=_BATCH_ROWS)


def join_csv(parts: Sequence[TextIOBase], target: TextIOBase) -> None:
    """CSV files one after another; a column that one of them lacks is empty there."""
    csv.field_size_limit(2**31 - 1)
    readers = [csv.DictReader(part) for part in parts]
    columns = list(dict.fromkeys(name for reader in readers for name in reader.fieldnames or ()))
    table = csv.DictWriter(target, fieldnames=columns)
    table.writeheader()
    for reader in readers:
        table.writerows(reader)


def _rows(structures: Sequence[Atoms], cell: Callable[[Any], Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of identifier, CIF text and info, each value made a cell, and the names of all their columns."""
    rows = []
    for index, atoms in enumerate(map(with_results_kept, structures)):
        info = {k: str(v) if k in ID_KEYS else cell(v) for k, v in atoms.info.items() if k not in _CRYSTAL_COLUMNS}
        name = identifier(atoms.info) or f"structure_{index}"
        rows.append({"material_id": name, "cif": cif.text_from_atoms(atoms, name, with_info=False), **info})
    return rows, list(dict.fromkeys(key for row in rows for key in row))


def _entries(rows: Iterable[dict[str, Any]], columns: Sequence[str], read_value: Callable[[Any], Any]) -> Entries:
    column = next((name for name in _CRYSTAL_COLUMNS if name in columns), None)
    if column is None:
        raise CrystalError(
            "the table has no column named cif or structure; add one that holds CIF text or pymatgen JSON"
        )
    parse = partial(_atoms_from_row, column, read_value)
    for row in rows:
        yield Entry(parse, row, identifier(row), cif=row[column] if column == "cif" else None)


def _slices(batch: pyarrow.RecordBatch) -> Iterator[pyarrow.RecordBatch]:
    return (batch.slice(start, _BATCH_ROWS) for start in range(0, batch.num_rows, _BATCH_ROWS))


def _atoms_from_row(column: str, read_value: Callable[[Any], Any], row: dict[str, Any]) -> Atoms:
    atoms = _CRYSTAL_COLUMNS[column](row[column])
    for name, value in row.items():
        if name and name != column and value not in (None, ""):
            atoms.info[name] = value if name in ID_KEYS else read_value(value)
    return atoms


def _value_of_text(text: str) -> Any:
    """A number, list, dictionary or truth value if the text is that in JSON; else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _value_of_arrow(value: Any) -> Any:
    """A value as it is; text that holds a list or dictionary in JSON as that, and dates and the like as text."""
    if isinstance(value, str):
        return _value_of_text(value) if value[:1] in ("[", "{") else value
    return value if isinstance(value, (*_PLAIN, list, dict)) else str(value)


def _plain(value: Any) -> str | int | float | bool:
    """A value for a cell of a table: lists, arrays and dictionaries as JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _PLAIN):
        return value
    try:
        return json.dumps(value.tolist() if isinstance(value, np.ndarray) else value)
    except (TypeError, ValueError):
        return str(value)


def _text(value: Any) -> str:
    """A value for a cell of text that is read as what it was: as in JSON, and text as it is where it can be."""
    if isinstance(value, str):
        return value if _value_of_text(value) == value else json.dumps(value)
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _arrow_table(structures: Sequence[Atoms]) -> pyarrow.Table:
    rows, columns = _rows(structures, _plain)
    return pyarrow.table({name: _column([row.get(name) for row in rows]) for name in columns})


def _column(values: list[Any]) -> pyarrow.Array:
    """The values of a column; as JSON text where their types differ."""
    try:
        return pyarrow.array(values)
    except pyarrow.ArrowException:
        texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
        return pyarrow.array(texts, pyarrow.string())


def _common_schema(schemas: Sequence[pyarrow.Schema]) -> pyarrow.Schema:
    """All columns of all schemas; text where types cannot be brought together."""
    try:
        return pyarrow.unify_schemas([s.remove_metadata() for s in schemas], promote_options="permissive")
    except pyarrow.ArrowException:
        names = dict.fromkeys(name for schema in schemas for name in schema.names)
        return pyarrow.schema([(name, pyarrow.string()) for name in names])


def _with_schema(table: pyarrow.Table, schema: pyarrow.Schema) -> pyarrow.Table:
    missing = [pyarrow.nulls(len(table), f.type) if f.name not in table.column_names else None for f in schema]
    columns = [table[f.name].cast(f.type) if m is None else m for f, m in zip(schema, missing, strict=True)]
    return pyarrow.Table.from_arrays(columns, schema=schema)
