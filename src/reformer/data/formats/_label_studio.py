"""Label Studio: tasks with their annotations as JSON."""

from typing import Any

from reformer.data.documents import Document
from reformer.data.formats.record import Asked, JsonFormat, Record, RecordError, refuse, text_of, unread
from reformer.data.formats.span_fields import spans_of_object
from reformer.data.spans import MarkedSpan

# No set: what stands in their place in a damaged file may not be hashable.
_REGIONS = ("labels", "hypertextlabels")


def _matches(record: Any, asked: Asked) -> bool:
    return isinstance(record, dict) and isinstance(record.get("data"), dict) and asked.text not in record


def _read(record: Any, asked: Asked) -> Record:
    text = _text(record["data"], asked)
    given = record.get("annotations", record.get("completions"))
    identity = record["data"].get("id", record.get("id"))
    if given is not None and not (isinstance(given, list) and all(isinstance(each, dict) for each in given)):
        raise RecordError("the field 'annotations' is no list of objects", "export the project as JSON again")
    if not given or not (asked.spans or asked.label):
        return Record(text, identity)
    done = [each for each in given if not each.get("was_cancelled") and not each.get("skipped")]
    if not done:
        return Record(text, identity, status="skipped")
    found = [_annotation(each, asked) for each in done]
    if any(each != found[0] for each in found[1:]):
        raise RecordError(
            f"{len(found)} annotations of one text say different things", "leave in the file the one that is right"
        )
    spans, label, left_out = found[0]
    read = {"id", *(name for name, value in record["data"].items() if value == text)}
    others = [f"data.{name}" for name in unread(record["data"], read)]
    return Record(text, identity, label, spans, left_out, others)


def _text(data: dict[str, Any], asked: Asked) -> str:
    """The task's text: in the field of that name, or in the only one that is a text."""
    texts = [name for name, value in data.items() if isinstance(value, str)]
    return text_of(data, texts[0] if asked.text not in data and len(texts) == 1 else asked.text)


def _annotation(annotation: dict[str, Any], asked: Asked) -> tuple[list[MarkedSpan] | None, Any, dict[str, int]]:
    results = annotation.get("result") or []
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise RecordError("the 'result' of an annotation is no list of objects", "export the project as JSON again")
    spans: list[MarkedSpan] = []
    choices: list[Any] = []
    left_out: dict[str, int] = {}
    for number, result in enumerate(results, 1):
        value = result.get("value")
        if result.get("type") in _REGIONS and isinstance(value, dict):
            # Of HTML, these are places in its text; the others are in its elements.
            value = {**value, **value["globalOffsets"]} if isinstance(value.get("globalOffsets"), dict) else value
            value = {"labels": value.get("hypertextlabels"), **value}
            spans += spans_of_object(value, number) if asked.spans else []
        elif result.get("type") == "choices" and isinstance(value, dict) and isinstance(value.get("choices"), list):
            choices += value["choices"]
        else:
            name = str(result.get("type"))
            left_out[name] = left_out.get(name, 0) + 1
    label = None if asked.label is None or not choices else choices[0] if len(choices) == 1 else choices
    return (None if choices and not spans else spans) if asked.spans else None, label, left_out


def _build(document: Document) -> dict[str, Any]:
    classes = document.classes
    if classes is not None and document.spans == ():
        raise refuse(document, "label-studio", "that a text with a class was looked at for entities and has none")
    results: list[dict[str, Any]] = []
    for number, span in enumerate(document.spans or ()):
        # Label Studio counts as its browser does.
        start, end = (len(document.text[:place].encode("utf-16-le")) // 2 for place in (span.start, span.end))
        value = {"start": start, "end": end, "text": document.text[span.start : span.end], "labels": [span.label]}
        results.append({"id": f"{number}", "from_name": "label", "to_name": "text", "type": "labels", "value": value})
    if classes is not None:
        value = {"choices": list(classes)}
        results.append({"id": "class", "from_name": "class", "to_name": "text", "type": "choices", "value": value})
    known = document.spans is not None or classes is not None
    # A task's own id is a number that Label Studio gives anew; others it keeps beside the text.
    record: dict[str, Any] = {"data": {"text": document.text, "id": document.id}}
    return record | {"annotations": [{"result": results}] if known else []}


LABEL_STUDIO = JsonFormat("label-studio", _matches, _read, _build, as_list=True)
