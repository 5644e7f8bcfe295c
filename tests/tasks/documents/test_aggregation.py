"""Entities are whole words where words are written apart, and the same in every command."""

import json

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import bio_labels
from reformer.data.batching.encoding import character_offsets
from reformer.runs.loading import load_run
from reformer.tasks.documents.aggregation import aggregated
from reformer.tasks.documents.token_classification import TokenClassification
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import ner_recipe

STRATEGIES = ("simple", "first", "average", "max")
LABELS = bio_labels(["LOC", "PER"])


def _spans(strategy, text, tags):
    """The entities of tags that a model is sure of, but for those in capitals."""
    names = {"o": "O", "b": "B-LOC", "i": "I-LOC", "p": "B-PER", "q": "I-PER"}
    logits = np.zeros((len(text), len(LABELS)), dtype=np.float32)
    for row, tag in zip(logits, tags, strict=True):
        row[LABELS.index(names[tag.lower()])] = 1.0 if tag.isupper() else 8.0
    answer = TokenClassification(strategy).answer(logits, character_offsets(text), text, LABELS)
    return [text[span.start : span.end] + "/" + span.label for span in answer.spans]


def test_a_word_is_not_cut():
    assert _spans("simple", "in Zürich.", "ooobiiiioo") == ["Züric/LOC"]
    for strategy in STRATEGIES[1:]:
        assert _spans(strategy, "in Zürich.", "ooobiiiioo") == ["Zürich/LOC"]


def test_strategies_differ_where_the_tokens_of_a_word_do():
    found = {strategy: _spans(strategy, "Amstel", "OBIIIq") for strategy in STRATEGIES}
    assert found == {"simple": ["mst/LOC", "el/PER"], "first": [], "average": ["Amstel/LOC"], "max": ["Amstel/PER"]}


def test_a_first_token_outside_takes_nothing_from_the_type_of_the_others():
    """Tags of one type are not two that each have half."""
    assert _spans("average", "Amst", "oobi") == ["Amst/LOC"]
    assert _spans("average", "Amst", "ooob") == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_neighbouring_entities_and_entities_of_several_words_stay_what_they_are(strategy):
    assert _spans(strategy, "New York Bern", "biiiiiiiibiii") == ["New York/LOC", "Bern/LOC"]
    assert _spans(strategy, "Jean-Luc Picard", "pqqqqqqqqqqqqqq") == ["Jean-Luc Picard/PER"]
    assert _spans(strategy, "Bern's", "biiioo") == ["Bern/LOC"]


def test_a_text_without_words_keeps_its_logits_bit_for_bit():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(7, len(LABELS))).astype(np.float32)
    for strategy in STRATEGIES[1:]:
        rows, groups = aggregated(logits, np.arange(7), LABELS, strategy)
        assert np.array_equal(rows, logits)
        assert [group.speaker for group in groups] == list(range(7))


def test_probabilities_of_the_types_of_a_word_add_up():
    logits = np.random.default_rng(0).normal(size=(6, len(LABELS))) * 3
    for strategy in ("average", "max"):
        rows, groups = aggregated(logits, np.array([0, 2]), LABELS, strategy)
        outside, location, person = np.exp(rows[:, 0]), np.exp(rows[:, 1:3]).max(1), np.exp(rows[:, 3:]).max(1)
        assert outside + location + person == pytest.approx([1, 1])
        assert [(group.first, group.last) for group in groups] == [(0, 1), (2, 5)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(checked_recipe(ner_recipe(folder, max_steps=40)), folder / "run", console=Console(quiet=True))
    return load_run(folder / "run")


TEXT = "张伟去了Bern和上海的ABB。王小明去了Zürich2024"


def _invoke(*arguments):
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_strategy_is_the_same_in_predict_evaluate_and_show(run, tmp_path):
    """The answers of `predict`, given as the truth, are all right by `evaluate` and `show` with the same strategy."""
    (tmp_path / "plain.jsonl").write_text(json.dumps({"text": TEXT}), encoding="utf-8")
    answers = {}
    for strategy in STRATEGIES:
        given = ("--aggregation-strategy", strategy)
        gold, metrics = tmp_path / f"{strategy}.jsonl", tmp_path / f"{strategy}.json"
        _invoke("predict", run.folder, tmp_path / "plain.jsonl", "-o", gold, *given)
        answers[strategy] = json.loads(gold.read_text(encoding="utf-8"))["spans"]
        assert answers[strategy]
        _invoke("evaluate", run.folder, gold, "-o", metrics, *given)
        assert json.loads(metrics.read_text())["f1"] == 1.0
        number = len(answers[strategy])
        assert f"{number} of {number} entities found" in _invoke("show", run.folder, gold, *given)
    assert answers["simple"] != answers["average"]
    for strategy in STRATEGIES[1:]:
        borders = {place for span in answers[strategy] for place in (span["start"], span["end"])}
        inside = {place for place in range(1, len(TEXT)) if TEXT[place - 1 : place + 1].isascii()}
        assert not borders & inside


def test_a_run_predicts_as_its_recipe_says_unless_it_is_asked_otherwise(run, tmp_path):
    (tmp_path / "plain.jsonl").write_text(json.dumps({"text": TEXT}), encoding="utf-8")

    def predicted(task, **options):
        found = task.predict(run, [str(tmp_path / "plain.jsonl")], PredictOptions(**options), pytest.fail)
        return [each.fields for each in found]

    assert predicted(run.task) == predicted(run.task, aggregation_strategy="average")
    assert predicted(run.task) != predicted(run.task, aggregation_strategy="simple")
    recipe = run.recipe.model_copy(
        update={"training": run.recipe.training.model_copy(update={"aggregation_strategy": "simple"})}
    )
    assert run.task.for_recipe(recipe).as_asked(run, PredictOptions()) is run
    text = "in Zürich."
    logits = np.zeros((len(text), 3), dtype=np.float32)
    logits[:, 0], logits[3, 1], logits[4:8, 2] = 1, 9, 9
    answer = run.task.for_recipe(recipe).answer(logits, character_offsets(text), text, bio_labels(["LOC"]))
    assert [text[span.start : span.end] for span in answer.spans] == ["Züric"]


def test_entities_that_cut_words_are_told_of(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=1, num_evaluations=1, baseline="none")
    lines = [
        json.dumps({"text": f"Berlinreise {number}", "spans": [{"start": 0, "end": 6, "label": "LOC"}]})
        for number in range(10)
    ]
    (tmp_path / "cut.jsonl").write_text("\n".join(lines), encoding="utf-8")
    tables["data"] = {"train": str(tmp_path / "cut.jsonl"), "validation_fraction": 0.2}
    for strategy, told in (("average", True), ("simple", False)):
        tables["training"]["aggregation_strategy"] = strategy
        recipe = checked_recipe(tables)
        task = TokenClassification().for_recipe(recipe)
        said = [line for line in task.load_data(recipe).describe() if "begin or end within a word" in line]
        assert bool(said) == told
        assert all("8 of 8 training entities" in line for line in said)
