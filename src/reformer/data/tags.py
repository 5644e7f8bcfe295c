"""Tags of words in CoNLL files: BIO and its relatives, from tags to spans and back."""

import re
from collections.abc import Callable, Iterable, Sequence

from reformer.data.documents import Span

OUTSIDE = ("O", "o")
_BEGIN, _SINGLE, _INSIDE, _END = "B", "SUW", "IM", "EL"
_LETTERS = "BIMELSUW"
_PREFIX = re.compile(rf"([{_LETTERS}{_LETTERS.lower()}])[-_]([^\s][^\x00-\x1f]*)")
_SUFFIX = re.compile(rf"([^\s][^\x00-\x1f]*)[-_]([{_LETTERS}{_LETTERS.lower()}])")

Tag = tuple[str, str]
"""One of the letters B, I, E, S, O, and a type, which O has not."""
ReadTag = Callable[[str], Tag | None]
"""A tag as it is written, or None for what is no tag."""
NO_TAG: Tag = ("O", "")


def _role(letter: str) -> str:
    letter = letter.upper()
    return "S" if letter in _SINGLE else "I" if letter in _INSIDE else "E" if letter in _END else _BEGIN


def prefixed(tag: str) -> Tag | None:
    """`B-PER`, `B_PER`, `b-per`: of BIO, BIOES, BMES or BILUO."""
    found = _PREFIX.fullmatch(tag)
    return NO_TAG if tag in OUTSIDE else found and (_role(found[1]), found[2])


def suffixed(tag: str) -> Tag | None:
    """`PER-B`."""
    found = _SUFFIX.fullmatch(tag)
    return NO_TAG if tag in OUTSIDE else found and (_role(found[2]), found[1])


def bare(tag: str) -> Tag | None:
    """`PER`: neighbours of one type are one entity."""
    return NO_TAG if tag in OUTSIDE else ("I", tag)


def tag_reading(tags: Iterable[str]) -> ReadTag | None:
    """How the tags of a column are written; None if it is no column of tags.

    Types without a prefix are told from other words, such as parts of speech, by an O among them.
    """
    seen = set(tags)
    types = seen.difference(OUTSIDE)
    for read in (prefixed, suffixed):
        if all(read(tag) for tag in seen):
            return read
    without_prefix = not any(_PREFIX.fullmatch(tag) for tag in types) and len(types) < len(seen)
    return bare if without_prefix and all(re.fullmatch(r"[^\W\d_][\w.&/-]*", tag) for tag in types) else None


def spans_of_tags(tags: Sequence[Tag], words: Sequence[tuple[int, int]], *, strict: bool = False) -> list[Span]:
    """The entities that tags mean, each tag with the characters of its word.

    An `I` or `E` that follows no tag of its type begins an entity, as in IOB1; so IOB1 and IOB2 are both read as meant.
    With `strict` it is outside of any entity, as `seqeval` counts a file that should be IOB2 and is not all through.
    """
    spans: list[Span] = []
    open_type: str | None = None
    for (role, name), (start, end) in zip(tags, words, strict=True):
        if role in "IE" and open_type == name:
            spans[-1] = Span(spans[-1].start, end, name)
        elif role in "BS" or (role in "IE" and not strict):
            spans.append(Span(start, end, name))
            open_type = name
        if role in "OSE" or (strict and role == "I" and open_type != name):
            open_type = None
    return spans


SCHEMES = {"conll": "BIIB", "bioes": "BIES", "bmes": "BMES", "biluo": "BILU", "io": "    "}
"""The letters of the first, an inner, the last and the only word of an entity."""


def tags_of_spans(spans: Iterable[Span], words: Sequence[tuple[int, int]], scheme: str) -> list[str]:
    """A tag of the scheme a word, for spans that begin and end with words, in order and without overlap."""
    first, inner, last, only = SCHEMES[scheme]
    tags = ["O"] * len(words)
    starts = {start: number for number, (start, _) in enumerate(words)}
    ends = {end: number for number, (_, end) in enumerate(words)}
    for span in spans:
        begin, end = starts[span.start], ends[span.end]
        letters = only if begin == end else first + inner * (end - begin - 1) + last
        for number, letter in enumerate(letters, begin):
            tags[number] = f"{letter}-{span.label}".removeprefix(" -")
    return tags
