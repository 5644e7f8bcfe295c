"""Documents from a file, one after the other, however large the file is."""

import os
from collections.abc import Iterator

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError, raise_error
from reformer.data.readers._alternating import read_alternating
from reformer.data.readers._conll import read_conll
from reformer.data.readers._fasttext import read_fasttext
from reformer.data.readers._folder import read_folder
from reformer.data.readers._jsonl import read_jsonl, read_records
from reformer.data.readers._parquet import is_datasets_folder, parquet_records
from reformer.data.readers._source import Source
from reformer.data.readers._table import read_table
from reformer.data.readers._text import read_text

FORMATS = ("csv", "tsv", "jsonl", "conll", "text", "fasttext", "alternating")
FOLDER, PARQUET = "folder", "parquet"
"""Formats that a path alone tells."""

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".txt": "text",
}


def read_documents(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    text_column: str = "text",
    label_column: str | None = "label",
    encoding: str | None = None,
    header: bool = True,
    on_error: OnError = raise_error,
) -> Iterator[Document]:
    """The documents of a file, in its order, read as they are asked for.

    `format` is one of `FORMATS`, or None to go by the suffix: `.csv`, `.tsv`, `.jsonl`, `.conll` / `.bio` / `.iob`,
    `.txt`, each also with `.gz` behind it; `.parquet`; or a folder. Files are in `encoding`; without it UTF-8, with or
    without a byte order mark.

    - `csv`, `tsv`: the first line names the columns; the text is in `text_column`, the class in `label_column`
      (None: read no class), an id in `id` if there is such a column. Without `header` columns are called 1, 2, ...,
      and where there are two, their values tell which has the class. `table_form` says how separator and quotes are
      told.
    - `jsonl`: an object a line with `text_column`, and if known `label_column`, `spans` (a list of
      `{"start", "end", "label"}`) and `id`.
    - `conll`: a word or a character and, last on the line, its BIO tag; a blank line ends a document.
    - `text`: the whole file is one document. Only this format is held in memory whole. A `.txt` whose every line has
      the form of a record is refused, unless the format is given.
    - `fasttext`: `__label__CLASS TEXT` a line.
    - `alternating`: `label1 sentence1 label2 sentence2 ...`, separated by white space, on one line or on many.
    - Parquet, and a folder that the `datasets` library has written: rows with the fields of `jsonl`.
    - Any other folder: a `.txt` file is a document, and its class the folder that it lies in.

    Raises `DataError` with file, line and remedy for whatever is wrong. With `on_error`, a record that is wrong
    goes there and the next one is read; what is wrong with the file as a whole still raises.
    """
    name = os.fspath(path)
    kind = file_format(name, format)
    empty = True
    reported = 0

    def note(error: DataError) -> None:
        nonlocal reported
        reported += 1
        on_error(error)

    if kind in ("csv", "tsv"):
        documents = read_table(lambda: Source(name, encoding), kind, text_column, label_column, note, header=header)
    elif kind == FOLDER:
        documents = read_folder(name, note, with_label=label_column is not None, encoding=encoding)
    elif kind == PARQUET:
        documents = read_records(name, parquet_records(name), text_column, label_column, note)
    else:
        told = format is not None
        documents = _read_lines(Source(name, encoding), kind, text_column, label_column, note, is_told=told)
    for document in documents:
        empty = False
        yield document
    if empty and not reported:
        raise DataError(name, None, "the file holds no document", "give a file with at least one")


def _read_lines(
    opened: Source, kind: str, text_column: str, label_column: str | None, note: OnError, *, is_told: bool
) -> Iterator[Document]:
    with opened as source:
        if kind == "jsonl":
            yield from read_jsonl(source, text_column, label_column, note)
        elif kind == "conll":
            yield from read_conll(source, note)
        elif kind == "fasttext":
            yield from read_fasttext(source, note, with_label=label_column is not None)
        elif kind == "alternating":
            yield from read_alternating(source, note)
        else:
            yield from read_text(source, is_told=is_told)


def file_format(name: str, format: str | None = None) -> str:
    """The format that a file is read as: the one of `FORMATS` that is given, or else the one its path tells.

    Raises:
        DataError: neither tells it.
    """
    if format is not None:
        if format not in FORMATS:
            raise DataError(name, None, f"there is no format {format!r}", f"use one of {', '.join(FORMATS)}")
        return format
    if is_datasets_folder(name) or name.lower().endswith(".parquet"):
        return PARQUET
    if os.path.isdir(name):
        return FOLDER
    stem = name.lower().removesuffix(".gz")
    for suffix, kind in _SUFFIXES.items():
        if stem.endswith(suffix):
            return kind
    raise DataError(
        name,
        None,
        "the suffix does not tell the format",
        f"rename the file to one of {', '.join(_SUFFIXES)} (.gz may follow), or name the format: {', '.join(FORMATS)}",
    )
