"""Entities that lie over each other are learned, predicted, scored and written whole."""

import json
import random

import pytest
from rich.console import Console
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import Document, Span
from reformer.metrics.review import Review
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.tasks.documents.prediction import evaluate, predict
from reformer.tasks.documents.review import OUTSIDE, review_spans
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from reformer.training.train import train
from tests.tiny import ner_recipe

PICK = random.Random(0)
CITIES, TAILS, PEOPLE = ["北京", "上海", "南京", "广州"], ["大学", "银行", "日报"], ["王明", "李华", "张伟"]


def _record() -> dict:
    text, spans = "", []
    for _ in range(3):
        kind, city, person = PICK.randrange(3), PICK.choice(CITIES), PICK.choice(PEOPLE)
        if kind == 0:
            whole = city + PICK.choice(TAILS)
            spans += [(len(text), len(text) + len(whole), "ORG"), (len(text), len(text) + len(city), "LOC")]
            text += f"{whole}很好，"
        elif kind == 1:
            spans.append((len(text) + 1, len(text) + 1 + len(city), "LOC"))
            text += f"去{city}。"
        else:
            spans.append((len(text), len(text) + len(person), "PER"))
            text += f"{person}说，"
    return {"text": text, "spans": [{"start": start, "end": end, "label": name} for start, end, name in spans]}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nested")
    for part, count in (("train", 120), ("validation", 20), ("test", 20)):
        lines = (json.dumps(_record(), ensure_ascii=False) for _ in range(count))
        (folder / f"{part}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def _recipe(files, **training):
    tables = ner_recipe(files, **{"max_steps": 60, "learning_rate": 5e-3, "baseline": "none", **training})
    parts = {part: str(files / f"{part}.jsonl") for part in ("train", "validation", "test")}
    tables["data"] = {**parts, "on_overlap": "keep"}
    tables["tokenizer"] = {"kind": "character"}
    return tables


@pytest.fixture(scope="module")
def run(files):
    tables = _recipe(files, baseline="auto")
    tables["model"]["classifier_crf"] = True
    metrics = train(checked_recipe(tables), files / "run", console=Console(quiet=True))
    return load_run(files / "run"), metrics


def test_they_are_learned_scored_and_found_by_the_classical_method_too(run):
    _, metrics = run
    assert metrics["validation"]["f1"] > 0.95
    assert metrics["test"]["f1"] > 0.95
    assert metrics["baseline"]["test"]["f1"] > 0.95
    assert set(metrics["test"]) == {"precision", "recall", "f1", "class/LOC_f1", "class/ORG_f1", "class/PER_f1"} | set(
        metrics["test"].keys() & {"documents", "characters"}
    )


def test_each_is_predicted_in_its_place_with_a_probability(run):
    [(_, answer)] = predict(run[0], [Document("北京银行很好，去南京。王明说，", "a")])
    assert answer.spans == (Span(0, 2, "LOC"), Span(0, 4, "ORG"), Span(8, 10, "LOC"), Span(11, 13, "PER"))
    assert all(0 < span.score <= 1 for span in answer.spans)


def test_a_gold_entity_within_another_that_is_not_found_is_missed(run):
    text = "北京银行很好，"
    whole = evaluate(run[0], [Document(text, "a", spans=(Span(0, 2, "LOC"), Span(0, 4, "ORG")))])
    more = evaluate(run[0], [Document(text, "a", spans=(Span(0, 2, "LOC"), Span(0, 4, "ORG"), Span(2, 4, "PER")))])
    assert (whole["precision"], whole["recall"]) == (1, 1)
    assert (more["precision"], more["recall"]) == (1, pytest.approx(2 / 3))


@pytest.mark.usefixtures("run")
def test_commands_write_show_and_evaluate_them(files):
    runner, run, test = CliRunner(), str(files / "run"), str(files / "test.jsonl")
    for to in ("jsonl", "label-studio"):
        output = files / f"answers-{to}.json{'l' if to == 'jsonl' else ''}"
        options = [] if to == "jsonl" else ["--to", to]
        assert runner.invoke(app, ["predict", run, test, "-o", str(output), *options]).exit_code == 0
    first = json.loads((files / "answers-jsonl.jsonl").read_text(encoding="utf-8").splitlines()[0])
    gold = json.loads((files / "test.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert {(each["start"], each["end"], each["label"]) for each in first["spans"]} == {
        (each["start"], each["end"], each["label"]) for each in gold["spans"]
    }
    refused = runner.invoke(app, ["predict", run, test, "-o", str(files / "a.conll"), "--to", "conll"])
    assert refused.exit_code == 1
    assert "overlap; choose another format" in refused.output
    assert runner.invoke(app, ["show", run, test]).exit_code == 0
    assert runner.invoke(app, ["evaluate", run, test, "--html", str(files / "page.html")]).exit_code == 0


def test_recombination_would_tear_them_apart(files):
    with pytest.raises(RecipeError, match=r"entity_recombination with data\.on_overlap = \"keep\""):
        checked_recipe(_recipe(files, entity_recombination=0.5))


def test_a_review_takes_two_types_at_one_place_for_two_entities():
    review = Review(["LOC", "ORG"], OUTSIDE)
    document = Document("北京", "a")
    review_spans(review, document, [Span(0, 2, "ORG"), Span(0, 2, "LOC")], [Span(0, 2, "LOC"), Span(0, 2, "ORG")])
    assert review.confusions.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    review_spans(review, document, [Span(0, 2, "ORG")], [Span(0, 2, "LOC"), Span(0, 2, "ORG")])
    assert review.confusions.tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]
    review_spans(review, document, [Span(0, 2, "ORG")], [Span(0, 2, "LOC")])
    assert review.confusions.tolist() == [[1, 1, 1], [0, 2, 0], [0, 0, 0]]
    assert dict(review.mistake_counts) == {"missed": 1, "mistyped": 1}


def test_what_no_label_is_for_is_told_of_and_counts_as_missed(tmp_path):
    def line(*spans):
        marks = [{"start": start, "end": end, "label": name} for start, end, name in spans]
        return json.dumps({"text": "北京银行很好", "spans": marks}, ensure_ascii=False) + "\n"

    (tmp_path / "train.jsonl").write_text(line((0, 2, "LOC"), (0, 4, "ORG")) * 3, encoding="utf-8")
    (tmp_path / "validation.jsonl").write_text(line((0, 2, "ORG"), (0, 4, "LOC")), encoding="utf-8")
    tables = _recipe(tmp_path)
    del tables["data"]["test"]
    recipe = checked_recipe(tables)
    data = TASKS[recipe.training.task].for_recipe(recipe).load_data(recipe)
    assert any("1 of 2 entities of the validation part lie over others" in line for line in data.cautions())
