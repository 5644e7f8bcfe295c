"""Questions about documents: from files in SQuAD's form to exact places."""

import json

import numpy as np
import pytest
from rich.console import Console

from reformer.data import DataError, Question
from reformer.data.notes import DataWarning
from reformer.metrics.answers import AnswerMetric, answer_tokens
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.question_answering.spans import Sequenced, best_span
from reformer.tasks.question_answering.task import answer_questions
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.cli.test_cli import reformer
from tests.tiny import MODEL, write_questions


def _tables(folder, **training):
    return {
        "data": {
            "train": str(write_questions(folder / "train.jsonl", 60)),
            "validation": str(write_questions(folder / "held-out.jsonl", 10, seed=1)),
            "test": str(write_questions(folder / "test.jsonl", 10, seed=2)),
        },
        "model": dict(MODEL) | {"max_position_embeddings": 64},
        "training": {
            "task": "question-answering",
            "max_steps": 10,
            "learning_rate": 1e-2,
            "batch_size": 16,
            "num_evaluations": 2,
            "device": "cpu",
            "precision": "float32",
            **training,
        },
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    metrics = train(checked_recipe(_tables(folder)), folder / "run", console=Console(quiet=True))
    assert metrics["test"].keys() == {"f1", "exact_match", "no_answer_accuracy", "questions"}
    assert metrics["test"]["questions"] == metrics["validation"]["questions"] == 10
    return load_run(folder / "run")


def test_the_commands(run, tmp_path):
    good = {"id": "x", "question": "甲有？", "context": "甲有12梨。乙有𠮷桃é。"}
    lines = [json.dumps(good), "{broken", json.dumps(good | {"context": "甲" * 80}), json.dumps(good | {"id": "y"})]
    (tmp_path / "new.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    output = tmp_path / "out.jsonl"
    with pytest.warns(DataWarning, match="has the id of one before them"):
        found = reformer("predict", run.folder, tmp_path / "new.jsonl", tmp_path / "no.jsonl", "-o", output, status=1)
    assert "new.jsonl:2: broken JSON" in found.output
    assert "new.jsonl:3: this question with its document has 85 tokens, and the model takes at most 64" in found.output
    assert "no.jsonl: there is no such file" in found.output
    records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [record["id"] for record in records] == ["x", "y"]
    for record in records:
        start, end = record["start"], record["end"]
        assert record["answer"] == (None if start is None else record["context"][start:end])
        assert 0 < record["probability"] <= 1
    scores = tmp_path / "scores.json"
    reformer("evaluate", run.folder, run.folder.parent / "test.jsonl", "-o", scores)
    assert json.loads(scores.read_text())["questions"] == 10
    (tmp_path / "open.jsonl").write_text(json.dumps(good) + "\n", encoding="utf-8")
    found = reformer("evaluate", run.folder, tmp_path / "open.jsonl", status=1)
    assert "open.jsonl:1: nothing says what the answer is" in found.output


def test_answers_come_in_order_and_alone_as_in_a_batch(run):
    texts = ["甲有1梨。" * count for count in (3, 9, 1, 5)]
    questions = [Question("甲有？", text, id=str(number)) for number, text in enumerate(texts)]
    together = list(answer_questions(run, questions))
    assert [question.document for question, _ in together] == texts
    for question, answer in together:
        [(_, alone)] = answer_questions(run, [question])
        assert (alone.start, alone.end) == (answer.start, answer.end)
        assert alone.probability == pytest.approx(answer.probability, abs=1e-5)


def test_the_size_is_that_of_all_answers(run, tmp_path):
    path = str(write_questions(tmp_path / "new.jsonl", 5))
    answers = list(run.task.predict(run, [path], PredictOptions(), lambda error: None))
    assert run.task.size(run, [path], PredictOptions()) == sum(answer.size for answer in answers) > len(answers)
    assert run.task.size(run, [path], PredictOptions(), answers[-2].key) == answers[-1].size


def test_the_best_place_begins_before_it_ends_and_may_be_none():
    question = Question("?", "一二三四", "a")
    sequence = Sequenced(question, np.arange(7), 3, [(0, 1), (1, 2), (2, 3), (3, 4)])

    def best(start, end):
        return best_span(sequence, *(np.array(logits, dtype=np.float32) for logits in (start, end)))

    # What stands in the question, or after the last token, is no answer.
    found = best([0, 9, 9, 0, 5, 0, 6, 99], [0, 9, 9, 8, 0, 4, 0, 99])
    assert (found.start, found.end, found.text(question.document)) == (1, 3, "二三")
    assert best([9, 0, 0, 0, 5, 0, 0], [9, 0, 0, 0, 0, 5, 0]).text(question.document) is None
    assert best([2] * 7, [2] * 7).probability == pytest.approx(1 / 49)


def test_answers_are_targets_to_the_token():
    offsets = [(0, 1), (1, 2), (1, 2), (2, 4)]

    def target(*answers):
        return Sequenced(Question("?", "一二三四", "a", answers), np.arange(7), 3, offsets).target()

    assert target((1, 2), (0, 1)) == (4, 5)
    assert target((0, 4)) == (3, 6)
    assert target() == (0, 0)


@pytest.mark.parametrize(
    ("found", "known", "exact", "f1"),
    [
        ("北京", ["北京。"], 1, 1),
        ("北京市", ["北京"], 0, 0.8),
        ("the Cat", ["cat", "dog"], 1, 1),
        ("a black cat", ["cat"], 0, 2 / 3),
        (None, [], 1, 1),
        (None, ["北京"], 0, 0),
        ("北京", [], 0, 0),
        ("。", ["。"], 1, 1),
    ],
)
def test_the_measures(found, known, exact, f1):
    score = AnswerMetric()
    score.update(found, known)
    result = score.result()
    assert (result["exact_match"], result["f1"], result["questions"]) == (exact, pytest.approx(f1), 1)
    assert ("no_answer_accuracy" in result) == (not known)
    assert answer_tokens("3.5 万 人_x") == ["35", "万", "人", "x"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "index:people-daily"}, "the source of questions is index:people-daily-cloze"),
        ({"train": "a.jsonl", "max_length": 100}, "a file has whole documents"),
        ({"train": "a.jsonl", "format": "jsonl"}, r"data\.format is for token-classification"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, data, message):
    with pytest.raises(RecipeError, match=message):
        checked_recipe(_tables(tmp_path) | {"data": data})


def test_a_question_that_is_too_long_is_named_before_training(tmp_path):
    tables = _tables(tmp_path)
    with open(tables["data"]["test"], "a", encoding="utf-8") as file:
        file.write(json.dumps({"question": "?", "context": "甲" * 62, "answers": []}) + "\n")
    with pytest.raises(DataError, match=r"test\.jsonl:11: this question with its document has 65 tokens"):
        train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))
