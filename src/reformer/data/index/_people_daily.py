"""People's Daily of January 1998: from words with parts of speech to paragraphs with entities."""

from collections.abc import Container, Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from reformer.data.documents import Document, Span
from reformer.data.readers._source import Source

_TYPES = {"nr": "PER", "ns": "LOC", "nt": "ORG"}


def read_people_daily(folder: Path, *, words: bool = False) -> dict[str, list[Document]]:
    """Train, validation and test, each in newspaper order; with `words` every word is a span of its part of speech,
    those few excepted whose part of speech does not occur in train.

    The last tenth of the paragraphs is test, the last twentieth of the others validation. Headings and notices
    come again in the newspaper: what stands in test is taken out of the other two, what stands in validation
    out of train. Test stays whole.
    """
    paragraphs = list(_paragraphs(folder / "199801.txt", words))
    test_start = len(paragraphs) * 9 // 10
    validation_start = test_start * 19 // 20
    test = paragraphs[test_start:]
    held_out = {document.text for document in test}
    validation = [document for document in paragraphs[validation_start:test_start] if document.text not in held_out]
    held_out.update(document.text for document in validation)
    train = [document for document in paragraphs[:validation_start] if document.text not in held_out]
    known = {span.label for document in train for span in document.spans or ()}
    return {
        "train": train,
        "validation": [_with_known(document, known) for document in validation],
        "test": [_with_known(document, known) for document in test],
    }


read_people_daily_words = partial(read_people_daily, words=True)


def tagged_paragraph(line: str, words: bool = False) -> tuple[str, tuple[Span, ...]]:
    """The text and the entities of a line of `word/tag` words; with `words` all other words by their tags, too.

    Two or three neighbouring `nr` are the parts of one person's name. From four on it is a list of people that the
    newspaper set in columns, without commas: a family name and a given name each.

    >>> tagged_paragraph("主席/n  江/nr  泽民/nr  在/p  北京/ns")
    ('主席江泽民在北京', (Span(start=2, end=5, label='PER'), Span(start=6, end=8, label='LOC')))
    """
    tagged = [(word, tag) for word, _, tag in (token.rpartition("/") for token in line.split())]
    spans: list[Span] = []
    offset = 0
    for word, tag in _join_names(tagged):
        if words or tag in _TYPES:
            spans.append(Span(offset, offset + len(word), _TYPES.get(tag, tag)))
        offset += len(word)
    return "".join(word for word, _ in tagged), tuple(spans)


def _with_known(document: Document, types: Container[str]) -> Document:
    return replace(document, spans=tuple(span for span in document.spans or () if span.label in types))


def _join_names(words: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for is_name, group in groupby(words, key=lambda pair: pair[1] == "nr"):
        if not is_name:
            yield from group
            continue
        parts = [word for word, _ in group]
        size = len(parts) if len(parts) <= 3 else 2
        for start in range(0, len(parts), size):
            yield "".join(parts[start : start + size]), "nr"


def _paragraphs(path: Path, words: bool = False) -> Iterator[Document]:
    with Source(str(path)) as source:
        for line in source:
            text, spans = tagged_paragraph(line, words)
            if text:
                yield Document(text, f"people-daily:{source.line}", spans=spans, source=f"{source.path}:{source.line}")
