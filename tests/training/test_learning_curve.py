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
def test_a_history_becomes_a_picture(tmp_path, history, greater_is_better):
    plot_learning_curve(history, "f1", tmp_path / "curve.png", greater_is_better=greater_is_better)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
