"""A label, its sentence, the next label, its sentence: separated by white space, on one line or on many."""

import re
from collections.abc import Iterator

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source

# ASCII white space alone separates; the ideographic space belongs to the sentence it stands in.
_TOKEN = re.compile(rb"[^ \t\r\n\f\v]+|\n")
_SPACES = (b" ", b"\t", b"\r", b"\n", b"\f", b"\v")
_CHUNK = 1 << 16


def read_alternating(source: Source, on_error: OnError) -> Iterator[Document]:
    """A document a pair; a label and its sentence stand on one line."""
    label: tuple[bytes, int] | None = None
    pairs = 0
    source.line = 1
    for token, offset in _tokens(source):
        if token == b"\n":
            if label is not None:
                on_error(_alone(source, label))
                label = None
            source.line += 1
            pairs = 0
        elif label is None:
            label = (token, offset)
        else:
            pairs += 1
            try:
                document = checked_document(
                    source,
                    source.line,
                    source.decode(token, offset),
                    id=f"{source.name}:{source.line}:{pairs}",
                    label=source.decode(*label),
                )
            except DataError as error:
                on_error(error)
            else:
                yield document
            label = None
    if label is not None:
        on_error(_alone(source, label))


def _alone(source: Source, label: tuple[bytes, int]) -> DataError:
    shown = label[0].decode("utf-8", "replace")
    return source.error(
        f"an odd number of words: the last one, {shown[:40]!r}, has no sentence",
        "write label1 sentence1 label2 sentence2 ..., without white space inside of a sentence",
    )


def _tokens(source: Source) -> Iterator[tuple[bytes, int]]:
    """Words and line ends with their byte offsets; a line may be as long as the file, so it goes by chunks."""
    pending = b""
    offset = 0
    # As much again as a word has so far: by one size, a long one would be copied for every chunk.
    while chunk := source.read(max(_CHUNK, len(pending))):
        data = pending + chunk
        # The last word may go on in the next chunk.
        complete = 1 + max(data.rfind(space, len(pending)) for space in _SPACES)
        for match in _TOKEN.finditer(data, 0, complete):
            yield match.group(), offset + match.start()
        pending = data[complete:]
        if source.is_too_long(pending):
            raise source.too_long("a word", source.line)
        offset += complete
    if pending:
        yield pending, offset
