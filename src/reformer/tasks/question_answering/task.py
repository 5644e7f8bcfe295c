"""Extractive question answering and its data."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reformer.data import DataError, Question, load_cloze, read_questions
from reformer.data.batching.encoding import pad
from reformer.data.batching.hold_out import hold_out
from reformer.data.batching.read_ahead import in_order
from reformer.data.errors import OnError, raise_error
from reformer.metrics.answers import AnswerMetric
from reformer.models import ReformerForQuestionAnswering
from reformer.recipe import Recipe
from reformer.tasks.base import PredictingTask, PredictOptions, TaskData, read_files
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer
from reformer.tasks.question_answering.spans import Answer, Sequenced, Sequences, _best, _rows, _sequence
from reformer.tasks.targets import Targets

if TYPE_CHECKING:
    from reformer.tasks.base import Run


CLOZE = "index:people-daily-cloze"
PAGE_LENGTH = 4000
"""Of its pages in characters, unless `data.max_length` says otherwise."""


class QuestionAnswering(PredictingTask):
    """Where in a document the answer to a question stands, if it does; the whole document is read at once."""

    head = ReformerForQuestionAnswering
    best_metric = "f1"
    recipe_fields = frozenset({"data.max_length"})
    predict_options = frozenset({"split", "text"})

    def check_recipe(self, recipe: Recipe) -> None:
        super().check_recipe(recipe)
        if recipe.data.train is not None and recipe.data.max_length is not None:
            raise ValueError("data.max_length joins the pages of a source; a file has whole documents, leave it out")
        if recipe.data.source not in (None, CLOZE):
            raise ValueError(f"data.source = {recipe.data.source!r}: the source of questions is {CLOZE}")

    def load_data(self, recipe: Recipe, start: PretrainedStart | None = None) -> "QuestionData":
        return QuestionData(recipe, start)

    def predict(
        self, run: "Run[QuestionAnswering]", files: Iterable[str], options: PredictOptions, on_error: OnError
    ) -> Iterator[dict[str, Any]]:
        questions = read_files(files, lambda file: read_questions(file, on_error=on_error), on_error)
        for question, answer in answer_questions(run, questions, on_error):
            document = {} if options.text is False else {"context": question.document}
            yield {
                "id": question.id,
                "question": question.text,
                **document,
                "answer": answer.text(question.document),
                "start": answer.start,
                "end": answer.end,
                "probability": answer.probability,
            }

    def evaluate(self, run: "Run[QuestionAnswering]", source: str, options: PredictOptions) -> dict[str, float]:
        if source == CLOZE:
            return evaluate_answers(run, _cloze(run.recipe)[options.split or "test"])
        return evaluate_answers(run, read_questions(source))


class QuestionData(TaskData):
    """What a reader learns from.

    Raises:
        DataError: a question that cannot be read, whose answer is not known, or that is too long with its document.
        ReformerError: a tokenizer without an end token.
    """

    def __init__(self, recipe: Recipe, start: PretrainedStart | None = None) -> None:
        parts = _load(recipe)
        texts = (text for question in parts["train"] for text in (question.text, question.document))
        self.processor = self._tokenizer = make_tokenizer(recipe.tokenizer, texts, start)
        ends = Targets(self._tokenizer, recipe.tokenizer.kind)
        self.config = make_config(recipe, self._tokenizer, start, bos_token_id=ends.begin, eos_token_id=ends.end)
        self._all: list[Sequenced] = []
        sets = {name: Sequences(self._sequenced(questions)) for name, questions in parts.items()}
        self.train, self.validation, self._test = sets["train"], sets["validation"], parts["test"]
        self._sizes = {name: sum(found.lengths) for name, found in sets.items()}

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

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        numbers = batch["numbers"].tolist()
        found = model(**self.augment(batch, torch.Generator()))
        for number, *logits in zip(numbers, *_rows(found), strict=True):
            sequence = self._all[number]
            score.update(_best(sequence, *logits).text(sequence.question.document), sequence.question.answer_texts)
        return float(found.loss) * len(numbers), len(numbers)

    def test_metrics(self, run: "Run[QuestionAnswering]") -> dict[str, float] | None:
        return evaluate_answers(run, self._test) if self._test else None

    def describe(self) -> Iterator[str]:
        for verb, name, count in (
            ("learning from", "train", len(self.train)),  # pyright: ignore[reportArgumentType]
            ("choosing with", "validation", len(self.validation)),  # pyright: ignore[reportArgumentType]
            ("reporting on ", "test", len(self._test)),
        ):
            if count:
                yield f"{verb} {count:,} questions, {self._sizes[name]:,} tokens with their documents"

    def _sequenced(self, questions: Iterable[Question]) -> list[Sequenced]:
        found = []
        for question in questions:
            _known(question)
            sequence = _sequence(question, self._tokenizer, self.config, len(self._all))
            if isinstance(sequence, DataError):
                raise sequence
            self._all.append(sequence)
            found.append(sequence)
        return found


def answer_questions(
    run: "Run[QuestionAnswering]", questions: Iterable[Question], on_error: OnError = raise_error
) -> Iterator[tuple[Question, Answer]]:
    """Each question with the model's answer, in the questions' order.

    A document is never cut: it goes through the model with its question in one pass. However many there are, only some
    thousand tokens of them, or one long one, are held. What the model cannot take (no token, or more than its maximum)
    goes to `on_error`, and the next one is read; without `on_error` it is raised.
    """

    def answer_batch(batch: Sequence[Sequenced]) -> list[Answer]:
        inputs = pad([sequence.ids for sequence in batch], run.model.config.pad_token_id)
        with torch.inference_mode():
            outputs = run.model(**{name: value.to(run.model.device) for name, value in inputs.items()})
        return [_best(sequence, *logits) for sequence, *logits in zip(batch, *_rows(outputs), strict=True)]

    sequences = (_sequence(question, run.tokenizer, run.model.config) for question in questions)
    for sequence, answer in in_order(sequences, answer_batch, on_error=on_error):
        yield sequence.question, answer


def evaluate_answers(run: "Run[QuestionAnswering]", questions: Iterable[Question]) -> dict[str, float]:
    """`f1` and `exact_match` on questions whose answers are known, in constant memory.

    Raises:
        DataError: a question without known answers, or that is too long with its document.
    """
    score = AnswerMetric()
    for question, answer in answer_questions(run, map(_known, questions)):
        score.update(answer.text(question.document), question.answer_texts)
    return score.result()


def _known(question: Question) -> Question:
    if question.answers is None:
        raise DataError.at(
            question.source or question.id,
            "nothing says what the answer is",
            'give "answers", empty lists where the document has none',
        )
    return question


def _cloze(recipe: Recipe) -> dict[str, list[Question]]:
    return load_cloze(PAGE_LENGTH if recipe.data.max_length is None else recipe.data.max_length)


def _load(recipe: Recipe) -> dict[str, list[Question]]:
    data = recipe.data
    if data.source is not None:
        return _cloze(recipe)
    paths = {"train": data.train, "validation": data.validation, "test": data.test}
    parts = {name: list(read_questions(path)) if path else [] for name, path in paths.items()}
    if not parts["validation"]:
        parts["train"], parts["validation"] = hold_out(
            parts["train"],
            fraction=data.validation_fraction,
            seed=recipe.training.seed,
            what="question",
            place=data.train,
        )
    return parts
