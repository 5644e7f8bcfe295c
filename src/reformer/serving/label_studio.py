"""Label Studio's protocol for ML backends: its tasks in, predictions with scores out."""

import json
from contextlib import aclosing
from typing import Any
from xml.etree import ElementTree

from reformer.data import DataError
from reformer.data.formats.record import kind as json_kind
from reformer.data.formats.table import JSON_FORMATS
from reformer.inference.answer_forms import document_of
from reformer.serving.records import predictions
from reformer.serving.refusals import WRONG, RefusalError
from reformer.serving.served_run import ServedRun
from reformer.serving.spool import Spool
from reformer.serving.uploads import Limits, Upload
from reformer.tasks.documents.task import DocumentTask
from reformer.tasks.predict_options import PredictOptions

_FORM = JSON_FORMATS["label-studio-predictions"]


def is_request(body: Any) -> bool:
    """Whether a JSON body is Label Studio's."""
    return isinstance(body, dict) and isinstance(body.get("tasks"), list)


async def answer_tasks(served: ServedRun, body: dict[str, Any], limits: Limits, spool: Spool) -> dict[str, Any]:
    """Predictions for tasks, in the names of the project's labelling configuration.

    Raises:
        RefusalError: the run has learned nothing about texts, the configuration or a task does not fit, or one has no
            answer.
    """
    names, field = check_config(served, body.get("label_config"))
    texts = [_text(task, field, number) for number, task in enumerate(body["tasks"])]
    column = served.run.recipe.data.columns[0]
    results: list[dict[str, Any]] = []
    if not texts:
        return {"results": results, "model_version": served.name}
    upload = Upload(spool, "tasks.jsonl")
    try:
        records = (json.dumps({column: text, "id": str(number)}) + "\n" for number, text in enumerate(texts))
        upload.write("".join(records))
        async with aclosing(predictions(served, upload, PredictOptions(), limits)) as answered:
            async for each in answered:
                if isinstance(each, DataError):
                    raise RefusalError.of_errors([each], "tasks")
                [found] = _FORM.build(document_of(each.fields))["predictions"]
                for result in found["result"]:
                    result |= names
                results.append(found | {"model_version": served.name} | _score(each.fields))
    finally:
        upload.close()
    return {"results": results, "model_version": served.name}


def check_config(served: ServedRun, config: Any) -> tuple[dict[str, str], str | None]:
    """The names that results bear in a labelling configuration, and the field of a task that has the text.

    Raises:
        RefusalError: the run has learned nothing about texts, or the configuration has no place for its answers.
    """
    if not isinstance(served.run.task, DocumentTask):
        told = f"a run that has learned {served.task_name}; Label Studio is answered by runs over documents"
        raise RefusalError(WRONG, told, ["body"])
    return _names(config, "Labels" if served.task_name == "token-classification" else "Choices")


def _score(fields: dict[str, Any]) -> dict[str, float]:
    """The score of a class, by which Label Studio sorts; that of entities is the least of theirs already."""
    score = fields.get("score")
    return {"score": score} if isinstance(score, float) else {}


def _names(config: Any, control: str) -> tuple[dict[str, str], str | None]:
    if config in (None, ""):
        return {}, None
    try:
        if not isinstance(config, str):
            raise ValueError(f"a JSON {json_kind(config)}")
        root = ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError) as error:
        told = f"this is no labelling configuration ({error}); send the project's XML"
        raise RefusalError(WRONG, told, ["body", "label_config"]) from None
    found = next(root.iter(control), None)
    name, text = (None, None) if found is None else (found.get("name"), found.get("toName"))
    shown = next((each for each in root.iter() if each.get("name") == text and each.tag in ("Text", "HyperText")), None)
    if name is None or text is None or shown is None:
        told = f"no <{control}> with a toName that is a <Text>; this run gives {control.lower()}: add it"
        raise RefusalError(WRONG, told, ["body", "label_config"])
    return {"from_name": name, "to_name": text}, (shown.get("value") or "").removeprefix("$") or None


def _text(task: Any, field: str | None, number: int) -> str:
    data = task.get("data") if isinstance(task, dict) else None
    if isinstance(data, dict):
        texts = [value for value in data.values() if isinstance(value, str)]
        text = data.get(field or "text", texts[0] if len(texts) == 1 and field is None else None)
        if isinstance(text, str):
            return text
    told = f"no text in data.{field or 'text'}; name the field in the labelling configuration"
    raise RefusalError(WRONG, told, ["body", "tasks", number])
