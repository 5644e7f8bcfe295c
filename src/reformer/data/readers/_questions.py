"""Reader of questions in SQuAD's JSON and JSONL."""

import json
from collections.abc import Iterator
from typing import Any

from reformer.data.errors import DataError, OnError, raise_error
from reformer.data.questions import Question
from reformer.data.readers._record import check_utf8
from reformer.data.readers._source import Source, UnreadableFileError

_SHAPE = '{"question": "...", "context": "...", "answers": {"text": ["..."], "answer_start": [17]}}'


def read_questions(path: str, *, on_error: OnError = raise_error) -> Iterator[Question]:
    """The questions of a file, in its order.

    - JSONL (`.jsonl`, also `.gz`): an object a line with `question`, `context`, and if they are known `answers`:
      `{"text": [...], "answer_start": [...]}` or `[{"text": ..., "answer_start": ...}, ...]`, empty where the document
      has no answer; an `id` if there is one.
    - SQuAD's own JSON (`.json`, also `.gz`), versions 1.1 and 2.0: `data`, `paragraphs`, `qas`. It is held whole.

    Raises:
        DataError: place and remedy for whatever is wrong; with `on_error`, for the file as a whole alone. The place is
            the line, or in SQuAD's own JSON the way to the question.
    """
    name = path.lower().removesuffix(".gz")
    if not name.endswith((".jsonl", ".json")):
        raise DataError(path, None, "the suffix does not tell the format", "give .jsonl, or SQuAD's .json (.gz too)")
    with Source(path) as source:
        records = _lines(source, on_error) if name.endswith(".jsonl") else _nested(source)
        empty = True
        for place, identity, record in records:
            empty = False
            try:
                yield _question(place, identity, record)
            except DataError as error:
                on_error(error)
    if empty:
        raise DataError(path, None, "the file holds no question", f"give at least one, as {_SHAPE}")


def _lines(source: Source, on_error: OnError) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The place, a name and the record of each line that holds one."""
    while True:
        try:
            line = next(source)
            if not line.strip():
                continue
            record = _parsed(source, line)
            if not isinstance(record, dict):
                raise source.error("this is no JSON object", f"write one a line, such as {_SHAPE}")
        except StopIteration:
            return
        except UnreadableFileError:
            raise
        except DataError as error:
            on_error(error)
        else:
            yield f"{source.path}:{source.line}", f"{source.name}:{source.line}", record


def _nested(source: Source) -> Iterator[tuple[str, str, dict[str, Any]]]:
    whole = _parsed(source, source.decode(source.read(), 0))
    shape = 'write {"data": [{"paragraphs": [{"context": "...", "qas": [...]}]}]}, or an object a line in .jsonl'
    for article_place, article in _items(source.path, "", whole, "data", shape):
        for paragraph_place, paragraph in _items(source.path, article_place, article, "paragraphs", shape):
            for place, record in _items(source.path, paragraph_place, paragraph, "qas", shape):
                context = {"context": paragraph["context"]} if "context" in paragraph else {}
                yield f"{source.path}: {place}", f"{source.name}:{place}", record | context


def _items(path: str, place: str, holder: Any, field: str, shape: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = holder.get(field) if isinstance(holder, dict) else None
    where = f"{place}.{field}" if place else field
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DataError(path, None, f"there is no list of objects {where!r}", shape)
    for number, item in enumerate(found):
        yield f"{where}[{number}]", item


def _parsed(source: Source, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = max(source.line, 1) + error.lineno - 1
        raise source.error(
            f"broken JSON ({error.msg} at column {error.colno})", f"write it as {_SHAPE}", line
        ) from None
    except (RecursionError, ValueError) as error:
        raise source.error(f"JSON that cannot be read ({error})", f"write it as {_SHAPE}") from None


def _question(place: str, identity: str, record: dict[str, Any]) -> Question:
    text, document = (_text(place, record, field) for field in ("question", "context"))
    given = record.get("id", identity)
    if not isinstance(given, str | int) or isinstance(given, bool):
        raise DataError.at(
            place, "the field 'id' is neither a string nor a whole number", "make it one, or leave it out"
        )
    return Question(text, document, str(given), _answers(place, record, document), place)


def _text(place: str, record: dict[str, Any], field: str) -> str:
    if field not in record:
        known = ", ".join(map(repr, record)) or "none"
        raise DataError.at(place, f"there is no field {field!r}; the fields are {known}", f"write {_SHAPE}")
    text = record[field]
    if not isinstance(text, str) or not text.strip():
        found = "empty" if isinstance(text, str) else "no string"
        raise DataError.at(place, f"the field {field!r} is {found}", "give it a text, or delete the record")
    check_utf8(text, place, f"the field {field!r}")
    return text


def _answers(place: str, record: dict[str, Any], document: str) -> tuple[tuple[int, int], ...] | None:
    impossible = record.get("is_impossible")
    if record.get("answers") is None:
        return () if impossible is True else None
    answers = tuple(_answer(place, *each, document) for each in _pairs(place, record["answers"]))
    if impossible is not None and bool(impossible) == bool(answers):
        told = "names an answer" if answers else "names none"
        raise DataError.at(place, f'"is_impossible" is {json.dumps(impossible)}, and "answers" {told}', "correct one")
    return answers


def _pairs(place: str, answers: Any) -> list[tuple[Any, Any]]:
    """Each answer's text and where it starts."""
    match answers:
        case {"text": list(texts), "answer_start": list(starts)} if len(texts) == len(starts):
            return list(zip(texts, starts, strict=True))
        case list(each) if all(isinstance(one, dict) and {"text", "answer_start"} <= one.keys() for one in each):
            return [(one["text"], one["answer_start"]) for one in each]
    raise DataError.at(
        place, 'the field "answers" has no texts with as many places', f"write {_SHAPE}, empty lists for no answer"
    )


def _answer(place: str, text: Any, start: Any, document: str) -> tuple[int, int]:
    if not isinstance(text, str) or not text:
        raise DataError.at(
            place, "an answer is empty", "give its text, or empty lists where the document has no answer"
        )
    if not isinstance(start, int) or isinstance(start, bool):
        raise DataError.at(place, f'the "answer_start" of {text!r} is no whole number', "count characters from 0")
    if start >= 0 and document[start : start + len(text)] == text:
        return start, start + len(text)
    found = document.find(text)
    problem = f"the answer {text!r} is not in the text at {start}"
    if start >= 0 and start < len(document):
        problem += f", where {document[start : start + len(text)]!r} stands"
    told = "it is not in the text at all; copy it from there" if found < 0 else f"it stands at {found}"
    raise DataError.at(place, problem, f"{told}; count in characters of the context, from 0")
