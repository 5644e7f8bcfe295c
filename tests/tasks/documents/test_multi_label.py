"""Several labels a text, from files to thresholds."""

import json
import random

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.metrics import f1_score

from reformer.data import DataError, Document, read_documents
from reformer.data.labels import composed_label, joining_separator
from reformer.data.spans import SpanReading
from reformer.metrics.classification import MultiLabelMetric
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.tasks.documents.answer import as_json
from reformer.tasks.documents.prediction import evaluate, predict
from reformer.tasks.documents.sequence_classification import SequenceClassification
from reformer.tasks.recipe_checks import checked_recipe
from reformer.terminal import PlainConsole
from reformer.training.train import train
from tests.tiny import reviews_recipe

WORDS = {"体育": "球队赢了", "财经": "股市涨跌", "科技": "芯片网络"}
SEVERAL = {"problem_type": "multi_label_classification"}


def _rows(count, seed=0):
    pick = random.Random(seed)
    for _ in range(count):
        labels = [label for label in WORDS if pick.random() < 0.4]
        words = "".join(WORDS[label] for label in labels) + "的是"
        yield "".join(pick.choices(words, k=12)), labels


def _write(folder, kind, count=90, seed=0):
    path = folder / f"texts-{seed}.{kind}"
    if kind == "csv":
        lines = ["text,label", *(f"{text},{'|'.join(labels)}" for text, labels in _rows(count, seed))]
    else:
        lines = [json.dumps({"text": text, "label": labels}, ensure_ascii=False) for text, labels in _rows(count, seed)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _recipe(folder, kind="jsonl", model=(), **training):
    tables = reviews_recipe(folder, **SEVERAL, **training)
    tables["data"] = {
        "train": str(_write(folder, kind)),
        "test": str(_write(folder, kind, 30, seed=1)),
        "validation_fraction": 0.3,
        **({"label_separator": "|"} if kind == "csv" else {}),
    }
    tables["model"] |= dict(model)
    return tables


def test_both_kinds_of_file_say_the_same(tmp_path):
    lists = read_documents(_write(tmp_path, "jsonl"), spans=SpanReading(wanted=False))
    table = read_documents(_write(tmp_path, "csv"), label_separator="|")
    found = [(document.text, document.label, document.labels) for document in table]
    assert found == [(document.text, document.label, document.labels) for document in lists]
    assert () in {labels for _, _, labels in found}
    assert {len(labels) for _, _, labels in found} == {0, 1, 2, 3}


def test_a_run_answers_with_several_labels(tmp_path):
    recipe = checked_recipe(_recipe(tmp_path, epochs=12, baseline="auto"))
    metrics = train(recipe, tmp_path / "run", console=Console(quiet=True))
    assert {"micro_f1", "macro_f1", "exact_match", "class/体育_f1"} <= metrics["test"].keys()
    assert metrics["test"]["macro_f1"] > 0.6
    assert metrics["baseline"]["validation"]["macro_f1"] > 0.8
    curve = metrics["baseline"]["learning_curve"]
    assert [point["documents"] for point in curve] == sorted({point["documents"] for point in curve})
    assert curve[-1]["validation"]["macro_f1"] > curve[0]["validation"]["macro_f1"]
    assert set(metrics["calibration"]["thresholds"]) == set(WORDS)
    run = load_run(tmp_path / "run")
    assert run.model.config.problem_type == "multi_label_classification"
    documents = list(read_documents(recipe.data.test, spans=SpanReading(wanted=False)))
    assert evaluate(run, documents) == metrics["test"]
    thresholds = run.calibration.thresholds
    for document, answer in predict(run, documents):
        expected = tuple(name for name in run.labels if answer.scores[name] >= thresholds[name])
        assert answer.labels == expected
        record = as_json(document, answer, with_text=False, with_scores=False)
        assert record == {"label": list(expected), "score": [answer.scores[n] for n in expected]}
        assert all(answer.scores[name] >= 0.99 for name in answer.at_least(0.99).labels)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "体育" in page


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_wide_part_begins_at_the_classical_score(tmp_path, kind):
    tables = _recipe(tmp_path, kind, {"wide_sizes": [1, 2], "wide_rows": 512}, class_weights="balanced")
    metrics = train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))
    assert metrics["validation"]["macro_f1"] > 0.8


def test_the_metric_is_that_of_scikit_learn():
    pick = np.random.default_rng(0)
    true, given = (pick.integers(0, 2, (40, 4)) for _ in range(2))
    metric = MultiLabelMetric(["a", "b", "c", "micro"])
    metric.update(given[:15], true[:15])
    metric.update(given[15:], true[15:])
    found = metric.result()
    assert found["micro_f1"] == pytest.approx(f1_score(true, given, average="micro"))
    assert found["macro_f1"] == pytest.approx(f1_score(true, given, average="macro"))
    assert found["class/a_f1"] == pytest.approx(f1_score(true[:, 0], given[:, 0]))
    assert found["exact_match"] == (true == given).all(1).mean()


