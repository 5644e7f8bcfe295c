"""CoNLL-U: ten columns a word, entities as NER=B-PER in the last one."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from reformer.data.documents import Document
from reformer.data.errors import DataError
from reformer.data.formats.words import written_out
from reformer.data.readers._reading import Reading
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source, UnreadableFileError
from reformer.data.spans import MarkedSpan
from reformer.data.tags import NO_TAG, prefixed, spans_of_tags

_COLUMNS = 10
_TEXT, _IDENTITY = re.compile("# ?text ?= ?(.*)", re.DOTALL), re.compile("# ?sent_id ?= ?(.*)", re.DOTALL)


@dataclass
class _Sentence:
    line: int = 0
    text: str | None = None
    id: str | None = None
    words: list[str] = field(default_factory=list)
    tags: list[str | None] = field(default_factory=list)
    spaced: list[bool] = field(default_factory=list)
    inside: int = 0
    """The last word that a range of words before it stands for."""


def looks_like_conllu(lines: Sequence[str]) -> bool:
    """Whether these lines of a file have the ten columns and the numbers of CoNLL-U."""
    rows = [line.rstrip("\r\n").split("\t") for line in lines if line.strip() and not line.startswith("#")]
    return bool(rows) and all(len(row) == _COLUMNS and re.fullmatch(r"[0-9]+([-.][0-9]+)?", row[0]) for row in rows)


def read_conllu(source: Source, reading: Reading) -> Iterator[Document]:
    """A document a sentence; its text is that of the comment `# text`, or else made of its words."""
    sentence, skipping = _Sentence(), False
    while True:
        try:
            line = next(source, None)
            if line is not None and line.strip(" \t\r\n"):
                if not skipping:
                    _add(source, sentence, line)
                continue
        except UnreadableFileError:
            raise
        except DataError as error:
            if not skipping:
                reading.on_error(error)
            skipping = True
            continue
        if sentence.words and not skipping:
            try:
                yield _document(source, sentence, reading)
            except DataError as error:
                reading.on_error(error)
        sentence, skipping = _Sentence(), False
        if line is None:
            return


def _add(source: Source, sentence: _Sentence, line: str) -> None:
    line = line.rstrip("\r\n")
    if line.startswith("#"):
        if (found := _TEXT.fullmatch(line)) is not None:
            sentence.text = found[1]
        elif (found := _IDENTITY.fullmatch(line)) is not None:
            sentence.id = found[1].strip() or None
        return
    cells = line.split("\t")
    number = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9})|(\.[0-9]+))?", cells[0])
    # Words are counted from 1; 0.1 is one that is not written.
    is_word = number is not None and (int(number[1]) > 0 or number[3] is not None)
    if number is None or not is_word or len(cells) != _COLUMNS or not cells[1]:
        raise source.error(
            f"{line[:60]!r} is no line of CoNLL-U, which has a number and {_COLUMNS} columns between tabs",
            "correct it, or give --format conll for other columns",
        )
    # A word that is not written, or one that the range before it has written already.
    of_range = int(number[1]) <= sentence.inside and number[2] is None
    if number[3] is not None:
        return
    parts = (pair.partition("=") for pair in cells[9].split("|"))
    misc = {name: value for name, _, value in parts}
    tag = next((value for name, value in misc.items() if name.lower() == "ner"), None)
    if of_range:
        if sentence.tags[-1] in (None, "O"):
            sentence.tags[-1] = tag
        return
    sentence.line = sentence.line or source.line
    sentence.inside = int(number[2] or 0)
    sentence.words.append(cells[1])
    sentence.tags.append(tag)
    sentence.spaced.append(misc.get("SpaceAfter") != "No")


def _document(source: Source, sentence: _Sentence, reading: Reading) -> Document:
    text, places = _places(source, sentence)
    spans = None
    if reading.spans is not None and any(tag is not None for tag in sentence.tags):
        tags = [NO_TAG if tag is None else prefixed(tag) for tag in sentence.tags]
        wrong = next((tag for tag, read in zip(sentence.tags, tags, strict=True) if read is None), None)
        if wrong is not None:
            raise source.error(f"NER={wrong} is no tag", "write O, B-TYPE and I-TYPE", sentence.line)
        found = spans_of_tags([tag for tag in tags if tag is not None], places)
        spans = [MarkedSpan(span.start, span.end, span.label) for span in found]
    return checked_document(source, sentence.line, text, id=sentence.id, spans=spans, reading=reading)


def _places(source: Source, sentence: _Sentence) -> tuple[str, list[tuple[int, int]]]:
    words, text = sentence.words, sentence.text
    if text is None:
        if all(sentence.spaced):
            text, starts = written_out(words)
        else:
            pieces = [word + " " * space for word, space in zip(words, sentence.spaced, strict=True)]
            text = "".join(pieces).rstrip(" ")
            starts = [sum(map(len, pieces[:number])) for number in range(len(pieces))]
        return text, [(start, start + len(word)) for start, word in zip(starts, words, strict=True)]
    places, reached = [], 0
    for word in words:
        start = text.find(word, reached)
        if start < 0 or text[reached:start].strip():
            raise source.error(
                f"the word {word[:40]!r} does not stand where it should in the text of the comment # text",
                "correct the comment, or take it out",
                sentence.line,
            )
        reached = start + len(word)
        places.append((start, reached))
    return text, places
