"""Documents from a file, one after the other, however large the file is."""

import os
from collections.abc import Iterator

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError, raise_error
from reformer.data.readers._alternating import read_alternating
from reformer.data.readers._conll import read_conll
from reformer.data.readers._jsonl import read_jsonl
from reformer.data.readers._source import Source
from reformer.data.readers._table import read_table
from reformer.data.readers._text import read_text

FORMATS = ("csv", "tsv", "jsonl", "conll", "text", "alternating")

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
    label_separator: str | None = None,
    on_error: OnError = raise_error,
) -> Iterator[Document]:
    """The documents of a file, in its order, read as they are asked for.

    `format` is one of `FORMATS`, or None to go by the suffix: `.csv`, `.tsv`, `.jsonl`, `.conll` / `.bio` / `.iob`,
    `.txt`, each also with `.gz` behind it. All files are UTF-8, with or without a byte order mark.

    - `csv`, `tsv`: the first line names the columns; the text is in `text_column`, the class in `label_column`
      (None: read no class), an id in `id` if there is such a column. With `label_separator` a text has the labels
      that it stands between, none where the cell is empty.
    - `jsonl`: an object a line with `text_column`, and if known `label_column`, `spans` (a list of
      `{"start", "end", "label"}`) and `id`. The label may be a list: the labels of a text that may have several.
    - `conll`: a word or a character and, last on the line, its BIO tag; a blank line ends a document.
    - `text`: the whole file is one document. Only this format is held in memory whole.
    - `alternating`: `label1 sentence1 label2 sentence2 ...`, separated by white space, on one line or on many.

    Raises `DataError` with file, line and remedy for whatever is wrong. With `on_error`, a record that is wrong
    goes there and the next one is read; what is wrong with the file as a whole still raises.
    """
    name = os.fspath(path)
    kind = file_format(name, format)
    with Source(name) as source:
        empty = True
        reported = 0

        def note(error: DataError) -> None:
            nonlocal reported
            reported += 1
            on_error(error)

        if kind in ("csv", "tsv"):
            documents = read_table(
                source, "," if kind == "csv" else "\t", text_column, label_column, note, label_separator
            )
        elif kind == "jsonl":
            documents = read_jsonl(source, text_column, label_column, note, label_separator)
        elif kind == "conll":
            documents = read_conll(source, note)
        elif kind == "alternating":
            documents = read_alternating(source, note)
        else:
            documents = read_text(source)
        for document in documents:
            empty = False
            yield document
        if empty and not reported:
            raise DataError(name, None, "the file holds no document", "give a file with at least one")


def file_format(name: str, format: str | None = None) -> str:
    """The one of `FORMATS` that a file is read as: the one that is given, or else the one its suffix tells.

    Raises:
        DataError: neither tells it.
    """
    if format is not None:
        if format not in FORMATS:
            raise DataError(name, None, f"there is no format {format!r}", f"use one of {', '.join(FORMATS)}")
        return format
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
