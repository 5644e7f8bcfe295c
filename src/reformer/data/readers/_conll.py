"""CoNLL: a word or character and its BIO tag a line, a blank line between sentences."""

import re
from collections.abc import Iterator

from reformer.data.documents import Document, Span
from reformer.data.errors import DataError, OnError
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source, UnreadableFileError

_TAG = re.compile(r"O|[BI]-\S+")
# Han, kana, bopomofo, their punctuation, and full-width forms: scripts that are written without spaces.
_CJK = re.compile("[\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_ASCII_WORD = re.compile("[A-Za-z0-9]")


def read_conll(source: Source, on_error: OnError, *, strict: bool = False) -> Iterator[Document]:
    """A document a sentence.

    An `I-X` that follows no X begins an entity, as in IOB1; so files in IOB1 and in IOB2 are both read as meant.
    With `strict` it is outside of any entity, as `seqeval` counts a file that should be IOB2 and is not all through.
    """
    words: list[str] = []
    tags: list[str] = []
    first_line = 0
    skipping = False
    while True:
        try:
            line = next(source)
        except StopIteration:
            if words:
                yield from _sentence(source, first_line, words, tags, on_error, strict)
            return
        except UnreadableFileError:
            raise
        except DataError as error:
            # One report a sentence: what is wrong later in it is most often wrong for the same reason.
            if not skipping:
                on_error(error)
            skipping, words, tags = True, [], []
            continue
        if not line.strip(" \t\r\n") or line.startswith("-DOCSTART-"):
            if words:
                yield from _sentence(source, first_line, words, tags, on_error, strict)
            skipping, words, tags = False, [], []
            continue
        if skipping:
            continue
        try:
            word, tag = _word_and_tag(source, line)
        except DataError as error:
            on_error(error)
            skipping, words, tags = True, [], []
            continue
        if not words:
            first_line = source.line
        words.append(word)
        tags.append(tag)


def _word_and_tag(source: Source, line: str) -> tuple[str, str]:
    line = line.rstrip("\r\n")
    # With tabs a word may be a space; without, only ASCII spaces separate, since U+3000 may be a word.
    columns = line.rstrip(" \t").split("\t") if "\t" in line else re.split(" +", line.strip(" "))
    if len(columns) < 2 or not columns[0]:
        raise source.error(
            f"{line!r} is not a word and its tag", "write the word, a tab and the tag, such as 京<tab>I-LOC"
        )
    tag = columns[-1].strip(" ")
    if not _TAG.fullmatch(tag):
        raise source.error(
            f"the last column is {tag!r}, which is no BIO tag",
            "use O, B-TYPE and I-TYPE; from BIOES or BMES, turn S- into B- and M- and E- into I-",
        )
    return columns[0], tag


def _sentence(
    source: Source,
    first_line: int,
    words: list[str],
    tags: list[str],
    on_error: OnError,
    strict: bool,
) -> Iterator[Document]:
    text, starts = _write_out(words)
    spans: list[Span] = []
    open_type: str | None = None
    for word, tag, start in zip(words, tags, starts, strict=True):
        prefix, _, name = tag.partition("-")
        if prefix == "I" and open_type == name:
            spans[-1] = Span(spans[-1].start, start + len(word), name)
        elif prefix == "B" or (prefix == "I" and not strict):
            spans.append(Span(start, start + len(word), name))
            open_type = name
        else:
            open_type = None
    try:
        document = checked_document(source, first_line, text, spans=spans)
    except DataError as error:
        on_error(error)
    else:
        yield document


def _write_out(words: list[str]) -> tuple[str, list[int]]:
    """The sentence as it is written, and where each word begins in it.

    Single characters stand without spaces; so do words of a sentence with Chinese or Japanese in it, but for
    two that touch with Latin letters or digits; all other words have one space between them.
    """
    characters = all(len(word) == 1 for word in words)
    spaceless = any(_CJK.search(word) for word in words)
    pieces: list[str] = []
    starts: list[int] = []
    length = 0
    for number, word in enumerate(words):
        if number and not characters:
            touching = _ASCII_WORD.match(words[number - 1][-1]) and _ASCII_WORD.match(word[0])
            if not spaceless or touching:
                pieces.append(" ")
                length += 1
        starts.append(length)
        pieces.append(word)
        length += len(word)
    return "".join(pieces), starts
