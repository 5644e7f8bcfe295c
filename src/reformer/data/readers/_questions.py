"""Reader of questions in SQuAD's JSON, CMRC 2018's, JSONL, tables and Parquet."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from reformer.data.errors import DataError, OnError, raise_error
from reformer.data.notes import Notes
from reformer.data.questions import Question
from reformer.data.readers._parquet import is_datasets_folder, parquet_records
from reformer.data.readers._record import check_others, check_utf8
from reformer.data.readers._source import Source, UnreadableFileError
from reformer.data.readers._table import named_rows
from reformer.data.standard_input import STANDARD_INPUT

_SHAPE = '{"question": "...", "context": "...", "answers": {"text": ["..."], "answer_start": [17]}}'
_NESTED = 'write {"data": [{"paragraphs": [{"context": "...", "qas": [...]}]}]}, or an object a line in .jsonl'
_NAMES = {
    "question": ("question", "query_text"),
    "context": ("context", "context_text"),
    "id": ("id", "query_id"),
    "answers": ("answers", "answer", "answer_text"),
}
"""Names of each field, CMRC 2018's and those of tables among them."""

QUESTION_FORMATS = ("jsonl", "json", "csv", "tsv", "parquet")

MOST_PLACES = 5
"""Places of an answer that a message names, at most."""

Located = tuple[str, str, dict[str, Any]]
"""The place of a record, a name for it, and the record."""


@dataclass(frozen=True)
class _Reading:
    """How answers are read: not at all where they are not needed, and with `repair`, wrong places are corrected."""

    with_answers: bool
    repair: bool
    notes: Notes = field(default_factory=Notes)


def read_questions(
    path: str,
    *,
    with_answers: bool = True,
    repair: bool = False,
    format: str | None = None,
    encoding: str | None = None,
    keeps_others: bool = False,
    on_error: OnError = raise_error,
) -> Iterator[Question]:
    """The questions of a file, in its order.

    - JSONL (`.jsonl`, `.ndjson`): an object a line with `question`, `context`, and if they are known `answers`:
      `{"text": [...], "answer_start": [...]}` or `[{"text": ..., "answer_start": ...}, ...]`, empty where the document
      has no answer; an `id` if there is one. Parquet has the same fields.
    - JSON (`.json`): SQuAD's own, versions 1.1 and 2.0 (`data`, `paragraphs`, `qas`), CMRC 2018's (`context_text`,
      `query_text`), or a list of objects as in JSONL. It is held whole.
    - `.csv`, `.tsv`: columns of these names, the answer in `answer`, its place in `answer_start` if there is one; an
      empty cell is no answer.

    Each may end with `.gz`. An answer that is given without a place stands where its text stands first.

    Args:
        with_answers: whether answers are read.
        repair: move an answer that does not stand at its place to the only place where it stands.
        format: one of `QUESTION_FORMATS`; None: the suffix tells it.
        encoding: of the file; None: UTF-8.
        keeps_others: whether a question has the other fields of its record.

    Raises:
        DataError: place and remedy for whatever is wrong; with `on_error`, for the file as a whole alone. The place is
            the line, or in JSON the way to the question.
    """
    reading = _Reading(with_answers, repair)
    empty = True
    for place, identity, record in _records(path, format, encoding, on_error):
        empty = False
        try:
            question = _question(place, identity, record, reading)
            yield replace(question, others=check_others(_others(record), place)) if keeps_others else question
        except DataError as error:
            on_error(error)
    reading.notes.tell(path)
    if empty:
        raise DataError(path, None, "the file holds no question", f"give at least one, as {_SHAPE}")


def _format(path: str, format: str | None) -> str:
    """The format of a file, as it is given or as its name tells."""
    name = path.lower().removesuffix(".gz")
    if format is None and is_datasets_folder(path):
        return "parquet"
    told = name.rpartition(".")[2].replace("ndjson", "jsonl") if format is None else format
    if told in QUESTION_FORMATS and (format is not None or "." in name):
        return told
    if format is not None:
        raise DataError(
            path, None, f"there is no format {format!r} for questions", f"use one of {', '.join(QUESTION_FORMATS)}"
        )
    if path == STANDARD_INPUT:
        problem, remedy = "standard input has no suffix that tells the format", "name it: --format "
        raise DataError(path, None, problem, remedy + "|".join(QUESTION_FORMATS))
    remedy = "give .jsonl, SQuAD's .json, .csv or .tsv (.gz too), or .parquet, or name it by --format"
    raise DataError(path, None, "the suffix does not tell the format", remedy)


