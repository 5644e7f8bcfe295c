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
    name = "annotations" if "annotations" in record else "completions"
    predicted = record.get("predictions")
    # What a model has predicted counts once somebody has accepted it.
    left_out = {"predictions": len(predicted)} if isinstance(predicted, list) and predicted else {}
    return _read_field(record, name, asked, left_out)


def _read_predictions(record: Any, asked: Asked) -> Record:
    return _read_field(record, "predictions", asked, {})


def _read_field(record: Any, name: str, asked: Asked, others_left_out: dict[str, int]) -> Record:
    """The record by the annotations in one of its fields."""
    text = _text(record["data"], asked)
    given = record.get(name)
    identity = record["data"].get("id", record.get("id"))
    if given is not None and not (isinstance(given, list) and all(isinstance(each, dict) for each in given)):
        raise RecordError(f"the field {name!r} is no list of objects", "export the project as JSON again")
    if not given or not (asked.spans or asked.label):
        return Record(text, identity, left_out={} if given else others_left_out)
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
    return {**_task(document), "annotations": [{"result": _results(document)}] if _is_known(document) else []}


def _build_predictions(document: Document) -> dict[str, Any]:
    if not _is_known(document):
        return {**_task(document), "predictions": []}
    scores = [span.score for span in document.spans or () if span.score is not None]
    # Label Studio sorts tasks by it: first what somebody should look at.
    least = {"score": min(scores)} if scores else {}
    return {**_task(document), "predictions": [{"result": _results(document), **least}]}


def _task(document: Document) -> dict[str, Any]:
    # A task's own id is a number that Label Studio gives anew; others it keeps beside the text.
    return {"data": {"text": document.text, "id": document.id}}


def _is_known(document: Document) -> bool:
    return any(known is not None for known in (document.spans, document.label, document.labels))


def _results(document: Document) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for number, span in enumerate(document.spans or ()):
        # Label Studio counts as its browser does.
        start, end = (len(document.text[:place].encode("utf-16-le")) // 2 for place in (span.start, span.end))
        value = {"start": start, "end": end, "text": document.text[span.start : span.end], "labels": [span.label]}
        score = {} if span.score is None else {"score": span.score}
        result = {"id": f"{number}", "from_name": "label", "to_name": "text", "type": "labels", "value": value}
        results.append(result | score)
    if document.classes is not None:
        value = {"choices": list(document.classes)}
        results.append({"id": "class", "from_name": "class", "to_name": "text", "type": "choices", "value": value})
    return results


LABEL_STUDIO = JsonFormat("label-studio", _matches, _read, _build, as_list=True)
LABEL_STUDIO_PREDICTIONS = JsonFormat(
    "label-studio-predictions", _matches, _read_predictions, _build_predictions, as_list=True
)
"""Tasks whose annotations are predictions, for somebody to correct. It is read by its name alone."""
