"""CSV and TSV: a text and its class a row."""

import csv
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError
from reformer.data.labels import split_labels
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
    on_error: OnError,
    label_separator: str | None = None,
) -> Iterator[Document]:
    rows = table_rows(source, delimiter, on_error)
    header_line, header = next(rows, (0, None))
    if header is None:
        return
    text_index = column_index(source, header, text_column, header_line)
    label_index = None if label_column is None else column_index(source, header, label_column, header_line)
    id_index = header.index("id") if header.count("id") == 1 else None
    for line, cells in rows:
        try:
            label = None if label_index is None else cells[label_index].strip()
            labels = None
            if label is not None and label_separator is not None:
                label, labels = None, split_labels(label, label_separator)
            if label == "":
                raise source.error(f"the column {label_column!r} is empty", "give the row a label, or delete it", line)
            identity = None if id_index is None else cells[id_index]
            document = checked_document(source, line, cells[text_index], id=identity, label=label, labels=labels)
        except DataError as error:
            on_error(error)
        else:
            yield document


def table_rows(source: Source, delimiter: str, on_error: OnError) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line it begins on; the first names the columns.

    A row that is broken, or has another number of cells than the first, goes to `on_error`.

    Raises:
        DataError: the first row is broken, so that no other can be read.
    """
    rows = csv.reader(source, delimiter=delimiter, strict=True)
    columns: int | None = None
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
            if columns is None:
                raise error from None
            on_error(error)
        else:
            if not cells:
                continue
            columns = len(cells) if columns is None else columns
            if len(cells) == columns:
                yield line, cells
            else:
                problem = f"the row has {len(cells)} cells, and the first line names {columns} columns"
                remedy = "give every row a cell for each column, in double quotes where it holds the separator"
                on_error(source.error(problem, remedy, line))


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


def column_index(source: Source, header: list[str], column: str, line: int = 1) -> int:
    """The place of a column among those that the header, on that line, names.

    Raises:
        DataError: there is no such column, or more than one.
    """
    if header.count(column) == 1:
        return header.index(column)
    problem = "there is no column" if column not in header else "there is more than one column"
    raise source.error(
        f"{problem} {column!r}; the columns are {', '.join(map(repr, header))}",
        "name the column to read, and name it once in the first line",
        line=line,
    )