def _records(path: str, format: str | None, encoding: str | None, on_error: OnError) -> Iterator[Located]:
    kind = _format(path, format)
    base = Source.name_of(path)
    if kind == "parquet":
        for line, record in parquet_records(path):
            yield f"{path}:{line}", f"{base}:{line}", record
    elif kind in ("csv", "tsv"):
        rows = named_rows(lambda: Source(path, encoding), kind, ("question", "context"), on_error)
        for line, row in rows:
            yield f"{path}:{line}", f"{base}:{line}", _of_row(row)
    else:
        with Source(path, encoding) as source:
            yield from _nested(source) if kind == "json" else _lines(source, on_error)


def _others(record: dict[str, Any]) -> dict[str, Any]:
    read = {name for field in ("question", "context", "id") for name in _NAMES[field]}
    return {name: value for name, value in record.items() if name not in read}


def _of_row(row: dict[str, str]) -> dict[str, Any]:
    """The record of a table's row: answers from a cell that has one text, or JSON, and from one with its place."""
    record: dict[str, Any] = {
        name: cell for name, cell in row.items() if name not in ("answer_start", *_NAMES["answers"])
    }
    answer = next((row[name] for name in _NAMES["answers"] if name in row), None)
    if answer is None:
        return record
    if answer.lstrip().startswith(("{", "[")):
        try:
            return record | {"answers": json.loads(answer)}
        except (ValueError, RecursionError):
            pass
    start = row.get("answer_start", "").strip()
    if not answer.strip():
        return record | {"answers": []}
    return record | {"answers": [{"text": answer, "answer_start": int(start)} if start.isdecimal() else answer]}


def _lines(source: Source, on_error: OnError) -> Iterator[Located]:
    """The records of the lines that hold one."""
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


def _nested(source: Source) -> Iterator[Located]:
    whole = _parsed(source, source.decode(source.read(), 0))
    holder = {"": whole} if isinstance(whole, list) else whole
    for place, record in _of_items(source.path, "", holder, "" if isinstance(whole, list) else "data"):
        yield f"{source.path}: {place}", f"{source.name}:{place}", record


