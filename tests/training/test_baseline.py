"""The baseline of a run: measured, told, kept over an interruption, and left out on request."""

import io
import json

import pytest
from rich.console import Console

from reformer.runs.folder import START
from reformer.tasks.documents.task import DocumentData
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from reformer.training.baseline import BASELINE, below_baseline
from reformer.training.train import InterruptedRunError, train
from tests.tiny import language_recipe, masked_recipe, ner_recipe, pairs_recipe, reviews_recipe, series_recipe


def _trained(tables, folder, **options):
    told = io.StringIO()
    metrics = train(checked_recipe(tables), folder, console=Console(file=told, width=400), **options)
    return metrics, told.getvalue()


@pytest.mark.parametrize(
    ("tables", "metric", "method"),
    [
        (ner_recipe, "f1", "linear-chain CRF"),
        (reviews_recipe, "macro_f1", "logistic regression over tf-idf"),
        (series_recipe, "mase", "linear forecast"),
        (pairs_recipe, "chrf", "whose source is most alike"),
    ],
)
def test_a_supervised_run_measures_the_classical_method(tables, metric, method, tmp_path):
    metrics, told = _trained(tables(tmp_path, max_steps=1, epochs=None, num_evaluations=1), tmp_path / "run")
    found = metrics["baseline"]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["baseline"] == found
    assert method in found["method"]
    assert found["seconds"] > 0
    assert f"baseline {found['method']}: {metric} {found['validation'][metric]:.4f} on the validation part" in told
    assert (found["test"] is None) == (metrics["test"] is None)
    if metrics["test"] is not None:
        assert metric in found["test"]


def test_the_classical_methods_learn(tmp_path):
    metrics, _ = _trained(ner_recipe(tmp_path, max_steps=1), tmp_path / "run")
    assert metrics["baseline"]["test"]["f1"] == 1
    metrics, _ = _trained(series_recipe(tmp_path, max_steps=1), tmp_path / "series")
    assert metrics["baseline"]["test"]["mase"] < 0.8


@pytest.mark.parametrize("tables", [language_recipe, masked_recipe])
def test_a_task_without_one_says_so(tables, tmp_path):
    metrics, told = _trained(tables(tmp_path, max_steps=1, num_evaluations=1), tmp_path / "run")
    assert "baseline" not in metrics
    assert "no baseline: this task has no classical method" in told


@pytest.mark.parametrize("tables", [ner_recipe, reviews_recipe, series_recipe, pairs_recipe, language_recipe])
def test_it_is_left_out_on_request(tables, tmp_path):
    recipe = tables(tmp_path, max_steps=1, epochs=None, num_evaluations=1, baseline="none")
    metrics, told = _trained(recipe, tmp_path / "run")
    assert "baseline" not in metrics
    assert "baseline" not in told


def test_types_that_do_not_count_are_not_in_its_score(tmp_path):
    metrics, _ = _trained(ner_recipe(tmp_path, max_steps=1, entity_types=["LOC"]), tmp_path / "run")
    assert [name for name in metrics["baseline"]["test"] if name.endswith("_f1")] == ["class/LOC_f1"]
    assert metrics["baseline"]["test"]["f1"] == 1


def test_the_run_is_the_same_with_it_and_without(tmp_path):
    with_it, _ = _trained(ner_recipe(tmp_path), tmp_path / "with")
    without, _ = _trained(ner_recipe(tmp_path, baseline="none"), tmp_path / "without")
    assert with_it["validation"] == without["validation"]


def test_a_resumed_run_keeps_what_was_measured(tmp_path, interrupt_at, monkeypatch):
    recipe = ner_recipe(tmp_path)
    with monkeypatch.context():
        interrupt_at(6)
        with pytest.raises(InterruptedRunError):
            _trained(recipe, tmp_path / "run")
    kept = json.loads((tmp_path / "run" / START / BASELINE).read_text())
    interrupt_at(10**6)
    monkeypatch.setattr(DocumentData, "baseline", None)
    metrics, told = _trained(recipe, tmp_path / "run", resume=True)
    assert metrics["baseline"] == kept
    assert "baseline linear-chain CRF" in told


def test_a_model_below_it_is_told_of():
    task = TASKS["token-classification"]
    baseline = {"method": "a CRF", "validation": {"f1": 0.5}, "test": {"f1": 0.6}}
    metrics = {"baseline": baseline, "validation": {"f1": 0.9}, "test": {"f1": 0.55}}
    assert below_baseline(metrics, task) == (
        "f1 0.5500 on the test part is worse than the 0.6000 of a CRF: train for longer, choose another model, or use "
        "that"
    )
    assert below_baseline(metrics | {"test": {"f1": 0.6}}, task) is None
    worse = metrics | {"test": None, "validation": {"f1": 0.4}}
    assert "on the validation part" in str(below_baseline(worse, task))
    assert below_baseline({"validation": {"f1": 0.1}, "test": None}, task) is None
    series = {"baseline": {"method": "x", "validation": {"mase": 0.5}, "test": None}, "test": None}
    assert below_baseline(series | {"validation": {"mase": 0.4}}, TASKS["forecasting"]) is None
    assert below_baseline(series | {"validation": {"mase": 0.6}}, TASKS["forecasting"]) is not None
