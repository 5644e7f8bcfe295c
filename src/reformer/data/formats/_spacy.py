"""spaCy's training examples: a text and its entities as a list of two."""

from typing import Any

from reformer.data.documents import Document
from reformer.data.formats.record import Asked, JsonFormat, Record, RecordError, unread
from reformer.data.formats.span_fields import spans_of_list


def _matches(record: Any, asked: Asked) -> bool:
    return isinstance(record, list) and len(record) == 2 and isinstance(record[0], str) and isinstance(record[1], dict)


def _read(record: Any, asked: Asked) -> Record:
    text, marks = record
    entities = marks.get("entities")
    if not asked.spans or entities is None:
        return Record(text)
    if not isinstance(entities, list) or not all(isinstance(each, list) for each in entities):
        raise RecordError("the entities are no lists", 'write ["text", {"entities": [[0, 2, "LOC"], ...]}]')
    spans = [span for number, each in enumerate(entities, 1) for span in spans_of_list(each, number)]
    return Record(text, spans=spans, others=unread(marks, ("entities",)))


def _build(document: Document) -> list[Any]:
    entities = [[span.start, span.end, span.label] for span in document.spans or ()]
    return [document.text, {} if document.spans is None else {"entities": entities}]


SPACY = JsonFormat("spacy", _matches, _read, _build, as_list=True)
