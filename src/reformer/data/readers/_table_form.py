"""Form of a table, told by its lines: the separator, the meaning of double quotes, the header."""

import csv
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from reformer.data.errors import DataError
from reformer.data.readers._source import Source, UnreadableFileError

NO_HEADER = "if the first line is a row, give --no-header (data.header = false in a recipe)"
"""What to do where the first line names none of the columns that are looked for."""
SEPARATORS = {"csv": ",", "tsv": "\t"}
_OTHERS = (";", "\t", ",", "|")
_NAMES = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
# The csv module refuses cells of more than 131,072 characters, and a document may well be longer.
_LONGEST_CELL = 1 << 28
_LIMIT_LOCK = threading.Lock()
FIRST_LINES = 100
"""Lines that a separator is told by where no column is wanted by its name."""


@dataclass(frozen=True)
class TableForm:
    """How the rows of a table are written."""

    separator: str
    is_quoted: bool = True
    """Whether double quotes around a cell belong to the table; otherwise they are text."""
    first_line: int = 1
    """The line of the header, or of the first row where there is none."""
    suspicious: frozenset[int] = frozenset()
    """Lines at which a quote opens that closes lines later, though each line between is a row of its own."""


def table_form(
    open_source: Callable[[], Source], kind: str, columns: Iterable[str], *, header: bool = True
) -> TableForm:
    """The form of the table that `open_source` opens, at the beginning, as often as it is called.

    - The separator is what a line `sep=;` at the beginning says, as Excel reads it; or else the format's own, unless
      the header has the wanted columns only by another one, or, where none are wanted or no header names them, all
      rows have as many cells only by another one.
    - Quotes belong to the table where the separator is not a tab. A TSV is read by the rules of CSV as well as with
      quotes that are text, and the reading counts by which fewer rows are wrong. Where both are wrong as often, cells
      stand in quotes, unless one of them would reach over whole rows. Where it would in a CSV, that is suspicious.

    Args:
        kind: `csv` or `tsv`.
        columns: those that are wanted.
        header: whether the first line names the columns.
    """
    with open_source() as source:
        first_line, first, told = _first_line(source)
        lines = [first, *_lines(source, FIRST_LINES)] if first else []
    separator = told or _separator(lines, SEPARATORS[kind], set(columns), header=header)
    with open_source() as source:
        # Without quotes at the beginning of a cell there is nothing to tell.
        opening = re.compile(rf'(?:^|{re.escape(separator)})[ ]*"')
        if not any(opening.search(line) for line in _lines(source, None)):
            return TableForm(separator, first_line=first_line)
    width = len(_cells(first, separator))
    quoted, plain, spanning = _survey(open_source, separator, first_line, width)
    if separator == "\t" and (plain < quoted or (plain == quoted and spanning)):
        return TableForm(separator, is_quoted=False, first_line=first_line)
    return TableForm(separator, first_line=first_line, suspicious=frozenset(spanning))


def _first_line(source: Source) -> tuple[int, str, str | None]:
    """The number and the text of the first line that is not blank, behind one that names the separator."""
    told = None
    # A header that is no text raises here, at its line: what comes next is no header.
    for line in source:
        found = _SEPARATOR_LINE.fullmatch(line) if told is None else None
        if found is not None:
            told = found[1]
        elif line.strip():
            return source.line, line, told
    return source.line, "", told


def _lines(source: Source, count: int | None) -> Iterator[str]:
    """Lines that can be read; the reader of the rows reports the others."""
    while count is None or count > 0:
        try:
            line = next(source)
        except StopIteration:
            return
        except UnreadableFileError:
            raise
        except DataError:
            continue
        count = None if count is None else count - 1
        yield line


def _cells(line: str, separator: str) -> list[str]:
    """The cells of one line; quotes that are not closed in it are text."""
    try:
        with long_cells():
            return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return line.rstrip("\r\n").split(separator)


def _separator(lines: Sequence[str], own: str, columns: set[str], *, header: bool) -> str:
    if not lines:
        return own
    if header and columns:

        def fits(separator: str) -> bool:
            return not columns.isdisjoint(name.strip() for name in _cells(lines[0], separator))
    else:

        def fits(separator: str) -> bool:
            widths = {len(_cells(line, separator)) for line in lines if line.strip()}
            return len(widths) == 1 and widths != {1}

    if fits(own):
        return own
    others = [separator for separator in _OTHERS if fits(separator)]
    return others[0] if len(others) == 1 else own


def separator_hint(line: str, separator: str) -> str:
    """The end of a message about a header: another separator that its line has instead, if there is one."""
    found = [_NAMES[other] for other in _OTHERS if other in line and separator not in line]
    return f"; the line has {found[0]} where {_NAMES.get(separator, repr(separator))} was expected" if found else ""


def _survey(
    open_source: Callable[[], Source], separator: str, first_line: int, width: int
) -> tuple[int, int, list[int]]:
    """Wrong rows by the rules of CSV, wrong ones with quotes as text, and lines whose quotes reach over whole rows."""
    quoted = plain = 0
    last_cells: Counter[str] = Counter()
    spans: list[tuple[int, list[str]]] = []
    with open_source() as source:
        skip_lines(source, first_line - 1)
        recorder = _Recorder(source)
        rows = csv.reader(recorder, delimiter=separator, strict=True)
        while True:
            recorder.begin()
            try:
                with long_cells():
                    cells = next(rows)
            except StopIteration:
                break
            except UnreadableFileError:
                raise
            except csv.Error:
                quoted += 1
            except DataError:
                continue
            else:
                quoted += len(cells) not in (0, width)
            split = [line.rstrip("\r\n").split(separator) for line in recorder.lines if line.strip()]
            plain += sum(len(each) != width for each in split)
            lasts = [each[-1].strip().strip('"') for each in split]
            last_cells.update(lasts)
            if len(split) > 1 and all(len(each) == width for each in split):
                spans.append((recorder.first, lasts))
    return quoted, plain, [line for line, lasts in spans if all(last_cells[last] > 1 for last in lasts)]


class _Recorder:
    """Lines for the csv module, those of the row that is being read kept."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.begin()

    def begin(self) -> None:
        self.first, self.lines = self._source.line + 1, list[str]()

    def __iter__(self) -> "_Recorder":
        return self

    def __next__(self) -> str:
        self.lines.append(next(self._source))
        return self.lines[-1]


def skip_lines(source: Source, count: int) -> None:
    """Read so many lines past, those that are no text among them."""
    for _ in range(count):
        try:
            next(source)
        except UnreadableFileError:
            raise
        except DataError:
            continue


@contextmanager
def long_cells() -> Iterator[None]:
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
