"""`evaluate FILE` measures what `predict FILE` writes: the metrics are computed here from its output alone."""

import json

import pytest
from sklearn.metrics import accuracy_score, f1_score

from reformer.data import read_documents, read_questions
from reformer.data.spans import SpanReading
from reformer.metrics.answers import AnswerMetric
from reformer.metrics.texts import text_scores
from tests.cli.test_cli import _written, reformer
from tests.tasks.documents.test_multi_label import _recipe as multi_label_recipe
from tests.tasks.question_answering.test_question_answering import _tables as question_recipe
from tests.tiny import ner_recipe, pairs_recipe, reviews_recipe, write_conll, write_reviews


@pytest.fixture
def measured(tmp_path):
    """Trains a run, and gives what `evaluate` and `predict` say of its test file, and its `metrics.json`."""

    def measure(tables, *options):
        test = tables["data"]["test"]
        run = tmp_path / "run"
        reformer("train", _written(tables, tmp_path / "recipe.toml"), "-o", run)
        reformer("evaluate", run, test, "-o", tmp_path / "metrics.json", *options)
        reformer("predict", run, test, "-o", tmp_path / "answers.jsonl", *options)
        answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
        metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
        return metrics, answers, json.loads((run / "metrics.json").read_text(encoding="utf-8"))

    return measure


def test_entities(measured, tmp_path):
    """Of texts that training joins, each is answered and measured alone."""
    tables = ner_recipe(tmp_path, max_steps=25)
    more = write_conll(tmp_path / "more.conll", 30, seed=3)
    lines = more.read_text(encoding="utf-8").splitlines()
    # The model finds what these do not mark, and not what they do.
    changed = [line.replace("LOC", "ORG") if number % 3 else line for number, line in enumerate(lines)]
    more.write_text("\n".join(changed).replace("I-ORG", "I-LOC").replace("B-ORG", "B-LOC", 20), encoding="utf-8")
    tables["data"]["test"] = str(more)
    metrics, answers, kept = measured(tables)
    gold = {document.id: document.spans for document in read_documents(tables["data"]["test"])}
    true = {(name, span.start, span.end, span.label) for name, spans in gold.items() for span in spans}
    found = {(each["id"], span["start"], span["end"], span["label"]) for each in answers for span in each["spans"]}
    right = len(true & found)
    assert 0 < right < len(true)
    assert metrics["documents"] == len(answers) == len(gold) == 30
    assert metrics["precision"] == pytest.approx(right / len(found))
    assert metrics["recall"] == pytest.approx(right / len(true))
    assert metrics["f1"] == pytest.approx(2 * right / (len(found) + len(true)))
    assert kept["test"] == metrics
    reformer("evaluate", tmp_path / "run", tables["data"]["test"], "--joined", "-o", tmp_path / "joined.json")
    joined = json.loads((tmp_path / "joined.json").read_text(encoding="utf-8"))
    assert joined["documents"] < 30
    assert kept["test_joined"] == joined


def test_classes(measured, tmp_path):
    tables = reviews_recipe(tmp_path)
    tables["data"]["test"] = str(write_reviews(tmp_path / "test.csv", 40, seed=1))
    metrics, answers, kept = measured(tables)
    true = [document.label for document in read_documents(tables["data"]["test"])]
    found = [answer["label"] for answer in answers]
    assert metrics["accuracy"] == pytest.approx(accuracy_score(true, found))
    assert metrics["macro_f1"] == pytest.approx(f1_score(true, found, average="macro"))
    assert kept["test"] == metrics
    assert "test_joined" not in kept


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_several_labels(measured, tmp_path, kind):
    tables = multi_label_recipe(tmp_path, kind)
    metrics, answers, kept = measured(tables)
    how = {"label_separator": "|"} if kind == "csv" else {"spans": SpanReading(wanted=False)}
    true = [set(document.labels) for document in read_documents(tables["data"]["test"], **how)]
    found = [set(answer["label"]) for answer in answers]
    right = sum(len(one & other) for one, other in zip(true, found, strict=True))
    assert metrics["micro_f1"] == pytest.approx(2 * right / (sum(map(len, true)) + sum(map(len, found))))
    assert metrics["exact_match"] == pytest.approx(sum(map(set.__eq__, true, found)) / len(true))
    assert kept["test"] == metrics


def test_generated_texts(measured, tmp_path):
    tables = pairs_recipe(tmp_path, max_steps=20)
    metrics, answers, kept = measured(tables)
    pairs = read_documents(tables["data"]["test"], text_column="source", label_column="target")
    assert metrics == text_scores([answer["target"] for answer in answers], [pair.label for pair in pairs])
    assert kept["test"] == metrics


def test_answers_to_questions(measured, tmp_path):
    tables = question_recipe(tmp_path)
    metrics, answers, kept = measured(tables)
    metric = AnswerMetric()
    for question, answer in zip(read_questions(tables["data"]["test"]), answers, strict=True):
        metric.update(answer["answer"] or "", question.answer_texts)
    assert metrics == metric.result()
    assert kept["test"] == metrics


def test_joining_is_refused_where_training_has_not_joined(tmp_path):
    tables = reviews_recipe(tmp_path)
    reformer("train", _written(tables, tmp_path / "recipe.toml"), "-o", tmp_path / "run")
    result = reformer("evaluate", tmp_path / "run", tables["data"]["train"], "--joined", status=1)
    assert "this run has joined no texts" in result.stderr
    result = reformer("show", tmp_path / "run", tables["data"]["train"], "--joined", status=1)
    assert "this run has joined no texts" in result.stderr
