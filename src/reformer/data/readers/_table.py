"""CSV and TSV: a text and its class a row."""

import csv
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reformer.data.documents import Document
from reformer.data.errors import DataError
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source, UnreadableFileError

# The csv module refuses cells of more than 131,072 characters, and a document may well be longer.
_LONGEST_CELL = 1 << 28
_LIMIT_LOCK = threading.Lock()


def read_table(
    source: Source,
    delimiter: str,
    text_column: str,
    label_column: str | None,
    report: Callable[[DataError], object],
) -> Iterator[Document]:
    rows = table_rows(source, delimiter, report)
    _, header = next(rows, (0, None))
    if header is None:
        return
    text_index = _index(source, header, text_column)
    label_index = None if label_column is None else _index(source, header, label_column)
    id_index = header.index("id") if header.count("id") == 1 else None
    for line, cells in rows:
        try:
            if len(cells) != len(header):
                raise source.error(
                    f"the row has {len(cells)} cells, and the first line names {len(header)} columns",
                    'put cells that hold the separator or a line break in double quotes, and write " as ""',
                    line,
                )
            label = None if label_index is None else cells[label_index].strip()
            if label == "":
                raise source.error(f"the column {label_column!r} is empty", "give the row a label, or delete it", line)
            identity = None if id_index is None else cells[id_index]
            document = checked_document(source, line, cells[text_index], id=identity, label=label)
        except DataError as error:
            report(error)
        else:
            yield document


def table_rows(
    source: Source, delimiter: str, report: Callable[[DataError], object]
) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line it begins on; without the first, nothing can be read."""
    rows = csv.reader(source, delimiter=delimiter, strict=True)
    header_found = False
    while True:
        line = source.line + 1
        try:
            with _long_cells():
                cells = next(rows)
        except StopIteration:
            return
        except UnreadableFileError:
            raise
        except (csv.Error, DataError) as error:
            if isinstance(error, csv.Error):
                remedy = 'close every double quote, and write " inside of a cell as ""'
                error = source.error(f"broken row ({error})", remedy, line)
            if not header_found:
                raise error from None
            report(error)
        else:
            if cells:
                header_found = True
                yield line, cells


@contextmanager
def _long_cells() -> Iterator[None]:
    """The limit on a cell's length raised while one row is read.

    The limit is one for the process: raised for longer, it would stay so in the code that takes the rows. Under the
    lock, because another thread that raised it meanwhile would put back the wrong limit.
    """
    with _LIMIT_LOCK:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, _LONGEST_CELL))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _index(source: Source, header: list[str], column: str) -> int:
    if header.count(column) == 1:
        return header.index(column)
    problem = "there is no column" if column not in header else "there is more than one column"
    raise source.error(
        f"{problem} {column!r}; the columns are {', '.join(map(repr, header))}",
        "name the column to read, and name it once in the first line",
    )
