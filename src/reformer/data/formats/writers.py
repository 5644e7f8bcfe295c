"""Writers of labelled documents, by the name of the format."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError
from reformer.data.formats._conll import conll, conllu
from reformer.data.formats.record import JsonFormat, refuse
from reformer.data.formats.table import JSON_FORMATS
from reformer.data.tags import SCHEMES

BRAT = "brat"
Written = Iterator[str]


def document_writer(format: str) -> Callable[[Document], str]:
    """The writer of one document as a record of a file, in JSON or CoNLL; it raises `DataError` for one that the format
    cannot hold. In a file that is one list, records have `[`, `,` and `]` around them."""
    if format in JSON_FORMATS:
        build = JSON_FORMATS[format].build
        return lambda document: json.dumps(build(document), ensure_ascii=False) + "\n"
    return conllu if format == "conllu" else partial(conll, scheme=format)


def write_documents(documents: Iterable[Document], format: str, on_error: OnError) -> Written:
    """The text of a file of this format, piece by piece; documents that it cannot hold go to `on_error`."""
    if format in JSON_FORMATS:
        return _json(documents, JSON_FORMATS[format], on_error)
    if format in ("csv", "tsv"):
        return _table(documents, "," if format == "csv" else "\t", format, on_error)
    return _each(_of_one_kind(documents, format, on_error), document_writer(format), on_error)


WRITTEN = (*JSON_FORMATS, *SCHEMES, "conllu", BRAT, "csv", "tsv")
"""Formats that can be written."""


def _each(documents: Iterable[Document], write: Callable[[Document], str], on_error: OnError) -> Written:
    for document in documents:
        try:
            written = write(document)
        except DataError as error:
            on_error(error)
        else:
            yield written


def _of_one_kind(documents: Iterable[Document], format: str, on_error: OnError) -> Iterator[Document]:
    """The documents that have tags, or have none, as the first of them: other lines have other columns."""
    tagged: bool | None = None
    for document in documents:
        tagged = document.spans is not None if tagged is None else tagged
        if format != "conllu" and tagged != (document.spans is not None):
            on_error(refuse(document, format, "texts with entities beside texts that nobody has looked at"))
        else:
            yield document


def _json(documents: Iterable[Document], format: JsonFormat, on_error: OnError) -> Written:
    records = _each(documents, document_writer(format.name), on_error)
    if not format.as_list:
        yield from records
        return
    separator = "[\n"
    for record in records:
        yield separator + record.rstrip("\n")
        separator = ",\n"
    yield "\n]\n" if separator == ",\n" else "[]\n"


def _table(documents: Iterable[Document], delimiter: str, format: str, on_error: OnError) -> Written:
    def row(*cells: str) -> str:
        line = io.StringIO()
        csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(cells)
        return line.getvalue()

    def write(document: Document) -> str:
        if document.spans is not None:
            raise refuse(document, format, "entities")
        if document.labels is not None:
            raise refuse(document, format, "a text with a list of classes")
        if document.label is None:
            raise refuse(document, format, "a text without a class")
        return row(document.id, document.text, document.label)

    yield row("id", "text", "label")
    yield from _each(documents, write, on_error)
