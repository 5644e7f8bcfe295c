"""CoNLL in its schemes, to be written."""

import re

from reformer.data.documents import Document
from reformer.data.formats.record import refuse, refuse_overlap
from reformer.data.formats.words import pieces, words_and_places
from reformer.data.tags import bare, prefixed, spans_of_tags, tags_of_spans

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def conll(document: Document, scheme: str) -> str:
    """A word or a character and its tag a line; of a text that nobody has looked at, the words alone.

    Raises:
        DataError: a text of several lines, or spans that these tags cannot say.
    """
    refuse_overlap(document, scheme)
    _refuse_controls(document, scheme)
    words, places = words_and_places(document)
    if document.spans is None:
        if any(word == " " or word.startswith("#") for word in words):
            raise refuse(document, scheme, "a text with spaces whose entities nobody has marked")
        return "".join(f"{word}\n" for word in words) + "\n"
    tags = tags_of_spans(document.spans, places, scheme)
    read = bare if scheme == "io" else prefixed
    meant = [tag for each in tags if (tag := read(each)) is not None]
    if len(meant) < len(tags) or spans_of_tags(meant, places) != list(document.spans):
        raise refuse(document, scheme, "two entities of one type side by side")
    return "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)) + "\n"


def conllu(document: Document) -> str:
    """CoNLL-U with the text and the id as comments, and entities as NER in the last column.

    Raises:
        DataError: a text of several lines, or overlapping spans.
    """
    refuse_overlap(document, "conllu")
    _refuse_controls(document, "conllu")
    if any("|" in span.label for span in document.spans or ()):
        raise refuse(document, "conllu", "a type with | in its name")
    places = pieces(document)
    starts, ends = ({place[side] for place in places} for side in (0, 1))
    if any(span.start not in starts or span.end not in ends for span in document.spans or ()):
        # A space may be the first character of a grapheme, so that an entity with it is not trimmed.
        raise refuse(document, "conllu", "an entity that begins or ends with white space, which is of no word")
    tags = [None] * len(places) if document.spans is None else tags_of_spans(document.spans, places, "conll")
    lines = [f"# sent_id = {document.id}", f"# text = {document.text}"]
    for number, ((start, end), tag) in enumerate(zip(places, tags, strict=True), 1):
        following = places[number][0] if number < len(places) else len(document.text) + 1
        misc = [f"NER={tag}"] * (tag is not None) + ["SpaceAfter=No"] * (following == end)
        lines.append("\t".join([str(number), document.text[start:end], *"_______", "|".join(misc) or "_"]))
    return "\n".join(lines) + "\n\n"


def _refuse_controls(document: Document, format: str) -> None:
    for text in (document.text, *(span.label for span in document.spans or ())):
        found = _CONTROL.search(text)
        if found is not None:
            what = {"\n": "a line break", "\t": "a tab"}.get(found[0], f"the control character {found[0]!a}")
            raise refuse(document, format, f"{what} in {text[max(found.start() - 20, 0) : found.end() + 20]!r}")
