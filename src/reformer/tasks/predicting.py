"""Tasks whose runs predict for the records of files: read, answer in batches, write down."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import fields
from typing import Any, ClassVar, Protocol

from reformer.data import DataError
from reformer.data.batching.read_ahead import BATCH_TOKENS, in_order
from reformer.data.errors import OnError
from reformer.data.inputs import find_inputs
from reformer.data.notes import DataWarning
from reformer.data.origin import Key
from reformer.errors import ReformerError
from reformer.metrics.forecast_review import ForecastReview
from reformer.metrics.review import Review
from reformer.tasks.base import Evaluation, Task
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predictions import InputFile, Prediction, can_be_read_twice, is_after, read_files, size_of


class RecordSequence(Protocol):
    """A record as the model reads it."""

    @property
    def ids(self) -> Sized:
        """As long as the sequence that the model reads."""
        ...

    @property
    def record(self) -> Any:
        """The record, which has an `origin`."""
        ...


class PredictingTask(Task):
    """Task whose runs predict for the records of files: `reformer predict` and `reformer evaluate` need no more."""

    predict_options: frozenset[str] = frozenset()
    """The fields of `PredictOptions` that mean something to this task."""

    batch_tokens: ClassVar[int] = BATCH_TOKENS
    """The most tokens of a batch, padding included, unless one sequence has more."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """Ends of the names of files that this task reads, without `.gz`."""
    reads_records: ClassVar[bool] = True
    """Whether files are read by `read_file` and their records encoded by `encode`, so that another process can do the
    one than does the other; a task that sets it to False has `sequences` of its own."""
    counts_ahead: ClassVar[bool] = True
    """Whether records are read in a small part of the time that they take, so that `size` reads all of them."""
    whole_folders: ClassVar[bool] = False
    """Whether the reader of this task opens folders of some formats as a whole."""

    def find_inputs(self, given: Iterable[str], format: str | None) -> list[str]:
        """The files that arguments of a command stand for; of a folder those that this task reads by their names, or
        all where their format is given."""

        def is_read(file: str) -> bool:
            return format is not None or file.lower().removesuffix(".gz").endswith(self.suffixes)

        return find_inputs(given, is_read, whole_folders=self.whole_folders and format in (None, "brat"))

    def check_options(self, name: str, options: PredictOptions) -> None:
        """Raise `ReformerError` if an option is given that means nothing to this task."""
        for name_given in (each.name for each in fields(options)):
            if name_given not in self.predict_options and getattr(options, name_given) is not None:
                option = name_given.replace("_", "-")
                raise ReformerError(f"--{option} means nothing to a run that has learned {name}; leave it out")

    def read_file(self, run: Any, file: str, options: PredictOptions, on_error: OnError) -> Iterable[Any]:
        """The records of a file, in their order. One that cannot be read goes to `on_error`, and the next one is read.

        Of the run its recipe alone is needed.
        """
        raise NotImplementedError

    def encode(self, run: Any, records: Iterable[Any]) -> Iterator["RecordSequence | DataError"]:
        """Records as the model reads them, in their order; in place of one that it cannot take, its error."""
        raise NotImplementedError

    def records(
        self, run: Any, files: Iterable[str | InputFile], options: PredictOptions, on_error: OnError
    ) -> Iterator[Any]:
        """The records of the files, in their order, as `read_files` gives them."""
        return read_files(
            files,
            lambda file: self.read_file(run, file, options, on_error),
            on_error,
            keeps_others=bool(options.keep_columns),
        )

    def sequences(
        self, run: Any, files: Iterable[str], options: PredictOptions, on_error: OnError
    ) -> Iterator["RecordSequence | DataError"]:
        """The records of the files, in their order, as the model reads them; in place of one that it cannot take, its
        error. A record that cannot be read goes to `on_error`, and the next one is read."""
        return self.encode(run, self.records(run, files, options, on_error))

    @abstractmethod
    def answering(self, run: Any, options: PredictOptions) -> Callable[[list[Any]], Sequence[Any]]:
        """What answers a batch of sequences, all of one `batch_length`: an answer each, in their order."""

    @abstractmethod
    def predictions(self, run: Any, sequence: Any, answer: Any, options: PredictOptions) -> Iterable[Prediction]:
        """What is predicted for the record of a sequence: most often one `Prediction`."""

    def predict(
        self, run: Any, files: Iterable[str], options: PredictOptions, on_error: OnError, after: Key | None = None
    ) -> Iterator[Prediction]:
        """The run's prediction for each record of the files, in their order.

        A record that cannot be read or predicted goes to `on_error` as an error that names its place, and the next one
        is read. However large the files are, a bounded part of them is held. On a CPU the prediction for a record does
        not depend on what other records there are.

        Args:
            after: the key of the last prediction that is known already; those up to it are not made again. The others
                are bit for bit those of all files.
        """
        answered = in_order(
            self.sequences(run, files, options, on_error),
            self.answering(run, options),
            batch_tokens=self.batch_tokens,
            on_error=on_error,
            wanted=lambda sequence: is_after(sequence.record, after),
        )
        for sequence, answer in answered:
            for prediction in self.predictions(run, sequence, answer, options):
                if after is None or prediction.key > after:
                    yield prediction

    def size(self, run: Any, files: Iterable[str], options: PredictOptions, after: Key | None = None) -> int | None:
        """The sum of the sizes of all predictions for the files that come after one with a key; None where nothing
        tells it before they are made."""
        files = list(files)
        if not self.counts_ahead or not all(map(can_be_read_twice, files)):
            return None
        with warnings.catch_warnings():
            # What is wrong with a record is told when it is answered.
            warnings.simplefilter("ignore", DataWarning)
            records = self.records(run, files, options, lambda error: None)
            return sum(size_of(each) for each in records if is_after(each, after))

    @abstractmethod
    def evaluate(self, run: Any, sources: Sequence[str], options: PredictOptions) -> dict[str, int | float]:
        """The metrics over labelled files, or over a data set's split.

        Raises:
            DataError: a record that cannot be read, or that has no label.
        """

    def evaluation(self, run: Any, sources: Sequence[str], options: PredictOptions, *, reviewed: bool) -> Evaluation:
        """What `evaluate` measures, with what else there is to tell of it.

        Args:
            reviewed: whether a page is to be made of it, which needs the `review`.
        """
        if not reviewed:
            return Evaluation(self.evaluate(run, sources, options))
        review = self.review(run, sources, options)
        return Evaluation(review.metrics, review=review)

    def calibration_note(self, run: Any) -> str | None:
        """A line about predictions whose probabilities are not calibrated; None where they are, or have none."""
        if "min_confidence" in self.predict_options and run.calibration.temperature is None:
            return f"the scores are not calibrated: {run.calibration.reason}"
        return None

    def review(self, run: Any, sources: Sequence[str], options: PredictOptions) -> Review | ForecastReview:
        """The review of a run's answers on what `evaluate` measures.

        Raises:
            ReformerError: the answers of this task have no class.
        """
        raise ReformerError(
            f"{run.recipe.training.task}: there is a report for tasks whose answers have a class or a type, and for "
            "forecasts; leave --html out"
        )
