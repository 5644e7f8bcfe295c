"""Extractive question answering task and its data."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from reformer.data import DataError, Question, load_cloze, read_questions
from reformer.data.batching.encoding import pad, pad_batch
from reformer.data.batching.hold_out import hold_out
from reformer.data.batching.read_ahead import in_order
from reformer.data.errors import OnError, raise_error
from reformer.errors import ReformerError
from reformer.metrics.answers import AnswerMetric
from reformer.models import ReformerForQuestionAnswering
from reformer.recipe import BY_CHANCE, AtLeastOne, HeldOutDataRecipe, Recipe
from reformer.tasks.bad_records import BadRecords
from reformer.tasks.base import (
    Baseline,
    Run,
    TaskData,
    describe_splits,
    to_device,
)
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predicting import PredictingTask
from reformer.tasks.predictions import Prediction, prediction
from reformer.tasks.question_answering.baseline import measure_baseline
from reformer.tasks.question_answering.spans import (
    Sequenced,
    Sequences,
    SpanAnswer,
    best_span,
    encode_question,
    logit_rows,
    marks_pairs,
)
from reformer.tasks.targets import Targets
from reformer.wording import counted

CLOZE = "index:people-daily-cloze"
PAGE_LENGTH = 4000
"""Characters of one of its pages, unless `data.max_length` is given."""


class QuestionDataRecipe(HeldOutDataRecipe, frozen=True):
    """Questions about documents."""

    max_length: AtLeastOne | None = Field(
        None, description="the greatest number of characters of a page of the source; none: 4,000"
    )
    encoding: str | None = Field(None, description="the files' encoding, such as gb18030 or utf-16; none: utf-8")
    skip_bad: bool = Field(
        False, description="true: leave out questions that cannot be learned from; otherwise all of them are listed"
    )
    repair: bool = Field(
        False, description="true: move an answer that does not stand at its place to the only place where it stands"
    )

    @model_validator(mode="after")
    def _pages_of_the_source(self) -> "QuestionDataRecipe":
        if self.train is not None and self.max_length is not None:
            raise ValueError("max_length joins the pages of a source; a file has whole documents, leave it out")
        if self.source not in (None, CLOZE):
            raise ValueError(f"source = {self.source!r}: the source of questions is {CLOZE}")
        return self


class QuestionRecipe(Recipe, frozen=True):
    """Recipe of question answering."""

    data: QuestionDataRecipe


class QuestionAnswering(PredictingTask):
    """Extractive question answering: the span of a document that answers a question, if one does; the whole document
    is read at once."""

    head = ReformerForQuestionAnswering
    best_metric = "f1"
    recipe_type = QuestionRecipe
    model_options = frozenset({"special_tokens", "question_match_sizes"})
    suffixes = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
    whole_folders = True
    predict_options = frozenset({"format", "encoding", "split", "text", "keep_columns"})

    def load_data(self, recipe: QuestionRecipe, start: PretrainedStart | None = None) -> "QuestionData":
        return QuestionData(recipe, start)

    def encode(self, run: "Run[QuestionAnswering]", records: Iterable[Question]) -> Iterator[Sequenced | DataError]:
        return _sequences(run, records)

    def answering(
        self, run: "Run[QuestionAnswering]", options: PredictOptions
    ) -> Callable[[list[Sequenced]], list[SpanAnswer]]:
        return _answering(run)

    def predictions(
        self, run: "Run[QuestionAnswering]", sequence: Sequenced, answer: SpanAnswer, options: PredictOptions
    ) -> Iterator[Prediction]:
        question = sequence.question
        document = {} if options.text is False else {"context": question.document}
        yield prediction(
            question,
            question=question.text,
            **document,
            answer=answer.text(question.document),
            start=answer.start,
            end=answer.end,
            probability=answer.probability,
        )

    def read_file(
        self, run: "Run[QuestionAnswering]", file: str, options: PredictOptions, on_error: OnError
    ) -> Iterable[Question]:
        return read_questions(
            file,
            with_answers=False,
            format=options.format,
            encoding=options.encoding,
            keeps_others=bool(options.keep_columns),
            on_error=on_error,
        )

    def evaluate(
        self, run: "Run[QuestionAnswering]", sources: Sequence[str], options: PredictOptions
    ) -> dict[str, int | float]:
        def read(source: str) -> Iterable[Question]:
            if source == CLOZE:
                return _cloze(run.recipe)[options.split or "test"]
            how: dict[str, Any] = {"format": options.format, "encoding": options.encoding}
            return read_questions(source, repair=run.recipe.data.repair, **how)

        return evaluate_answers(run, (question for source in sources for question in read(source)))


class QuestionData(TaskData[Sequences]):
    """Questions with their documents as token ids.

    Raises:
        DataError: a question that cannot be read, has no answers, or that is too long with its document.
        ReformerError: a tokenizer without an end token, or one that marks no pairs where the model should read its own.
    """

    def __init__(self, recipe: QuestionRecipe, start: PretrainedStart | None = None) -> None:
        self._bad = BadRecords(skip=recipe.data.skip_bad)
        parts = _load(recipe, self._bad)
        texts = (text for question in parts["train"] for text in (question.text, question.document))
        self.processor = self._tokenizer = make_tokenizer(recipe.tokenizer, texts, start)
        ends = Targets(self._tokenizer, recipe.tokenizer.kind)
        own: dict[str, Any] = {"bos_token_id": ends.begin, "eos_token_id": ends.end}
        if not marks_pairs(self._tokenizer):
            if recipe.model.get("special_tokens"):
                raise ReformerError(
                    "model.special_tokens = true: the tokenizer puts no tokens before and between a question and its "
                    "document; leave it out"
                )
            own["special_tokens"] = False
        self.config = make_config(recipe, self._tokenizer, start, **own)
        self._all: list[Sequenced] = []
        sets = {name: Sequences(self._sequenced(questions)) for name, questions in parts.items()}
        self._bad.raise_all()
        self.train, self.validation, self._test = sets["train"], sets["validation"], parts["test"]
        self._tokens = {name: sum(sequences.lengths) for name, sequences in sets.items()}

    def collate(self, examples: Sequence[Sequenced]) -> dict[str, Tensor]:
        pad_token_id = self.config.pad_token_id
        assert pad_token_id is not None
        targets = torch.tensor([example.target() for example in examples])
        return pad([example.ids for example in examples], pad_token_id) | {
            "start_positions": targets[:, 0],
            "end_positions": targets[:, 1],
            "numbers": torch.tensor([example.number for example in examples]),
        }

    def augment(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return {name: value for name, value in batch.items() if name != "numbers"}

    def new_metric(self) -> AnswerMetric:
        return AnswerMetric()

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        numbers = batch["numbers"].tolist()
        outputs = model(**self.augment(batch, torch.Generator()))
        for number, *logits in zip(numbers, *logit_rows(outputs), strict=True):
            sequence = self._all[number]
            metric.update(best_span(sequence, *logits).text(sequence.question.document), sequence.question.answer_texts)
        return float(outputs.loss) * len(numbers), len(numbers)

    def test_metrics(self, run: Run[QuestionAnswering]) -> dict[str, int | float] | None:
        return evaluate_answers(run, self._test) if self._test else None

    def baseline(self) -> Baseline:
        return measure_baseline(
            [self.validation[number].question for number in range(len(self.validation))], self._test
        )

    def describe(self) -> Iterator[str]:
        def size(split: str, count: int) -> str:
            return f"{counted(count, 'question')}, {counted(self._tokens[split], 'token')} with their documents"

        test = size("test", len(self._test)) if self._test else None
        train, validation = size("train", len(self.train)), size("validation", len(self.validation))
        return describe_splits(train=train, validation=validation, test=test)

    def cautions(self) -> Iterator[str]:
        yield from self._bad.cautions()

    def _sequenced(self, questions: Iterable[Question]) -> list[Sequenced]:
        sequences = []
        for question in questions:
            sequence = encode_question(question, self._tokenizer, self.config, len(self._all))
            if isinstance(sequence, DataError):
                self._bad(sequence)
                continue
            self._all.append(sequence)
            sequences.append(sequence)
        return sequences


def answer_questions(
    run: Run[QuestionAnswering],
    questions: Iterable[Question],
    on_error: OnError = raise_error,
) -> Iterator[tuple[Question, SpanAnswer]]:
    """Each question with the model's answer, in the questions' order.

    A document is never cut: it goes through the model with its question in one pass. However many there are, only some
    thousand tokens of them, or one long one, are held. What the model cannot take (no token, or more than its maximum)
    goes to `on_error`, and the next one is read; without `on_error` it is raised.
    """
    for sequence, answer in in_order(_sequences(run, questions), _answering(run), on_error=on_error):
        yield sequence.question, answer


def _sequences(run: Run[Any], questions: Iterable[Question]) -> Iterator[Sequenced | DataError]:
    return (encode_question(question, run.tokenizer, run.model.config) for question in questions)


def _answering(run: Run[Any]) -> Callable[[list[Sequenced]], list[SpanAnswer]]:
    def answer_batch(batch: list[Sequenced]) -> list[SpanAnswer]:
        inputs = pad_batch([sequence.ids for sequence in batch], run.model.config.pad_token_id)
        with torch.inference_mode():
            outputs = run.model(**to_device(inputs, run.model.device))
        return [best_span(sequence, *logits) for sequence, *logits in zip(batch, *logit_rows(outputs), strict=True)]

    return answer_batch


def evaluate_answers(run: Run[QuestionAnswering], questions: Iterable[Question]) -> dict[str, int | float]:
    """`f1` and `exact_match` on questions with answers, in constant memory.

    Raises:
        DataError: a question without answers, or that is too long with its document.
    """
    metric = AnswerMetric()
    for question, answer in answer_questions(run, map(_require_answers, questions)):
        metric.update(answer.text(question.document), question.answer_texts)
    return metric.result()


def _require_answers(question: Question) -> Question:
    if question.answers is None:
        raise DataError.at(
            question.source or question.id,
            "nothing says what the answer is",
            'give "answers", empty lists where the document has none',
        )
    return question


def _cloze(recipe: QuestionRecipe) -> dict[str, list[Question]]:
    return load_cloze(PAGE_LENGTH if recipe.data.max_length is None else recipe.data.max_length)


def _load(recipe: QuestionRecipe, bad: BadRecords) -> dict[str, list[Question]]:
    data = recipe.data
    if data.source is not None:
        return _cloze(recipe)
    paths = {"train": data.train, "validation": data.validation, "test": data.test}

    def read(path: str) -> list[Question]:
        questions = read_questions(path, repair=data.repair, encoding=data.encoding, on_error=bad)
        return list(bad.usable(questions, _require_answers))

    parts = {name: read(path) if path else [] for name, path in paths.items()}
    bad.raise_all()
    if not parts["validation"]:
        is_grouped = data.hold_out != BY_CHANCE and _several_documents(parts["train"])
        parts["train"], parts["validation"] = hold_out(
            parts["train"],
            fraction=data.validation_fraction,
            seed=recipe.training.seed,
            what="question",
            place=data.train,
            # What is asked about a document that was learned from measures too little.
            groups=[[question.document] for question in parts["train"]] if is_grouped else None,
        )
    return parts


def _several_documents(questions: Sequence[Question]) -> bool:
    return len({question.document for question in questions}) > 1
