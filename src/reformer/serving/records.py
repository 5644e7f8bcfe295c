"""Answers to the records of a request: read as `reformer predict` reads a file, answered in batches with those of other
clients, and written as it writes them."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from reformer.data import DataError
from reformer.errors import ReformerError
from reformer.inference.answer_forms import Form, answer_form, check_form
from reformer.serving.engine import QueueFullError, Work
from reformer.serving.refusals import BUSY, LATE, WRONG, RefusalError, error_problem
from reformer.serving.served_run import ServedRun
from reformer.serving.uploads import Limits, Upload
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predictions import Prediction

RECORDS_AHEAD = 64
"""Records of one request that wait or are answered at a time, at most."""
TOKENS_AHEAD = 1 << 16
"""Tokens of them, unless one record has more."""
WAIT_FOR_ROOM = 0.02
"""Seconds between two looks for room, of a request that has begun."""


class PredictQuery(BaseModel):
    """Options of `reformer predict`, as parameters of a request."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, description="the name of the file that the body is, such as texts.csv")
    to: (
        Literal[
            "csv",
            "label-studio",
            "doccano",
            "prodigy",
            "spacy",
            "tokens",
            "cluener",
            "cmeee",
            "conll",
            "bioes",
            "bmes",
            "biluo",
            "io",
            "conllu",
        ]
        | None
    ) = Field(None, description="the form of the answers; none: JSONL")
    format: str | None = Field(None, description="the format of the body; none: its name or type tells")
    encoding: str | None = Field(None, description="the body's encoding, such as gb18030; none: UTF-8")
    header: bool | None = Field(None, description="whether the first line of a table names its columns")
    text_column: str | None = Field(None, description="the column or field that has the text")
    columns: str | None = Field(None, description="the columns of CoNLL, such as word,_,tag")
    text: bool | None = Field(None, description="whether to repeat the text; none: yes")
    scores: bool | None = Field(None, description="whether to give the probabilities of all classes; none: yes")
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="leave out entities and labels of a lower probability"
    )
    aggregation_strategy: Literal["simple", "first", "average", "max"] | None = Field(
        None, description="how the tags of a word's tokens become one; none: as in training"
    )
    beams: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="width of the beam search where a text is generated"
    )
    dst: Literal["first", "shift", "utc"] | None = Field(
        None, description="what to make of an hour of a series that is there twice"
    )
    keep_columns: bool | None = Field(None, description="whether to give the other columns or fields, too")

    def options(self, served: ServedRun) -> PredictOptions:
        """The options, as those of the command.

        Raises:
            RefusalError: one means nothing to the task, or the form cannot hold the answers.
        """
        known = {field.name for field in fields(PredictOptions)}
        given = {name: value for name, value in self if name in known and value is not None}
        for name in given:
            if name not in served.run.task.predict_options:
                told = f"this means nothing to a run that has learned {served.task_name}; leave it out"
                raise RefusalError(WRONG, told, ["query", name])
        if given.get("keep_columns") is False:
            del given["keep_columns"]
        if self.to not in (None, "csv"):
            try:
                check_form(
                    served.run.task,
                    None,
                    self.to,
                    text=self.text,
                    scores=self.scores,
                    keep_columns=bool(self.keep_columns),
                )
            except ReformerError as error:
                raise RefusalError(WRONG, str(error), ["query", "to"]) from None
        return PredictOptions(**given)

    def form(self) -> Form:
        """How the answers are written."""
        output = Path("answers.csv") if self.to == "csv" else None
        return answer_form(output, None if self.to == "csv" else self.to, excel=False, is_begun=False)


Answered = Prediction | DataError


class Reading:
    """The records of an upload, as sequences; those that cannot be read are errors among them."""

    def __init__(self, served: ServedRun, upload: Upload, options: PredictOptions) -> None:
        self._errors: list[DataError] = []
        self._sequences: Iterator[Any] = iter(
            served.run.task.sequences(served.run, [str(upload.path)], options, self._errors.append)
        )

    def next(self, most: int) -> list[Any]:
        """The next sequences and errors, an empty list at the end."""
        found = list(islice(self._sequences, most))
        # What cannot be read is met on the way.
        errors, self._errors[:] = list(self._errors), []
        return [*errors, *found]

    def close(self) -> None:
        close: Callable[[], object] = getattr(self._sequences, "close", lambda: None)
        close()


