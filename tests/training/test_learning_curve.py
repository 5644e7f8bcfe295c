"""The learning curve is a picture, whichever way the score is better and however short the run was."""

import pytest

from reformer.training.learning_curve import plot_learning_curve

HISTORY = [
    {"minutes": 0.5, "step": 5, "loss": 1.0},
    {"minutes": 1.0, "step": 10, "eval_loss": 0.8, "eval_f1": 0.6},
    {"minutes": 2.0, "step": 20, "eval_loss": 0.7, "eval_f1": 0.9},
]


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:1], []])
@pytest.mark.parametrize("greater_is_better", [True, False])
@pytest.mark.parametrize("baseline", [None, 0.7])
def test_a_history_becomes_a_picture(tmp_path, history, greater_is_better, baseline):
    plot_learning_curve(history, "f1", tmp_path / "curve.png", greater_is_better=greater_is_better, baseline=baseline)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_baseline_is_a_line_of_the_picture(tmp_path):
    for name, baseline in (("without.png", None), ("with.png", 0.7)):
        plot_learning_curve(HISTORY, "f1", tmp_path / name, greater_is_better=True, baseline=baseline)
    assert (tmp_path / "without.png").read_bytes() != (tmp_path / "with.png").read_bytes()
