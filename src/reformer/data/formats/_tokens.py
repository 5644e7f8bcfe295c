"""Tokens with a tag each, as the data sets of Hugging Face have them."""

from typing import Any

from reformer.data.documents import Document
from reformer.data.formats.record import Asked, JsonFormat, Record, RecordError, refuse_overlap, unread
from reformer.data.formats.words import words_and_places, written_out
from reformer.data.spans import MarkedSpan
from reformer.data.tags import spans_of_tags, tag_reading, tags_of_spans
from reformer.wording import counted

_TOKENS, _TAGS = ("tokens", "words"), ("ner_tags", "tags", "ner", "labels", "label")


def _matches(record: Any, asked: Asked) -> bool:
    if not isinstance(record, dict) or asked.text in record:
        return False
    return any(isinstance(record.get(name), list) for name in _TOKENS)


def _read(record: Any, asked: Asked) -> Record:
    tokens = next(record[name] for name in _TOKENS if isinstance(record.get(name), list))
    if not all(isinstance(token, str) and token for token in tokens) or not tokens:
        raise RecordError("the tokens are no list of words that are not empty", 'write "tokens": ["UN", "hears"]')
    text, starts = written_out(tokens)
    name = next((name for name in _TAGS if isinstance(record.get(name), list)), None)
    if not asked.spans or name is None:
        return Record(text, record.get("id"))
    tags = record[name]
    if len(tags) != len(tokens):
        raise RecordError(
            f"there are {counted(len(tokens), 'token')} and {len(tags)} of {name!r}", "give each token one tag"
        )
    if any(not isinstance(tag, str) for tag in tags):
        raise RecordError(
            f"{name!r} are numbers, whose names stand elsewhere",
            'write the names, in datasets: data.features["ner_tags"].feature.int2str(row["ner_tags"])',
        )
    read = tag_reading(tags)
    found = [] if read is None else [read(tag) for tag in tags]
    if not found or None in found:
        raise RecordError(f"{name!r} are no tags such as O, B-PER and I-PER", "write such tags, one a token")
    places = [(start, start + len(token)) for start, token in zip(starts, tokens, strict=True)]
    spans = spans_of_tags([tag for tag in found if tag is not None], places)
    marked = [MarkedSpan(each.start, each.end, each.label) for each in spans]
    used = {"id", name, *_TOKENS}
    return Record(text, record.get("id"), spans=marked, others=unread(record, used))


def _build(document: Document) -> dict[str, Any]:
    refuse_overlap(document, "tokens")
    words, places = words_and_places(document)
    record: dict[str, Any] = {"id": document.id, "tokens": words}
    if document.spans is not None:
        record["ner_tags"] = tags_of_spans(document.spans, places, "conll")
    return record


TOKENS = JsonFormat("tokens", _matches, _read, _build)