def test_a_document_without_an_answer_to_which_labels_it_has_is_refused(tmp_path):
    tables = _recipe(tmp_path)
    with open(tables["data"]["train"], "a", encoding="utf-8") as file:
        file.write('{"text": "没有"}\n')
    with pytest.raises(DataError, match="91: nothing says which labels this text has"):
        train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"training": {"sampling": "balanced"}}, "a text with several labels is of no one class"),
        ({"model": {"label_smoothing": 0.1}}, "label_smoothing: of several labels none is a class"),
        ({"model": {"problem_type": "regression"}}, "set training.problem_type"),
    ],
)
def test_what_several_labels_cannot_use_is_refused(tmp_path, changes, told):
    tables = _recipe(tmp_path)
    for table, fields in changes.items():
        tables[table] |= fields
    with pytest.raises(RecipeError, match=told):
        checked_recipe(tables)


def test_a_separator_without_several_labels_is_refused(tmp_path):
    tables = _recipe(tmp_path, "csv")
    del tables["training"]["problem_type"]
    with pytest.raises(RecipeError, match="label_separator: a text has one label here"):
        checked_recipe(tables)


def test_lists_where_one_label_is_learned_are_refused_or_read(tmp_path):
    tables = _recipe(tmp_path)
    del tables["training"]["problem_type"]
    with pytest.raises(DataError, match=r"labels; set training.problem_type"):
        train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))
    single = tmp_path / "single.jsonl"
    single.write_text(
        "".join(json.dumps({"text": f"{n}{'甲乙'[n % 2]}", "label": ["甲乙"[n % 2]]}) + "\n" for n in range(40)),
        encoding="utf-8",
    )
    tables["data"] = {"train": str(single)}
    train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))
    assert load_run(tmp_path / "run").labels == ["乙", "甲"]


def test_a_class_that_joins_several_is_warned_of(tmp_path, capsys):
    tables = _recipe(tmp_path, "csv")
    lines = (tmp_path / "texts-0.csv").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if "|" in line or line.endswith(("label", "科技"))]
    (tmp_path / "texts-0.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    tables["data"] = {"train": tables["data"]["train"]}
    del tables["training"]["problem_type"]
    train(checked_recipe(tables), tmp_path / "run", console=PlainConsole(stderr=True, width=300))
    told = capsys.readouterr().err
    assert "warning: most labels hold '|', as if a text had several" in told
    assert 'training.problem_type = "multi_label_classification" and data.label_separator = "|"' in told


@pytest.mark.parametrize(
    ("labels", "separator"),
    [
        (["财经|体育", "财经", "体育|财经"], "|"),
        (["a, b", "b", "c, a"], ","),
        (["sports, leisure", "news, politics"] * 3, None),
        (["a|b", "c", "d", "a", "b"], None),
        (["pos", "neg"], None),
        ([], None),
    ],
)
def test_a_separator_is_what_joins_parts_that_recur(labels, separator):
    assert joining_separator(labels) == separator


@pytest.mark.parametrize(
    ("labels", "composed"),
    [
        (["财经|体育", "财经", "体育", "财经"], ("财经|体育", "|")),
        (["a, b", "b", "a", "c"], ("a, b", ",")),
        (["财经|体育", "财经"], ("财经|体育", "|")),
        (["财经|体育", "科技"], None),
        (["IT/科技", "科技", "体育"], None),
        (["a|", "a"], None),
        ([], None),
    ],
)
def test_a_label_is_composed_where_each_part_is_a_label(labels, composed):
    assert composed_label(labels) == composed


def test_few_labels_that_join_others_are_warned_of(tmp_path):
    recipe = checked_recipe(reviews_recipe(tmp_path))
    labels = ["财经|体育", *["财经", "体育"] * 5]
    documents = [Document("x", str(number), label=label) for number, label in enumerate(labels)]
    [told] = SequenceClassification().warnings(documents, recipe)
    assert told.startswith("the label '财经|体育' is others with '|' between them, as if a text had several")
    assert list(SequenceClassification().warnings(documents[1:], recipe)) == []


def test_a_label_that_training_has_not_seen_is_named():
    from reformer.tasks.documents.multi_label_classification import MultiLabelClassification

    with pytest.raises(DataError, match="the label 'c' was not seen"):
        MultiLabelClassification().target(Document("x", "1", labels=("a", "c")), (), {"a": 0, "b": 1})


def test_rare_labels_count_more():
    from reformer.tasks.balance import balanced_weights

    weights = balanced_weights(np.array([0] * 9 + [1]))
    assert torch.allclose(weights[1] * torch.tensor([9.0, 1.0]), torch.tensor([5.0, 5.0]))
