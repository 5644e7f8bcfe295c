"""The baseline of a run: measured, told, kept over an interruption, and left out on request."""

import io
import json

import pytest
from rich.console import Console

from reformer.runs.folder import START
from reformer.tasks.documents import token_classification
from reformer.tasks.documents.data import DocumentData
from reformer.tasks.documents.shares import nested_shares
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from reformer.training import baseline as measuring
from reformer.training.baseline import BASELINE, below_baseline, measured_baseline
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


def _table_with_known_curve(folder):
    """Documents of two classes, of which each share adds texts in characters of its own; each text is right once seen,
    and of those not seen, which are answered alike, half are right."""
    labels = ["ab"[number % 2] for number in range(80)]
    shares = [*nested_shares([[label] for label in labels], seed=0), range(80)]
    assert [len(share) for share in shares] == [10, 20, 40, 80]
    words = dict(zip(["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"], "甲乙丙丁戊己庚辛", strict=True))

    def write(name, rows):
        lines = [json.dumps({"text": words[f"{group}{label}"] * 3, "label": label}) for group, label in rows]
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
        return str(folder / name)

    groups = [next(group for group, share in enumerate(shares) if number in share) for number in range(80)]
    train_rows, validation = list(zip(groups, labels, strict=True)), [(group, label) for group, label in words]
    assert all(train_rows.count((int(group), label)) > 1 for group, label in validation)
    return {"train": write("train.jsonl", train_rows), "validation": write("validation.jsonl", validation)}


def test_its_learning_curve_is_that_of_growing_shares(tmp_path):
    tables = reviews_recipe(tmp_path, max_steps=1, epochs=None, num_evaluations=1)
    metrics, told = _trained(tables | {"data": _table_with_known_curve(tmp_path)}, tmp_path / "run")
    curve = metrics["baseline"]["learning_curve"]
    points = [(point["documents"], point["validation"]["accuracy"]) for point in curve]
    assert points == [(10, 0.625), (20, 0.75), (40, 0.875), (80, 1.0)]
    assert curve[-1]["validation"] == metrics["baseline"]["validation"]
    scores = [point["validation"]["macro_f1"] for point in curve]
    assert (
        "learning curve of the baseline, not of the model: macro_f1 "
        f"{scores[0]:.4f} from 10, {scores[1]:.4f} from 20, {scores[2]:.4f} from 40, 1.0000 from 80 "
        f"training documents; from 40 to 80 it changes by +{1 - scores[2]:.4f}"
    ) in told
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(f"<td>{score:.4f}</td>" in page for score in scores)
    assert f"<td>+{1 - scores[2]:.4f}</td>" in page


def test_a_labeller_has_one(tmp_path):
    recipe = _unjoined(ner_recipe(tmp_path, max_steps=1, num_evaluations=1, entity_types=["LOC"]))
    curve = _trained(recipe, tmp_path / "run")[0]["baseline"]["learning_curve"]
    assert [point["documents"] for point in curve] == [8, 16, 32]
    assert curve[-1]["validation"]["f1"] == 1
    assert all("class/LOC_f1" in point["validation"] for point in curve)
    assert not any("class/PER_f1" in point["validation"] for point in curve)


@pytest.mark.parametrize(
    ("microseconds_a_character", "method", "share"),
    [(1000, "L-BFGS of 100", 1), (140, "L-BFGS of", 1), (60, "perceptron", 1), (20, "perceptron", 0.5)],
)
def test_a_share_is_fitted_by_the_choices_of_the_whole(microseconds_a_character, method, share, tmp_path, monkeypatch):
    recipe = checked_recipe(_unjoined(ner_recipe(tmp_path)))
    data = TASKS["token-classification"].for_recipe(recipe).load_data(recipe)
    characters = sum(map(len, (data.train[number].ids for number in range(len(data.train)))))
    minutes = microseconds_a_character * characters / 60e6
    monkeypatch.setattr(token_classification, "_minutes", lambda recipe: minutes)
    whole = data.baseline()
    assert method in whole.note
    assert whole.learned_from == pytest.approx(32 * share, abs=3)
    for number, part in enumerate(data.baselines_of_shares()):
        assert part.note.partition(",")[0] == whole.note.partition(",")[0]
        assert part.learned_from == pytest.approx((8, 16)[number] * share, abs=2)
        assert part.test is None


def _unjoined(recipe):
    return recipe | {"data": {name: value for name, value in recipe["data"].items() if name != "max_length"}}


def test_too_few_documents_have_none(tmp_path):
    metrics, told = _trained(ner_recipe(tmp_path, max_steps=1, num_evaluations=1), tmp_path / "run")
    assert metrics["baseline"]["learning_curve"] is None
    assert "no learning curve of the baseline: the training documents are too few to take parts of" in told
    assert "More training documents" not in (tmp_path / "run" / "report.html").read_text()


def test_a_slow_baseline_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "MAX_SECONDS", 0)
    monkeypatch.setattr(DocumentData, "baselines_of_shares", None)
    metrics, told = _trained(_unjoined(ner_recipe(tmp_path, max_steps=1, num_evaluations=1)), tmp_path / "run")
    assert metrics["baseline"]["learning_curve"] is None
    assert "no learning curve of the baseline: that alone took more than 0 s" in told


def test_a_run_that_was_begun_before_there_was_one_is_resumed_without(tmp_path):
    kept = {"method": "a CRF", "seconds": 1.0, "validation": {"f1": 0.5}, "test": None, "note": None}
    (tmp_path / START).mkdir()
    (tmp_path / START / BASELINE).write_text(json.dumps(kept))
    told, recipe = io.StringIO(), checked_recipe(ner_recipe(tmp_path))
    task, console = TASKS["token-classification"], Console(file=told, width=400)
    assert measured_baseline(recipe, task, None, tmp_path, console, anew=False) == kept
    assert told.getvalue() == "baseline a CRF: f1 0.5000 on the validation part, 1 s\n"


def test_a_resumed_run_keeps_what_was_measured(tmp_path, interrupt_at, monkeypatch):
    recipe = _unjoined(ner_recipe(tmp_path))
    with monkeypatch.context():
        interrupt_at(6)
        with pytest.raises(InterruptedRunError):
            _trained(recipe, tmp_path / "run")
    kept = json.loads((tmp_path / "run" / START / BASELINE).read_text())
    interrupt_at(10**6)
    monkeypatch.setattr(DocumentData, "baseline", None)
    monkeypatch.setattr(DocumentData, "baselines_of_shares", None)
    metrics, told = _trained(recipe, tmp_path / "run", resume=True)
    assert metrics["baseline"] == kept
    assert "baseline linear-chain CRF" in told
    assert len(kept["learning_curve"]) == 3
    assert "learning curve of the baseline, not of the model: f1" in told


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
