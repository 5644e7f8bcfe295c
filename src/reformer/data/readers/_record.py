"""One checked document from the fields of a record."""

from collections.abc import Iterable

from reformer.data.documents import Document, Span, span_problem
from reformer.data.readers._source import Source


def checked_document(
    source: Source,
    line: int,
    text: str,
    *,
    id: str | None = None,
    label: str | None = None,
    spans: Iterable[Span] | None = None,
) -> Document:
    """The document of the record that begins at `line`; `DataError` when it has no text or its spans are wrong."""
    if not text.strip():
        raise source.error("empty text", "give the record a text, or delete it", line)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise source.error(
                f"character {error.start} of the text is half of a surrogate pair, no character",
                "write the text in UTF-8, or the pair as two \\u escapes",
                line,
            ) from None
    ordered = None
    if spans is not None:
        ordered = tuple(sorted(spans, key=lambda span: (span.start, span.end)))
        problem = span_problem(text, ordered)
        if problem is not None:
            raise source.error(
                problem, "correct the spans: 0 <= start < end <= length, in characters, none over another", line
            )
    return Document(text, id or f"{source.name}:{line}", label, ordered, f"{source.path}:{line}")
