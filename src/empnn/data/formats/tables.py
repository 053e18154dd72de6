"""Tables with one crystal per row, as CIF text in a column `cif` or pymatgen JSON in a column `structure`.

The other columns are the crystal's info, in both directions. A table of pairs has one such column for each side:
`cif_unrelaxed` and `cif_relaxed`, or `structure_unrelaxed` and `structure_relaxed`.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from io import TextIOBase
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.feather
import pyarrow.parquet
from ase import Atoms

from empnn.ase_atoms import with_results_kept
from empnn.data.formats import cif, pymatgen_json
from empnn.data.records import ID_KEYS, Entries, Entry, identifier, refuse
from empnn.errors import CrystalError
from empnn.files import json_text, open_bytes

_CRYSTAL_COLUMNS: dict[str, Callable[[Any], Atoms]] = {
    "cif": cif.atoms_from_text,
    "structure": pymatgen_json.atoms_from_dict,
}
_INFO = "info."
_PLAIN = (str, int, float, bool)
_TRUTH_VALUES = ("true", "false")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+([eE][+-]?\d+)?|[eE][+-]\d+)?")
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
_ESCAPED = re.compile("[\udc80-\udcff]")
_MIXED = "_JSON "
"""Before values that are no text in a column of text; ASE marks JSON so."""
_BATCH_ROWS = 1024
_ATOM_TEXT = 40
"""Characters that an atom takes in CIF."""
_BLOCK = 1 << 20
_TEXT_BLOCK = 1 << 16


def csv_entries(path: Path, side: str = "") -> Entries:
    """The rows of a CSV file; numbers, lists and truth values in it are read as such, identifiers as text."""
    csv.field_size_limit(2**31 - 1)
    with open_bytes(path) as handle:
        # Strict, because a file cut off within a quoted field would otherwise pass for a crystal with fewer atoms.
        reader = csv.reader(chain.from_iterable(_blocks_of_lines(handle)), strict=True)
        columns = next(reader, [])
        for entry in _entries(_named(reader, columns), columns, _value_of_text, side):
            yield entry._replace(share=handle.share)


def _named(reader: Iterator[list[str]], columns: list[str]) -> Iterator[Row | CrystalError]:
    """The rows by column; a row that is no row says so, and does not hide the others."""
    missing = dict.fromkeys(columns)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield CrystalError(f"the row is no CSV ({error}); correct its quotes")
            continue
        if len(row) > len(columns):
            yield CrystalError(f"the row has {len(row)} cells under {len(columns)} names; quote what holds a comma")
        elif row:
            yield {**missing, **dict(zip(columns, row, strict=False))}


def _blocks_of_lines(handle: io.BufferedReader) -> Iterator[Iterable[str]]:
    """The lines of a text with their ends, a block at a time: faster than line by line from a compressed file."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    left = ""
    while block := handle.read(_TEXT_BLOCK):
        # A byte that is no UTF-8 is Latin-1, as in other files.
        text = _ESCAPED.sub(lambda found: chr(ord(found[0]) - 0xDC00), decoder.decode(block))
        whole, end, rest = (left + text).rpartition("\n")
        yield io.StringIO(whole + end, newline="")
        left = rest
    yield io.StringIO(left + decoder.decode(b"", final=True), newline="")


def parquet_entries(path: Path, side: str = "") -> Entries:
    """The rows of a parquet file, some at a time."""
    # Buffered ahead, a whole file would be held until it is closed.
    with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BLOCK) as file:
        batches = file.iter_batches(batch_size=_BATCH_ROWS)
        rows = (row for batch in batches for row in batch.to_pylist())
        found = _entries(rows, file.schema_arrow.names, _value_of_arrow, side)
        for number, entry in enumerate(found, start=1):
            yield entry._replace(share=number / file.metadata.num_rows)


def feather_entries(path: Path, side: str = "") -> Entries:
    """The rows of a feather file (Arrow IPC), some at a time."""
    with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_file(source) as file:
        share = 0.0

        def rows() -> Iterator[Row]:
            nonlocal share
            for number in range(file.num_record_batches):
                share = (number + 1) / file.num_record_batches
                yield from (row for part in _slices(file.get_batch(number)) for row in part.to_pylist())

        for entry in _entries(rows(), file.schema.names, _value_of_arrow, side):
            yield entry._replace(share=share)


Row = dict[str, Any]