def _of_items(path: str, place: str, holder: Any, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records in a list of articles, of paragraphs, or of records themselves."""
    for inner_place, item in _items(path, place, holder, field):
        if "paragraphs" in item or (field == "data" and not any(name in item for name in ("qas", *_NAMES["question"]))):
            yield from _of_items(path, inner_place, item, "paragraphs")
        elif "qas" in item or field == "paragraphs":
            context = {name: item[name] for name in _NAMES["context"] if name in item}
            for record_place, record in _items(path, inner_place, item, "qas"):
                yield record_place, record | context
        else:
            yield inner_place, item


def _items(path: str, place: str, holder: Any, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = holder.get(field) if isinstance(holder, dict) else None
    where = f"{place}.{field}" if place else field
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DataError(path, None, f"there is no list of objects {where!r}", _NESTED)
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


def _question(place: str, identity: str, record: dict[str, Any], reading: _Reading) -> Question:
    text, document = (_text(place, record, field) for field in ("question", "context"))
    given = _value(record, "id", identity)
    if not isinstance(given, str | int) or isinstance(given, bool):
        raise DataError.at(
            place, "the field 'id' is neither a string nor a whole number", "make it one, or leave it out"
        )
    check_utf8(str(given), place, "the field 'id'")
    answers = _answers(place, record, document, reading) if reading.with_answers else None
    return Question(text, document, str(given), answers, place)


def _value(record: dict[str, Any], field: str, default: Any = None) -> Any:
    """The value of a field, by the first of its names that the record has."""
    return next((record[name] for name in _NAMES[field] if name in record), default)


def _text(place: str, record: dict[str, Any], field: str) -> str:
    if not any(name in record for name in _NAMES[field]):
        known = ", ".join(map(repr, record)) or "none"
        raise DataError.at(place, f"there is no field {field!r}; the fields are {known}", f"write {_SHAPE}")
    text = _value(record, field)
    if not isinstance(text, str) or not text.strip():
        found = "empty" if isinstance(text, str) else "no string"
        raise DataError.at(place, f"the field {field!r} is {found}", "give it a text, or delete the record")
    check_utf8(text, place, f"the field {field!r}")
    return text


def _answers(
    place: str, record: dict[str, Any], document: str, reading: _Reading
) -> tuple[tuple[int, int], ...] | None:
    impossible = record.get("is_impossible")
    given = _value(record, "answers")
    if given is None:
        return () if impossible is True else None
    # Annotators who agree give one answer several times.
    answers = tuple(dict.fromkeys(_answer(place, *each, document, reading) for each in _pairs(place, given, record)))
    if impossible is not None and bool(impossible) == bool(answers):
        told = "names an answer" if answers else "names none"
        raise DataError.at(place, f'"is_impossible" is {json.dumps(impossible)}, and "answers" {told}', "correct one")
    return answers


def _pairs(place: str, answers: Any, record: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Each answer's text and where it starts; None where nothing says that."""
    match answers:
        case {"text": list(texts), "answer_start": list(starts)} if len(texts) == len(starts):
            return list(zip(texts, starts, strict=True))
        case {"text": list(texts)} if "answer_start" not in answers:
            return [(text, None) for text in texts]
        case {"text": str(text)}:
            return [(text, answers.get("answer_start"))]
        case str(text):
            return [(text, record.get("answer_start"))]
        case list(each) if all(isinstance(one, str) or (isinstance(one, dict) and "text" in one) for one in each):
            return [(one, None) if isinstance(one, str) else (one["text"], one.get("answer_start")) for one in each]
    raise DataError.at(
        place, 'the field "answers" has no texts with as many places', f"write {_SHAPE}, empty lists for no answer"
    )


def _answer(place: str, text: Any, start: Any, document: str, reading: _Reading) -> tuple[int, int]:
    if not isinstance(text, str) or not text:
        raise DataError.at(
            place, "an answer is empty", "give its text, or empty lists where the document has no answer"
        )
    if isinstance(start, float) and start.is_integer():
        start = int(start)
    line = int(number) if (number := place.rpartition(":")[2]).isdecimal() else 1
    if start is None:
        found = document.find(text)
        if found < 0:
            raise DataError.at(place, f"the answer {text!r} is not in the text", "copy it from there")
        if document.find(text, found + 1) >= 0:
            reading.notes.count("answers without a place stand at several; the first is taken", line)
        return found, found + len(text)
    if not isinstance(start, int) or isinstance(start, bool):
        raise DataError.at(place, f'the "answer_start" of {text!r} is no whole number', "count characters from 0")
    if start >= 0 and document[start : start + len(text)] == text:
        return start, start + len(text)
    places = list(_places(text, document))
    if reading.repair and len(places) == 1:
        reading.notes.count("answers moved to the only place where they stand", line)
        return places[0], places[0] + len(text)
    problem = f"the answer {text!r} is not in the text at {start}"
    if start >= 0 and start < len(document):
        problem += f", where {document[start : start + len(text)]!r} stands"
    repair = ", or move all such answers by --repair (data.repair = true in a recipe)" if len(places) == 1 else ""
    told = (
        f"it stands at {', '.join(map(str, places))}" if places else "it is not in the text at all; copy it from there"
    )
    raise DataError.at(place, problem, f"{told}; count in characters of the context, from 0{repair}")


def _places(text: str, document: str) -> Iterator[int]:
    """The first places of a text in a document."""
    found = document.find(text)
    for _ in range(MOST_PLACES):
        if found < 0:
            return
        yield found
        found = document.find(text, found + 1)
