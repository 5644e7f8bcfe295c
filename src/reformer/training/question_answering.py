"""Answers to questions about documents of any length, as exact places in their text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from reformer.data import DataError, Question, load_cloze, read_questions
from reformer.data.errors import OnError, raise_error
from reformer.models import ReformerForQuestionAnswering
from reformer.training.answer_score import AnswerScore
from reformer.training.batches import TokenBatches
from reformer.training.examples import Offsets, pad
from reformer.training.material import AnsweringTask, Asked, Material, make_config, make_tokenizer, read_files
from reformer.training.predict import BATCH_TOKENS, portions
from reformer.training.recipe import Recipe
from reformer.training.splits import hold_out
from reformer.training.start import Start
from reformer.training.targets import Targets

if TYPE_CHECKING:
    from reformer.training.run import Run

CLOZE = "index:people-daily-cloze"
PAGE_LENGTH = 4000
"""Of its pages in characters, unless `data.max_length` says otherwise."""

NO_ANSWER = 0
"""The token that is first in every sequence, at which an answer begins and ends that is not there."""


@dataclass(frozen=True, slots=True)
class Sequenced:
    """A question and its whole document as one sequence: a first token, the question, an end token, the document."""

    question: Question
    ids: np.ndarray
    first: int
    """The place of the document's first token."""
    offsets: Offsets
    """The characters of the document that each of its tokens stands for."""
    number: int = 0

    def target(self) -> tuple[int, int]:
        """The first and the last token of the answer, or of the first of several; `NO_ANSWER` twice for none."""
        if not self.question.answers:
            return NO_ANSWER, NO_ANSWER
        start, end = self.question.answers[0]
        inside = [place for place, (low, high) in enumerate(self.offsets) if low < end and high > start]
        return self.first + inside[0], self.first + inside[-1]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says: the characters `start` to `end` (excluded) of the document, or None twice for no answer."""

    start: int | None
    end: int | None
    probability: float

    def text(self, document: str) -> str | None:
        """The answer, exactly as it stands in the document."""
        return None if self.start is None else document[self.start : self.end]


class QuestionAnswering(AnsweringTask):
    """Where in a document the answer to a question stands, if it does; the whole document is read at once."""

    head = ReformerForQuestionAnswering
    best_metric = "f1"
    own_fields = frozenset({"data.max_length"})
    asks = frozenset({"split", "text"})

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        if recipe.data.train is not None and recipe.data.max_length is not None:
            raise ValueError("data.max_length joins the pages of a source; a file has whole documents, leave it out")
        if recipe.data.source not in (None, CLOZE):
            raise ValueError(f"data.source = {recipe.data.source!r}: the source of questions is {CLOZE}")

    def prepare(self, recipe: Recipe, start: Start | None = None) -> "QuestionMaterial":
        return QuestionMaterial(recipe, start)

    def answers(
        self, run: "Run[QuestionAnswering]", files: Iterable[str], asked: Asked, on_error: OnError
    ) -> Iterator[dict[str, Any]]:
        questions = read_files(files, lambda file: read_questions(file, on_error=on_error), on_error)
        for question, answer in answer_questions(run, questions, on_error):
            document = {} if asked.text is False else {"context": question.document}
            yield {
                "id": question.id,
                "question": question.text,
                **document,
                "answer": answer.text(question.document),
                "start": answer.start,
                "end": answer.end,
                "probability": answer.probability,
            }

    def evaluate(self, run: "Run[QuestionAnswering]", source: str, asked: Asked) -> dict[str, float]:
        if source == CLOZE:
            return evaluate_answers(run, _cloze(run.recipe)[asked.split or "test"])
        return evaluate_answers(run, read_questions(source))


class Sequences(Dataset[Sequenced]):
    """Questions with their documents, as token ids in memory."""

    def __init__(self, sequences: Sequence[Sequenced]) -> None:
        self._sequences = sequences

    def __len__(self) -> int:
        return len(self._sequences)

    def __getitem__(self, index: int) -> Sequenced:
        return self._sequences[index]

    @property
    def lengths(self) -> list[int]:
        """How many tokens each is, question and document."""
        return [len(sequence.ids) for sequence in self._sequences]


class QuestionMaterial(Material):
    """What a reader learns from.

    Raises:
        DataError: a question that cannot be read, whose answer is not known, or that is too long with its document.
        ReformerError: a tokenizer without an end token.
    """

    def __init__(self, recipe: Recipe, start: Start | None = None) -> None:
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

    def training_batch(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return {name: value for name, value in batch.items() if name != "numbers"}

    def score(self) -> AnswerScore:
        return AnswerScore()

    def measure(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        numbers = batch["numbers"].tolist()
        found = model(**self.training_batch(batch, torch.Generator()))
        for number, *logits in zip(numbers, *_rows(found), strict=True):
            sequence = self._all[number]
            score.update(_best(sequence, *logits).text(sequence.question.document), sequence.question.answer_texts)
        return float(found.loss) * len(numbers), len(numbers)

    def report(self, run: "Run[QuestionAnswering]") -> dict[str, float] | None:
        return evaluate_answers(run, self._test) if self._test else None

    def sizes(self) -> Iterator[str]:
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
    sequences = (_sequence(question, run.tokenizer, run.model.config) for question in questions)
    for portion in portions(sequences, on_error):
        answers: dict[int, Answer] = {}
        for indices in TokenBatches([len(each.ids) for each in portion], batch_tokens=BATCH_TOKENS):
            batch = pad([portion[index].ids for index in indices], run.model.config.pad_token_id)
            with torch.inference_mode():
                found = run.model(**{name: value.to(run.model.device) for name, value in batch.items()})
            for index, *logits in zip(indices, *_rows(found), strict=True):
                answers[index] = _best(portion[index], *logits)
        for index, sequence in enumerate(portion):
            yield sequence.question, answers[index]


def evaluate_answers(run: "Run[QuestionAnswering]", questions: Iterable[Question]) -> dict[str, float]:
    """`f1` and `exact_match` on questions whose answers are known, in constant memory.

    Raises:
        DataError: a question without known answers, or that is too long with its document.
    """
    score = AnswerScore()
    for question, answer in answer_questions(run, map(_known, questions)):
        score.update(answer.text(question.document), question.answer_texts)
    return score.result()


def _sequence(question: Question, tokenizer: Any, config: Any, number: int = 0) -> Sequenced | DataError:
    asked, read = (
        tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for text in (question.text, question.document)
    )
    place = question.source or question.id
    ids = [config.bos_token_id, *asked["input_ids"], config.eos_token_id, *read["input_ids"]]
    longest = config.max_position_embeddings
    if not read["input_ids"]:
        return DataError.at(place, "this document has no token", "leave it out, or give it a text")
    if len(ids) > longest:
        return DataError.at(
            place,
            f"this question with its document has {len(ids):,} tokens, and the model takes at most {longest:,}",
            "split the document, or train with a greater model.max_position_embeddings",
        )
    first = len(ids) - len(read["input_ids"])
    return Sequenced(question, np.array(ids, dtype=np.int32), first, read["offset_mapping"], number)


def _rows(found: Any) -> tuple[np.ndarray, np.ndarray]:
    return found.start_logits.float().cpu().numpy(), found.end_logits.float().cpu().numpy()


def _best(sequence: Sequenced, start: np.ndarray, end: np.ndarray) -> Answer:
    """The likeliest place in the document, however long it is, or none where that is likelier."""
    first, last = sequence.first, len(sequence.ids)
    starts, ends = start[first:last], end[first:last]
    # The best start for each end is the best one up to there.
    best = np.maximum.accumulate(starts)
    final = int((best + ends).argmax())
    begin = int(starts[: final + 1].argmax())
    none = float(start[NO_ANSWER] + end[NO_ANSWER])
    likely = max(none, float(starts[begin] + ends[final]))
    probability = float(np.exp(likely - _log_sum(start[:last]) - _log_sum(end[:last])))
    if likely == none:
        return Answer(None, None, probability)
    return Answer(sequence.offsets[begin][0], sequence.offsets[final][1], probability)


def _log_sum(logits: np.ndarray) -> float:
    most = float(logits.max())
    return most + float(np.log(np.exp(logits.astype(np.float64) - most).sum()))


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
        parts["train"], parts["validation"] = hold_out(parts["train"], data, recipe.training.seed, "question")
    return parts
