"""Cross-validation: a run a fold, and the scores of all together."""

import json

import pytest

from reformer.runs.folder import RunError
from reformer.training.folds import FOLDS, train_folds


def test_each_fold_is_a_run_and_the_scores_are_summarised(tmp_path):
    scores = iter([{"f1": 0.5, "b_f1": 1.0}, {"f1": 0.7}, {"f1": 0.9, "b_f1": 0.0}])
    seen = []

    def train(recipe, folder):
        seen.append((recipe, folder.name))
        return {"validation": {"step": 3, **next(scores)}, "test": None}

    found = train_folds(list, tmp_path / "out", 3, train)
    assert seen == [(["data.folds=3", f"data.fold={number}"], f"fold-{number}") for number in (1, 2, 3)]
    assert found["validation"]["f1"]["mean"] == pytest.approx(0.7)
    assert found["validation"]["f1"]["standard_deviation"] == pytest.approx(0.2)
    assert found["validation"]["b_f1"]["values"] == [1.0, 0.0]
    assert found["test"] == {}
    assert json.loads((tmp_path / "out" / FOLDS).read_text()) == found


def test_folds_are_not_put_into_a_run(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(RunError, match="this is a run, and 2 runs would lie within it"):
        train_folds(list, tmp_path, 2, lambda recipe, folder: {})
