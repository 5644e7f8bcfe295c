"""CoNLL: a word or character and its tags a line, a blank line between sentences."""

from collections.abc import Iterator, Sequence
from itertools import chain

from reformer.data.documents import Document, Span
from reformer.data.errors import DataError
from reformer.data.formats.words import written_out
from reformer.data.readers._conll_columns import Columns, LineError, find_columns, named_columns
from reformer.data.readers._reading import Reading
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source, UnreadableFileError
from reformer.data.spans import MarkedSpan
from reformer.data.tags import NO_TAG, Tag, bare, spans_of_tags

FIRST_LINES = 2000
"""Lines that the columns are told from."""

Line = tuple[int, str | DataError]


def read_conll(source: Source, reading: Reading, *, strict: bool = False) -> Iterator[Document]:
    """A document a sentence; `strict` is that of `spans_of_tags`."""
    lines = _lines(source)
    first = [line for line, _ in zip(lines, range(FIRST_LINES), strict=False)]
    columns = columns_of([text for _, text in first if isinstance(text, str)], reading.columns)
    sentence = _Sentence(source, reading, columns, strict)
    skipping = False
    for number, line in chain(first, lines):
        if isinstance(line, str) and is_blank(line):
            yield from sentence.documents()
            skipping = False
        elif not skipping:
            try:
                sentence.add(number, line)
            except DataError as error:
                # One report a sentence: what is wrong later in it is most often wrong for the same reason.
                reading.on_error(error)
                skipping = True
                sentence.clear()
    yield from sentence.documents()


def columns_of(lines: Sequence[str], names: tuple[str, ...] | None = None) -> Columns:
    """The columns of a file by its first lines, or as the user names them."""
    sentences: list[list[str]] = [[]]
    for line in lines:
        if is_blank(line):
            sentences.append([])
        else:
            sentences[-1].append(line)
    sentences = [sentence for sentence in sentences if sentence]
    return find_columns(sentences) if names is None else named_columns(names, sentences)


def looks_like_conll(lines: Sequence[str]) -> bool:
    """Whether every one of these lines of a file is a word with its tag, and some tag has a prefix."""
    columns = columns_of(lines)
    if columns.problem is not None or not columns.tags:
        return False
    entities = False
    for line in lines:
        if is_blank(line) or columns.is_comment(line):
            continue
        try:
            tags = columns.tags_of(columns.cells(line), line, repair=True)
        except LineError:
            return False
        entities = entities or any(tag != NO_TAG for tag in tags)
    return entities and all(read is not bare for _, read in columns.tags)


def is_blank(line: str) -> bool:
    """Whether a line stands between sentences."""
    return not line.strip(" \t\r\n") or line.startswith("-DOCSTART-")


def _lines(source: Source) -> Iterator[Line]:
    while True:
        try:
            line = next(source)
        except StopIteration:
            return
        except UnreadableFileError:
            raise
        except DataError as error:
            yield source.line, error
        else:
            yield source.line, line


class _Sentence:
    """Words and tags of a sentence that is being read."""

    def __init__(self, source: Source, reading: Reading, columns: Columns, strict: bool) -> None:
        self._source, self._reading, self._columns, self._strict = source, reading, columns, strict
        self.clear()

    def clear(self) -> None:
        self._words: list[str] = []
        self._tags: list[list[Tag]] = []
        self._first = 0

    def add(self, number: int, line: str | DataError) -> None:
        """Add a line; a `DataError` if it cannot be read."""
        if isinstance(line, DataError):
            raise line
        if self._columns.is_comment(line):
            return
        cells, spans = self._columns.cells(line), self._reading.spans
        if number == 1 and self._columns.header and tuple(cells) == self._columns.header:
            return
        word = self._columns.word_of(cells)
        try:
            tags = self._columns.tags_of(cells, line, repair=spans.repair) if spans is not None else []
            if word is None:
                raise LineError(f"{line.rstrip()!r} is not a word and its tag", "write the word, a tab and the tag")
        except LineError as error:
            raise self._source.error(error.problem, error.remedy, number) from None
        if not self._words:
            self._first = number
        self._words.append(word)
        self._tags.append(tags)

    def documents(self) -> Iterator[Document]:
        """The document, if there is one, and a new sentence."""
        words, layers, first = self._words, list(zip(*self._tags, strict=True)), self._first
        self.clear()
        if not words:
            return
        if self._columns.numbered_words:
            self._reading.notes.count(
                "words read without their last digit, which counts within words", first, len(words)
            )
        text, starts = written_out(words)
        places = [(start, start + len(word)) for start, word in zip(starts, words, strict=True)]
        try:
            spans = self._spans(layers, places, first) if layers else None
            yield checked_document(self._source, first, text, spans=spans, reading=self._reading)
        except DataError as error:
            self._reading.on_error(error)

    def _spans(self, layers: list, places: list[tuple[int, int]], first: int) -> list[MarkedSpan]:
        """The spans of all columns of tags; those of a later one are parts of entities of one before."""
        found: list[Span] = []
        for layer in layers:
            spans = spans_of_tags(layer, places, strict=self._strict)
            for span in spans if layer is not layers[0] else ():
                if not any(outer.start <= span.start and span.end <= outer.end for outer in found):
                    columns = " and ".join(str(place + 1) for place, _ in self._columns.tags)
                    raise self._source.error(
                        f"columns {columns} have tags, and {span.label!r} at the characters {span.start}:{span.end} "
                        "is no part of an entity of the column before",
                        "name the one to read, such as --columns word,tag,_ (data.conll_columns in a recipe)",
                        first,
                    )
            found += spans
        return [MarkedSpan(span.start, span.end, span.label) for span in found]
