"""CSV and TSV: a text and its class a row."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError
from reformer.data.labels import split_labels
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source, UnreadableFileError
from reformer.data.readers._table_form import NO_HEADER, TableForm, long_cells, separator_hint, skip_lines, table_form
from reformer.wording import counted

MOST_LABEL = 60
"""Characters of a label, at most on average, in a table without a header, where values tell which column has it."""
FIRST_ROWS = 2000
"""Rows that this is told by."""

Row = tuple[int, list[str]]


def read_table(
    open_source: Callable[[], Source],
    kind: str,
    text_column: str | None,
    label_column: str | None,
    on_error: OnError,
    *,
    header: bool = True,
    label_separator: str | None = None,
    keeps_others: bool = False,
) -> Iterator[Document]:
    """The documents of a `csv` or `tsv`.

    Args:
        open_source: opens the file, at its beginning; its form is told before its rows are read.
        text_column: None where a table without a header has to tell it.
        header: whether the first line names the columns; otherwise they are called 1, 2, ...
        label_separator: what stands between the labels of a text that may have several.
        keeps_others: whether a document has the cells of the other columns.
    """
    wanted = [column for column in (text_column, label_column) if column is not None]
    form = table_form(open_source, kind, wanted, header=header)
    with open_source() as source:
        rows = table_rows(source, form, on_error, header=header)
        line, names = next(rows, (0, None))
        if names is None:
            return
        if not header:
            text_column, label_column, rows = _told_columns(source, (line, names), rows, text_column, label_column)
            names = [str(number) for number in range(1, len(names) + 1)]
        place = {"line": line, "form": form, "header": header}
        text_index = column_index(source, names, text_column or "text", **place)
        label_index = None if label_column is None else column_index(source, names, label_column, **place)
        id_index = names.index("id") if names.count("id") == 1 else None
        for line, cells in rows:
            try:
                label = None if label_index is None else cells[label_index].strip()
                labels = None
                if label is not None and label_separator is not None:
                    label, labels = None, split_labels(label, label_separator)
                if label == "":
                    what = "a target" if label_column == "target" else "a label"
                    problem = f"the column {label_column!r} is empty"
                    raise source.error(problem, f"give the row {what}, or delete it", line)
                identity = None if id_index is None else cells[id_index].strip()
                document = checked_document(source, line, cells[text_index], id=identity, label=label, labels=labels)
                if keeps_others:
                    document = replace(document, others=other_cells(names, cells, (text_index, label_index, id_index)))
            except DataError as error:
                on_error(error)
            else:
                yield document


def other_cells(names: Sequence[str], cells: Sequence[str], read: Iterable[int | None]) -> dict[str, str]:
    """The cells of a row by their columns, without those at these places."""
    places = set(read)
    return {name: cell for place, (name, cell) in enumerate(zip(names, cells, strict=True)) if place not in places}


def named_rows(
    open_source: Callable[[], Source], kind: str, columns: Iterable[str], on_error: OnError, *, header: bool = True
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table, each with its line and as a mapping from columns to cells.

    Args:
        columns: those that are wanted, if some are known.
    """
    form = table_form(open_source, kind, columns, header=header)
    with open_source() as source:
        rows = table_rows(source, form, on_error, header=header)
        line, names = next(rows, (0, []))
        if not header and line:
            yield line, {str(number): cell for number, cell in enumerate(names, 1)}
            names = [str(number) for number in range(1, len(names) + 1)]
        for line, cells in rows:
            yield line, dict(zip(names, cells, strict=True))


