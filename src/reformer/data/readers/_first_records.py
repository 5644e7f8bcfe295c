"""The first records of a table or of JSONL, with all their columns."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from reformer.data.errors import raise_error
from reformer.data.readers._source import Source
from reformer.data.readers._table import named_rows


def first_records(
    path: str, format: str, count: int, *, encoding: str | None = None, header: bool = True
) -> list[dict[str, Any]]:
    """The first `count` records of a file, each a mapping from columns or fields to values.

    Args:
        encoding: of the file; None: UTF-8.
        header: whether the first line of a table names the columns, which are called 1, 2, ... otherwise.
        format: `csv`, `tsv` or `jsonl`. Lines of JSONL that hold no object are left out; `read_documents` reports them.

    Raises:
        DataError: the file or a row cannot be read.
    """
    if format == "jsonl":
        with Source(path, encoding) as source:
            return list(islice(_objects(source), count))
    rows = named_rows(lambda: Source(path, encoding), format, ("text",), raise_error, header=header)
    return [record for _, record in islice(rows, count)]


def _objects(source: Source) -> Iterator[dict[str, Any]]:
    for line in source:
        try:
            record = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
