"""The first records of a table or of JSONL, with all their columns."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from reformer.data.errors import raise_error
from reformer.data.readers._source import Source
from reformer.data.readers._table import table_rows


def first_records(path: str, format: str, count: int) -> list[dict[str, Any]]:
    """The first `count` records of a file, each a mapping from columns or fields to values.

    Args:
        format: `csv`, `tsv` or `jsonl`. Lines of JSONL that hold no object are left out; `read_documents` reports them.

    Raises:
        DataError: the file or a row cannot be read.
    """
    with Source(path) as source:
        if format == "jsonl":
            return list(islice(_objects(source), count))
        rows = table_rows(source, "," if format == "csv" else "\t", raise_error)
        _, header = next(rows, (0, []))
        return [dict(zip(header, cells, strict=True)) for _, cells in islice(rows, count)]


def _objects(source: Source) -> Iterator[dict[str, Any]]:
    for line in source:
        try:
            record = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
