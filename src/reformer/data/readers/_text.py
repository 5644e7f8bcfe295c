"""Plain text: a file is a document."""

import json
from collections.abc import Iterator

from reformer.data.documents import Document
from reformer.data.readers._conll import looks_like_conll
from reformer.data.readers._fasttext import PREFIX
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source

FIRST_LINES = 1000
"""Lines that tell whether a text is one of records."""


def read_text(source: Source, *, is_told: bool = True) -> Iterator[Document]:
    """The whole file, line ends as they are, so that offsets fit the file's own text.

    Args:
        is_told: whether the user said that this is plain text. Otherwise every line of it having the form of a record
            is an error: as one text, the labels in it would be read as words.
    """
    data = source.read()
    if data.strip():
        source.line = 1
        text = source.decode(data, 0)
        found = None if is_told else format_of_records(text)
        if found is not None:
            form, remedy = found
            raise source.error(f"the lines look like {form}", f"{remedy}, or --format text to read one text", 1)
        yield checked_document(source, 1, text, id=source.name)


def format_of_records(text: str) -> tuple[str, str] | None:
    """The form of records that every one of the first lines has, and what to do about it; None for plain text."""
    lines = [line for line in text.splitlines()[:FIRST_LINES] if line.strip()]
    if len(lines) > 1 and looks_like_conll(lines):
        return "CoNLL, a word and its tag a line", "give --format conll"
    if all(line.lstrip().startswith(PREFIX) for line in lines):
        return "fastText, a class and a text a line", "give --format fasttext"
    if all(map(_is_object, lines)):
        return "JSONL, an object a line", "give --format jsonl"
    tabs = {line.count("\t") for line in lines}
    if len(lines) > 1 and len(tabs) == 1 and tabs != {0} and not any(line.startswith("\t") for line in lines):
        columns = "" if {"text", "label"} & set(lines[0].split("\t")) else " --no-header"
        return "a table, with tabs between its columns", f"give --format tsv{columns}"
    return None


def _is_object(line: str) -> bool:
    try:
        return line.lstrip().startswith("{") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