async def predictions(
    served: ServedRun, upload: Upload, options: PredictOptions, limits: Limits
) -> AsyncGenerator[Answered]:
    """The prediction for each record, or its error, in their order.

    Raises:
        RefusalError: there is no room for the first record, or one is not answered in time.
    """
    reading = Reading(served, upload, options)
    waiting: deque[tuple[Any, Future[Any] | None]] = deque()
    tokens, at_end, begun = 0, False, False
    try:
        while True:
            while not at_end and len(waiting) < RECORDS_AHEAD and tokens < TOKENS_AHEAD:
                found = await run_in_threadpool(reading.next, RECORDS_AHEAD - len(waiting))
                at_end = not found
                for each in found:
                    future = None
                    if not isinstance(each, DataError):
                        work = Work(each, len(each.ids), served.answering(options), group=options)
                        future = await _queued(served, work, limits, wait=begun)
                        tokens, begun = tokens + len(each.ids), True
                    waiting.append((each, future))
            if not waiting:
                return
            sequence, future = waiting.popleft()
            if future is None:
                yield sequence
                continue
            answer = await in_time(future, limits)
            tokens -= len(sequence.ids)
            try:
                made = list(served.run.task.predictions(served.run, sequence, answer, options))
            except ReformerError as error:
                yield DataError(None, None, str(error), "give other options")
                continue
            for prediction in made:
                # A forecast names its file.
                if prediction.fields.get("file") == str(upload.path):
                    prediction.fields["file"] = upload.name
                yield prediction
    finally:
        for _, future in waiting:
            if future is not None:
                future.cancel()
        reading.close()


async def _queued(served: ServedRun, work: Work, limits: Limits, *, wait: bool) -> "Future[Any]":
    """The future of a work; of a request that has begun, there is room within the time of an answer."""
    end = asyncio.get_running_loop().time() + limits.seconds
    while True:
        try:
            return served.engine.put(work)
        except QueueFullError as error:
            if not wait or asyncio.get_running_loop().time() > end:
                raise busy(error.retry_after) from None
            await asyncio.sleep(WAIT_FOR_ROOM)


def busy(retry_after: int) -> RefusalError:
    """The refusal of a request for which there is no room."""
    told = f"too many records are waiting; come again in {retry_after} s"
    return RefusalError(BUSY, told, headers={"Retry-After": str(retry_after)})


async def in_time(future: "Future[Any]", limits: Limits) -> Any:
    """The answer of the engine.

    Raises:
        RefusalError: it does not come in time.
    """
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), limits.seconds)
    except TimeoutError:
        raise late(limits) from None


def late(limits: Limits) -> RefusalError:
    """The refusal of a request whose answer does not come in time."""
    told = f"no answer within {limits.seconds:g} s; send less at a time, or serve with a greater --timeout"
    return RefusalError(LATE, told)


async def lines(answered: AsyncGenerator[Answered], name: str) -> AsyncGenerator[str]:
    """NDJSON of the answers as they are ready; in place of a record that has none, an object with its `error`.

    The first line comes only when it is known whether there is any answer at all.

    Raises:
        RefusalError: before the first line, if all records are wrong.
    """
    form, errors, begun = answer_form(None, None, excel=False, is_begun=False), list[DataError](), False
    try:
        async with aclosing(answered):
            async for each in answered:
                if isinstance(each, DataError):
                    errors.append(each)
                    if not begun and len(errors) < RECORDS_AHEAD:
                        continue
                for error in errors:
                    yield _error_line(error_problem(error, name))
                errors, begun = [], True
                if isinstance(each, Prediction):
                    yield form(each.fields)
    except RefusalError as refusal:
        if not begun:
            raise
        yield _error_line(refusal.detail[0])
    if errors:
        if not begun:
            raise RefusalError.of_errors(errors, name)
        for error in errors:
            yield _error_line(error_problem(error, name))


def _error_line(told: dict[str, Any]) -> str:
    return json.dumps({"error": told}, ensure_ascii=False) + "\n"


async def whole(answered: AsyncGenerator[Answered], form: Form, name: str) -> str:
    """All answers in a form that has no place for errors.

    Raises:
        RefusalError: a record has no answer, or the form cannot hold one.
    """
    written, errors = [], list[DataError]()
    async with aclosing(answered):
        async for each in answered:
            if isinstance(each, DataError):
                errors.append(each)
                continue
            try:
                written.append(form(each.fields))
            except DataError as error:
                errors.append(error)
    if errors:
        raise RefusalError.of_errors(errors, name)
    return "".join(written) + form.end()
