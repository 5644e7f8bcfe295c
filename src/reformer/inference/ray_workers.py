"""Processes on Ray that read files and answer their records; imported by them before anything that is heavy."""

# pyright: reportMissingImports=false

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reformer.errors import ReformerError

if TYPE_CHECKING:
    from reformer.data.errors import DataError
    from reformer.data.origin import Key
    from reformer.tasks.base import Run
    from reformer.tasks.predict_options import PredictOptions
    from reformer.tasks.predicting import PredictingTask
    from reformer.tasks.predictions import InputFile, Prediction

CHARACTERS_AT_A_TIME, RECORDS_AT_A_TIME = 1 << 15, 512
"""Records that a worker answers at a time: so many characters of text, or so many records."""
MOST_ATTEMPTS = 4
"""How often a portion is given out whose worker ends."""


@dataclass(frozen=True)
class RunToRead:
    """As much of a run as is needed to read files for it."""

    task: "PredictingTask"
    recipe: Any


@dataclass(frozen=True)
class Job:
    """What is read and answered."""

    run: "Run[PredictingTask] | RunToRead"
    options: "PredictOptions"
    after: "Key | None"
    """The key of the last record that is answered already."""
    folder: str
    """The folder that relative paths are seen from."""


@dataclass
class Portion:
    """Neighbouring records of a file, and what is to be told of those that could not be read."""

    place: int
    """Of the file among those given."""
    number: int
    """Of the portion in it."""
    records: list[Any] = field(default_factory=list)
    errors: "list[DataError]" = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failure: Exception | None = None
    """What ended it before its last record."""
    is_last: bool = False


@dataclass
class Answered:
    """Predictions for a portion."""

    portion: Portion
    """Without its records."""
    predictions: "list[Prediction]"
    worker: str
    is_restarted: bool


class Foreman:
    """Actor that knows the jobs, and counts how often each portion was begun, which a worker that ends cannot tell.

    Args:
        prepare: called in each process before anything of a model is imported.
        jobs: references to a `Job` by name, in lists, so that they are not fetched before it is called.
    """

    def __init__(self, prepare: Callable[[], object], **jobs: list[Any]) -> None:
        self._prepare, self._jobs = prepare, jobs
        self._begun = Counter[tuple[int, int]]()

    def begin(self, portion: tuple[int, int]) -> int:
        self._begun[portion] += 1
        return self._begun[portion]

    def job(self, name: str) -> tuple[Callable[[], object], list[Any]]:
        return self._prepare, self._jobs[name]


def job_of(foreman: Any, name: str) -> Job:
    """The job, in a process that is prepared for it."""
    import ray

    prepare, [reference] = ray.get(foreman.job.remote(name))
    prepare()
    return ray.get(reference)


def read(rows: Any, foreman: Any) -> Iterator[dict[str, Any]]:
    """The portions of files."""
    job = job_of(foreman, "reading")
    if Path(job.folder).is_dir():
        os.chdir(job.folder)
    for row in rows["file"]:
        for portion in portions(row, job):
            yield {"portion": [portion]}


def portions(file: "InputFile", job: Job) -> Iterator[Portion]:
    """The records of a file as portions, the last of which may be empty."""
    from reformer.data.notes import DataWarning
    from reformer.tasks.predictions import is_after, size_of

    portion = Portion(file.place, 0)
    characters = 0

    def note(error: "DataError") -> None:
        portion.errors.append(error)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for record in job.run.task.records(job.run, [file], job.options, note):
                if not is_after(record, job.after):
                    continue
                portion.records.append(record)
                characters += size_of(record)
                if characters >= CHARACTERS_AT_A_TIME or len(portion.records) == RECORDS_AT_A_TIME:
                    yield portion
                    portion, characters = Portion(file.place, portion.number + 1), 0
        except (ReformerError, MemoryError) as error:
            portion.failure = error
        portion.warnings += [str(each.message) for each in caught if issubclass(each.category, DataWarning)]
    portion.is_last = True
    yield portion


class Worker:
    """Process that answers portions with one thread."""

    def __init__(self, foreman: Any) -> None:
        import ray

        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self._foreman = foreman
        self._job = job_of(foreman, "answering")
        import torch

        torch.set_num_threads(1)
        context = ray.get_runtime_context()
        self._name = f"{context.get_actor_id()}-{os.getpid()}"
        self._is_restarted = bool(context.was_current_actor_reconstructed)
        self._answer = self._job.run.task.answering(self._job.run, self._job.options)

    def __call__(self, rows: Any) -> dict[str, Any]:
        return {"answered": [self._answered(row) for row in rows["portion"]]}

    def _answered(self, portion: Portion) -> Answered:
        import ray

        from reformer.data.batching.read_ahead import in_order

        run: Any = self._job.run
        options, found = self._job.options, list[Any]()
        times: Any = ray.get(self._foreman.begin.remote((portion.place, portion.number)))
        try:
            if times > MOST_ATTEMPTS:
                raise _ended_too_often(portion.records)
            sequences = run.task.encode(run, portion.records)
            for sequence, answer in in_order(
                sequences, self._answer, batch_tokens=run.task.batch_tokens, on_error=portion.errors.append
            ):
                found += run.task.predictions(run, sequence, answer, options)
        except (ReformerError, MemoryError) as error:
            portion.failure = error
        return Answered(replace(portion, records=[]), found, self._name, self._is_restarted)


def _ended_too_often(records: Sequence[Any]) -> ReformerError:
    first, last = (str(each.source or each.id) for each in (records[0], records[-1]))
    return ReformerError(
        f"--engine ray: {MOST_ATTEMPTS} times a worker has ended, each at the records from {first} to {last}; where "
        "memory is short give fewer --workers, or else try these alone without --engine"
    )