def text_row(atoms: Atoms) -> Row:
    """A row of text: the identifier, CIF text and info. What is missing or NaN stays empty."""
    return _row(atoms, _text)


def arrow_row(atoms: Atoms) -> Row:
    """A row of text, numbers and truth values: the identifier, CIF text and info; all else as JSON text."""
    return _row(atoms, _cell)


def copied(row: Row) -> tuple[Row, int]:
    """A row as it is, but for what it lacks, and about the number of its atoms."""
    return {name: cell for name, cell in row.items() if cell is not None and cell != ""}, len(row["cif"]) // _ATOM_TEXT


def write_csv(handle: TextIOBase, rows: Iterable[Row]) -> None:
    """Rows of text, under the names of all their columns."""
    rows = list(rows)
    table = csv.DictWriter(handle, fieldnames=_columns(rows))
    table.writeheader()
    table.writerows(rows)


def write_parquet(path: Path, rows: Iterable[Row]) -> None:
    """Rows as parquet."""
    pyarrow.parquet.write_table(_arrow_table(list(rows)), path)


def write_feather(path: Path, rows: Iterable[Row]) -> None:
    """Rows as feather."""
    pyarrow.feather.write_feather(_arrow_table(list(rows)), str(path), chunksize=_BATCH_ROWS)


def write_feather_part(path: Path, rows: Iterable[Row]) -> None:
    """Rows as feather that is mapped when it is joined, not unpacked into memory."""
    pyarrow.feather.write_feather(_arrow_table(list(rows)), str(path), compression="uncompressed")


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


def join_csv(parts: Sequence[Callable[[], TextIOBase]], target: TextIOBase) -> None:
    """CSV files, which are opened twice, one after another; a column that one of them lacks is empty there."""
    csv.field_size_limit(2**31 - 1)
    columns: dict[str, None] = {}
    for part in parts:
        with part() as handle:
            columns.update(dict.fromkeys(csv.DictReader(handle).fieldnames or ()))
    table = csv.DictWriter(target, fieldnames=list(columns))
    table.writeheader()
    for part in parts:
        with part() as handle:
            table.writerows(csv.DictReader(handle))


def _row(atoms: Atoms, cell: Callable[[Any], Any]) -> Row:
    """Identifier, CIF text and info, each value made a cell."""
    atoms = with_results_kept(atoms)
    info = {key: value for key, value in atoms.info.items() if value is not None}
    cells = {_column_of(key): str(value) if key in ID_KEYS else cell(value) for key, value in info.items()}
    name = identifier(info)
    text = cif.text_from_atoms(atoms, name or "structure", with_info=False)
    return {"material_id": name, "cif": text, **cells}


def _column_of(key: str) -> str:
    """The name of the column of an info; those of crystals are taken."""
    return f"{_INFO}{key}" if key in _CRYSTAL_COLUMNS else key


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _entries(
    rows: Iterable[Row | CrystalError], columns: Sequence[str], read_value: Callable[[Any], Any], side: str
) -> Entries:
    names = {f"{kind}_{side}" if side else kind: kind for kind in _CRYSTAL_COLUMNS}
    column = next((name for name in names if name in columns), None)
    if column is None:
        raise CrystalError(
            f"the table has no column named {' or '.join(names)}; add one that holds CIF text or pymatgen JSON"
        )
    parse = partial(_atoms_from_row, _CRYSTAL_COLUMNS[names[column]], column, read_value)
    unnamed = [name for name in columns if _UNNAMED_INDEX.fullmatch(name)]
    for row in rows:
        if isinstance(row, CrystalError):
            yield Entry(refuse, str(row))
        else:
            row = _without_index(row, unnamed) if unnamed else row
            yield Entry(parse, row, identifier(row), cif=row[column] if names[column] == "cif" else None)


def _without_index(row: Row, unnamed: Sequence[str]) -> Row:
    """A row without what pandas writes of an index that has no name; text in it is the identifier if there is none."""
    texts = [row[name] for name in unnamed if isinstance(row[name], str)]
    rest = {name: value for name, value in row.items() if name not in unnamed}
    return {"material_id": texts[0], **rest} if texts and identifier(rest) is None else rest


def _slices(batch: pyarrow.RecordBatch) -> Iterator[pyarrow.RecordBatch]:
    return (batch.slice(start, _BATCH_ROWS) for start in range(0, batch.num_rows, _BATCH_ROWS))


