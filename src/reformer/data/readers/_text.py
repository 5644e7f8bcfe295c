"""Plain text: a file is a document."""

from collections.abc import Iterator

from reformer.data.documents import Document
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source


def read_text(source: Source) -> Iterator[Document]:
    """The whole file, line ends as they are, so that offsets fit the file's own text."""
    data = source.read()
    if data.strip():
        source.line = 1
        yield checked_document(source, 1, source.decode(data, 0), id=source.name)