def table_rows(source: Source, form: TableForm | str, on_error: OnError, *, header: bool = True) -> Iterator[Row]:
    """The rows that are not blank, each with the line it begins on.

    A row that is broken, or has another number of cells than the first, goes to `on_error`.

    Args:
        form: of the table, or its separator.
        header: whether the first row names the columns, so that blanks around its cells are none of theirs.

    Raises:
        DataError: the first row is broken, so that no other can be read.
    """
    form = TableForm(form) if isinstance(form, str) else form
    skip_lines(source, form.first_line - 1)
    rows = csv.reader(source, delimiter=form.separator, strict=True) if form.is_quoted else _unquoted(source, form)
    columns: int | None = None
    while True:
        line = source.line + 1
        try:
            with long_cells():
                cells = next(rows)
            if line in form.suspicious:
                raise source.error(
                    f"a double quote opens here and closes {source.line - line} lines later, and each line between is "
                    "a row of its own",
                    'write " inside of a text as "", and put the cell in double quotes; or break its lines elsewhere',
                    line,
                )
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
            if not cells or (len(cells) == 1 and columns != 1 and not cells[0].strip()):
                continue
            if columns is None:
                columns = len(cells)
                cells = [cell.strip() for cell in cells] if header else cells
            if len(cells) == columns:
                yield line, cells
            else:
                problem = f"the row has {counted(len(cells), 'cell')}, and the first line names {columns} columns"
                remedy = "give every row a cell for each column, in double quotes where it holds the separator"
                on_error(source.error(problem, remedy, line))


def _unquoted(source: Source, form: TableForm) -> Iterator[list[str]]:
    """Rows in which double quotes are text. The iteration can go on behind an error, as that of a `Source` can."""
    return map(partial(_split, separator=form.separator), source)


def _split(line: str, separator: str) -> list[str]:
    return line.rstrip("\r\n").split(separator) if line.strip() else []


def _told_columns(
    source: Source, first: Row, rows: Iterator[Row], text: str | None, label: str | None
) -> tuple[str | None, str | None, Iterator[Row]]:
    """The columns of a table without a header, by their numbers, with all of its rows.

    What is not given is told by the values where there are two columns: labels are short and recur, texts do not.
    """
    held = [first]
    width = len(first[1])
    known = [str(number) for number in range(1, width + 1)]
    left = [name for name in known if name not in (text, label)]
    if text not in known and len(left) == 1:
        [text] = left
    elif label is not None and label not in known and text in known and len(left) == 1:
        [label] = left
    if text not in known or (label is not None and label not in known):
        for row in rows:
            held.append(row)
            if len(held) == FIRST_ROWS:
                break
        text, label = _by_values(source, [cells for _, cells in held], known, text, label)
    return text, label, chain(held, rows)


def _by_values(
    source: Source, rows: Sequence[Sequence[str]], known: Sequence[str], text: str | None, label: str | None
) -> tuple[str, str | None]:
    columns = list(zip(*(cells for cells in rows if len(cells) == len(known)), strict=True))
    different = [len({cell.strip() for cell in column}) for column in columns]
    recurring = [
        name
        for name, column, count in zip(known, columns, different, strict=True)
        if 2 * count <= len(column) and sum(map(len, column)) <= MOST_LABEL * len(column)
    ]
    if len(known) == 2 and len(recurring) == 1 and text not in known and (label is None or label not in known):
        [found] = recurring
        return next(name for name in known if name != found), None if label is None else found
    wanted = "the text" if label is None else "the text, and which one the label"
    shown = ", ".join(f"{name} as {cell[:20]!r}" for name, cell in zip(known, rows[0], strict=True))
    raise source.error(
        f"nothing tells which of the columns has {wanted}; they are {shown}",
        f"give the numbers of the columns: {_options('text', '1')}"
        + ("" if label is None else f", {_options('label', '2')}"),
        1,
    )


def _options(which: str, column: str) -> str:
    return f'--{which}-column {column} (data.{which}_column = "{column}" in a recipe)'


def column_index(
    source: Source,
    names: list[str],
    column: str,
    line: int = 1,
    form: TableForm | None = None,
    *,
    header: bool = True,
) -> int:
    """The place of a column among those that the header, on that line, names.

    Raises:
        DataError: there is no such column, or more than one.
    """
    if names.count(column) == 1:
        return names.index(column)
    problem = "there is no column" if column not in names else "there is more than one column"
    remedy = "name the column to read, and name it once in the first line"
    alike = [name for name in names if name.casefold() == column.casefold()]
    which = "text" if column in ("text", "source") else "label"
    if column not in names and len(alike) == 1:
        remedy = f"name the column as the first line does: {_options(which, alike[0])}"
    elif column not in names and header and form is not None:
        remedy += f"; {NO_HEADER}"
        remedy += separator_hint(form.separator.join(names), form.separator)
    raise source.error(f"{problem} {column!r}; the columns are {', '.join(map(repr, names))}", remedy, line=line)