def _atoms_from_row(read: Callable[[Any], Atoms], column: str, read_value: Callable[[Any], Any], row: Row) -> Atoms:
    atoms = read(row[column])
    for name, value in row.items():
        if name and name != column and value is not None:
            found = (value or None) if name in ID_KEYS else read_value(value)
            key = name.removeprefix(_INFO)
            if found is not None:
                atoms.info[key if key in _CRYSTAL_COLUMNS else name] = found
    return atoms


def _value_of_text(text: str) -> Any:
    """What the text of a cell stands for: nothing, a number, a truth value, JSON or just text.

    Only what is written as programs write numbers is one: 0012, 1e5 and NaN may be names.
    """
    if not text:
        return None
    if text in _TRUTH_VALUES or _NUMBER.fullmatch(text):
        return json.loads(text)
    return _value_of_json(text)


def _value_of_json(text: str) -> Any:
    """A list, dictionary or quoted text if the text is that in JSON, and what is marked as JSON; else the text."""
    if not text.startswith(("[", "{", '"', _MIXED)):
        return text
    try:
        return json.loads(text.removeprefix(_MIXED))
    except (ValueError, RecursionError):
        return text


def _value_of_arrow(value: Any) -> Any:
    """A value as it is; text that holds JSON as that, and dates and the like as text."""
    if isinstance(value, str):
        return _value_of_json(value)
    return value if isinstance(value, (*_PLAIN, list, dict)) else str(value)


def _plain(value: Any) -> str | int | float | bool | None:
    """A value for a cell of a table: lists, arrays and dictionaries as JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if value is None or isinstance(value, _PLAIN) else json_text(value)


def _cell(value: Any) -> str | int | float | bool | None:
    """The same; text in quotes where it would be read as something else."""
    if isinstance(value, str):
        return value if _value_of_arrow(value) == value else json.dumps(value)
    return _plain(value)


def _text(value: Any) -> str:
    """A value for a cell of text that is read as what it was, and text as it is where it can be."""
    if isinstance(value, str):
        return value if _value_of_text(value) == value else json.dumps(value)
    plain = _plain(value)
    if plain is None or plain != plain:
        return ""
    return plain if isinstance(plain, str) else json.dumps(plain)


def _arrow_table(rows: Sequence[Row]) -> pyarrow.Table:
    return pyarrow.table({name: _column([row.get(name) for row in rows]) for name in _columns(rows)})


def _column(values: list[Any]) -> pyarrow.Array:
    """The values of a column; where text and others are mixed, the others as marked text."""
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError):
        texts = [v if v is None or isinstance(v, str) else _MIXED + json.dumps(v) for v in values]
        return pyarrow.array(texts, pyarrow.string())


def _common_schema(schemas: Sequence[pyarrow.Schema]) -> pyarrow.Schema:
    """All columns of all schemas; text where types cannot be brought together."""
    fields: dict[str, list[pyarrow.Schema]] = {}
    for field in (field for schema in schemas for field in schema):
        fields.setdefault(field.name, []).append(pyarrow.schema([field.remove_metadata()]))
    return pyarrow.schema([_common_field(name, each) for name, each in fields.items()])


def _common_field(name: str, schemas: Sequence[pyarrow.Schema]) -> pyarrow.Field:
    try:
        return pyarrow.unify_schemas(schemas, promote_options="permissive").field(0)
    except pyarrow.ArrowException:
        return pyarrow.field(name, pyarrow.string())


def _with_schema(table: pyarrow.Table, schema: pyarrow.Schema) -> pyarrow.Table:
    missing = [pyarrow.nulls(len(table), f.type) if f.name not in table.column_names else None for f in schema]
    columns = [_as_type(table[f.name], f.type) if m is None else m for f, m in zip(schema, missing, strict=True)]
    return pyarrow.Table.from_arrays(columns, schema=schema)


def _as_type(column: pyarrow.ChunkedArray, kind: pyarrow.DataType) -> pyarrow.ChunkedArray:
    """The column in another type; what becomes text is marked, as in a column of mixed values."""
    cast = column.cast(kind)
    if not pyarrow.types.is_string(kind) or pyarrow.types.is_string(column.type) or pyarrow.types.is_null(column.type):
        return cast
    return pyarrow.compute.binary_join_element_wise(_MIXED, cast, "")
