"""Documents from a file, one after the other, however large the file is."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError, raise_error
from reformer.data.formats.table import JSON_FORMATS
from reformer.data.notes import Notes
from reformer.data.readers._alternating import read_alternating
from reformer.data.readers._brat import is_brat_folder, read_brat
from reformer.data.readers._conll import looks_like_conll, read_conll
from reformer.data.readers._conllu import looks_like_conllu, read_conllu
from reformer.data.readers._fasttext import read_fasttext
from reformer.data.readers._folder import read_folder
from reformer.data.readers._json import read_json, read_records
from reformer.data.readers._parquet import is_datasets_folder, parquet_records
from reformer.data.readers._reading import Reading
from reformer.data.readers._source import Source
from reformer.data.readers._table import read_table
from reformer.data.readers._text import read_text
from reformer.data.remote import is_url
from reformer.data.spans import SpanReading
from reformer.data.standard_input import STANDARD_INPUT

_LOOKED_AT = 200
"""Lines by which a file's content is compared with its suffix."""
SPANS = SpanReading()

FORMATS = (
    *("csv", "tsv", "jsonl", "conll", "text", "fasttext", "alternating", "conllu", "brat"),
    *(name for name in JSON_FORMATS if name != "jsonl"),
)
FOLDER, PARQUET = "folder", "parquet"
"""Formats that a path alone tells."""

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    **dict.fromkeys((".conll", ".bio", ".bio2", ".iob", ".iob1", ".iob2", ".bioes", ".iobes", ".bmes"), "conll"),
    **dict.fromkeys((".biluo", ".bilou", ".conll2003"), "conll"),
    ".conllu": "conllu",
    ".ann": "brat",
    ".txt": "text",
}
_OF_OFFICE = (".xlsx", ".xls", ".ods", ".docx", ".doc", ".odt", ".rtf", ".pdf")
SUFFIXES = (*_SUFFIXES, ".parquet")
"""Suffixes that tell a format, each also with `.gz` behind it."""


def read_documents(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    text_column: str = "text",
    label_column: str | None = "label",
    label_separator: str | None = None,
    spans: SpanReading = SPANS,
    encoding: str | None = None,
    header: bool = True,
    tells_others: bool = False,
    keeps_others: bool = False,
    on_error: OnError = raise_error,
) -> Iterator[Document]:
    """The documents of a file, in its order, read as they are asked for.

    `format` is one of `FORMATS`, or None to go by the suffix: `.csv`, `.tsv`, `.jsonl` / `.ndjson` / `.json`,
    `.conll` / `.bio` / `.iob` / `.bioes` and others, `.conllu`, `.ann`, `.txt`, each also with `.gz` behind it;
    `.parquet`; or a folder. Files are in `encoding`; without it UTF-8, with or without a byte order mark. `spans` says
    how entities are read.

    - `csv`, `tsv`: the first line names the columns; the text is in `text_column`, the class in `label_column`
      (None: read no class), an id in `id` if there is such a column. With `label_separator` a text has the labels that
      it stands between, none where the cell is empty. Without `header` columns are called 1, 2, ...,
      and where there are two, their values tell which has the class. `table_form` says how separator and quotes are
      told.
    - `jsonl`: an object a line, or a list of objects, with `text_column`, and if known `label_column`, `spans` (a list
      of `{"start", "end", "label"}`) and `id`. The label may be a list, of a text that may have several. What
      annotation tools and data sets write is told by its fields: `doccano`, `label-studio`, `prodigy`, `spacy`,
      `tokens`, `cluener`, `cmeee`; naming one of them allows no other.
    - `conll`: a word or a character and its tag a line, in columns that the lines themselves tell; a blank line ends a
      document. Tags of BIO, BIOES, BMES and BILUO, and types alone.
    - `conllu`: CoNLL-U, with `NER=B-PER` in its last column.
    - `brat`: `NAME.ann` beside `NAME.txt`, or a folder of both.
    - `text`: the whole file is one document. Only this format is held in memory whole. A `.txt` whose every line has
      the form of a record is refused, unless the format is given.
    - `fasttext`: `__label__CLASS TEXT` a line.
    - `alternating`: `label1 sentence1 label2 sentence2 ...`, separated by white space, on one line or on many.
    - Parquet, and a folder that the `datasets` library has written: rows with the fields of `jsonl`.
    - Any other folder: a `.txt` file is a document, and its class the folder that it lies in.

    With `keeps_others` a document of a table, of JSON or of Parquet has the other columns or fields of its record.

    Raises `DataError` with file, line and remedy for whatever is wrong. With `on_error`, a record that is wrong
    goes there and the next one is read; what is wrong with the file as a whole still raises.
    """
    name = os.fspath(path)
    notes, reported = Notes(), 0

    def note(error: DataError) -> None:
        nonlocal reported
        reported += 1
        on_error(error)

    empty = True
    reading = Reading(
        text_column,
        label_column,
        spans if spans.wanted else None,
        spans.columns,
        tells_others,
        note,
        notes,
        keeps_others,
        label_separator,
    )
    for document in _read(name, format, encoding, reading, header=header):
        empty = False
        yield document
    if empty and not reported and notes.are_empty:
        raise DataError(name, None, "the file holds no document", "give a file with at least one")
    notes.tell(name)


