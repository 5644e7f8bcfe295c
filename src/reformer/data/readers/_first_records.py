"""The records of a table or of JSONL with all their columns: the first ones, or one column of all."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from reformer.data.errors import DataError
from reformer.data.readers._documents import PARQUET, file_format
from reformer.data.readers._parquet import parquet_records
from reformer.data.readers._source import Source
from reformer.data.readers._table import named_rows


def first_records(
    path: str, format: str, count: int, *, encoding: str | None = None, header: bool = True
) -> list[dict[str, Any]]:
    """The first `count` records of a file, each a mapping from columns or fields to values.

    Args:
        encoding: of the file; None: UTF-8.
        header: whether the first line of a table names the columns, which are called 1, 2, ... otherwise.
        format: `csv`, `tsv` or `jsonl`. Rows and lines that cannot be read are left out; `read_documents` reports them.

    Raises:
        DataError: the file cannot be read.
    """
    if format == "jsonl":
        with Source(path, encoding) as source:
            return list(islice(_objects(source), count))
    rows = named_rows(lambda: Source(path, encoding), format, ("text",), lambda error: None, header=header)
    return [record for _, record in islice(rows, count)]


def column_values(
    path: str, column: str, *, format: str | None = None, encoding: str | None = None, header: bool = True
) -> dict[int, str]:
    """The values of a column, or of a field of JSONL, by the lines of their records.

    Raises:
        DataError: a format without columns, or a record that has none of this name.
    """
    kind = file_format(path, format)
    if kind == PARQUET:
        rows: Iterator[tuple[int, dict[str, Any]]] = parquet_records(path)
    elif kind == "jsonl":
        rows = _numbered_objects(path, encoding)
    elif kind in ("csv", "tsv"):
        rows = named_rows(lambda: Source(path, encoding), kind, (column,), lambda error: None, header=header)
    else:
        raise DataError(path, None, f"{kind} has no column {column!r}", "give a table, or JSONL")
    values = {}
    for line, record in rows:
        if record.get(column) is None:
            known = ", ".join(map(repr, record))
            raise DataError(path, line, f"there is no column {column!r}; the columns are {known}", "name one of them")
        values[line] = str(record[column]).strip()
    return values


def _numbered_objects(path: str, encoding: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    with Source(path, encoding) as source:
        for record in _objects(source):
            yield source.line, record


def _objects(source: Source) -> Iterator[dict[str, Any]]:
    for line in source:
        try:
            record = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