def _read(name: str, format: str | None, encoding: str | None, reading: Reading, *, header: bool) -> Iterator[Document]:
    kind, text, label, on_error = (
        _kind(name, format, encoding),
        reading.text_column,
        reading.label_column,
        reading.on_error,
    )
    if kind in ("csv", "tsv"):
        yield from read_table(
            *(lambda: Source(name, encoding), kind, text, label, on_error),
            header=header,
            label_separator=reading.label_separator,
            keeps_others=reading.keeps_others,
        )
    elif kind == FOLDER:
        yield from read_folder(name, on_error, with_label=label is not None, encoding=encoding)
    elif kind == PARQUET:
        yield from read_records(name, parquet_records(name), reading)
    elif kind == "brat":
        yield from read_brat(name, reading, encoding)
    else:
        with Source(name, encoding) as source:
            yield from _of_lines(source, kind, reading, is_told=format is not None)


def _of_lines(source: Source, kind: str, reading: Reading, *, is_told: bool) -> Iterator[Document]:
    if kind in JSON_FORMATS:
        return read_json(source, reading, JSON_FORMATS[kind] if kind != "jsonl" else None)
    if kind in ("conll", "conllu"):
        return (read_conll if kind == "conll" else read_conllu)(source, reading)
    if kind == "fasttext":
        return read_fasttext(source, reading.on_error, with_label=reading.label_column is not None)
    return read_alternating(source, reading.on_error) if kind == "alternating" else read_text(source, is_told=is_told)


def _kind(name: str, format: str | None, encoding: str | None) -> str:
    """The format of a file, of which its first lines may know more than its suffix."""
    kind = file_format(name, format)
    if format is not None or kind not in ("tsv", "conll") or not (os.path.isfile(name) or is_url(name)):
        return kind
    lines: list[str] = []
    # What cannot be read is told of by the reader.
    with suppress(DataError), Source(name, encoding) as source:
        lines += islice(source, _LOOKED_AT)
    if lines and lines[0].startswith("#FORMAT=WebAnno TSV"):
        raise DataError(
            name, 1, "this is WebAnno's own TSV, which is not read", "export it as CoNLL 2003 or CoNLL-U from there"
        )
    if kind == "tsv":
        return "conll" if looks_like_conll(lines) else kind
    return "conllu" if looks_like_conllu(lines) else kind


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
        return "brat" if is_brat_folder(name) else FOLDER
    stem = name.lower().removesuffix(".gz")
    for suffix, kind in _SUFFIXES.items():
        if stem.endswith(suffix):
            return kind
    if stem.endswith(_OF_OFFICE):
        raise DataError(
            name, None, "this is of an office program", "save it from its program as text, a table as CSV in UTF-8"
        )
    if name == STANDARD_INPUT:
        raise DataError(
            name, None, "standard input has no suffix that tells the format", f"name it: --format {'|'.join(FORMATS)}"
        )
    raise DataError(
        name,
        None,
        "the suffix does not tell the format",
        f"rename the file to one of {', '.join(_SUFFIXES)} (.gz may follow), or name the format: {', '.join(FORMATS)}",
    )
