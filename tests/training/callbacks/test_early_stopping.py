"""Early stopping: it waits for a model that answers with one class while its loss falls, and for no other."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl

from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.callbacks.early_stopping import EarlyStoppingCallback
from reformer.training.train import train
from tests.tiny import reviews_recipe


def _stops_at(evaluations, patience=2, first_step=1):
    """The number of the evaluation after which the run ends; None if none."""
    callback, control = EarlyStoppingCallback(patience), TrainerControl()
    args: Any = SimpleNamespace(metric_for_best_model="f1", greater_is_better=True)
    for number, (score, loss, constant) in enumerate(evaluations):
        state: Any = SimpleNamespace(global_step=first_step + number)
        metrics = {"eval_f1": score, "eval_loss": loss}
        metrics |= {} if constant is None else {"eval_constant_predictions": float(constant)}
        callback.on_evaluate(args, state, control, metrics)
        if control.should_training_stop:
            return number
    return None


def test_one_class_alone_is_waited_for_while_the_loss_falls():
    assert _stops_at([(0.25, 1 - number / 10, True) for number in range(9)]) is None


def test_one_class_alone_ends_a_run_whose_loss_stands():
    assert _stops_at([(0.25, 1.0, True)] * 9) == 2


def test_a_loss_that_falls_and_rises_again_is_waited_for_where_it_is_lower_than_ever():
    losses = [1.0, 0.9, 1.1, 0.8, 1.0]
    assert _stops_at([(0.25, loss, True) for loss in losses]) == 4


@pytest.mark.parametrize("constant", [False, None])
def test_other_models_are_not_waited_for(constant):
    assert _stops_at([(0.5, 1 - number / 10, constant) for number in range(9)]) == 2


def test_what_learns_beside_a_wide_part_has_not_to_be_better_than_that_at_once():
    learning = [(0.9, 1.0, None), *((number / 10, 1.0, None) for number in range(8))]
    assert _stops_at(learning, first_step=0) is None
    assert _stops_at(learning) == 2
    assert _stops_at([(0.9, 1.0, None), *[(0.5, 1.0, None)] * 8], first_step=0) == 3


def test_what_was_seen_is_kept_for_a_resumed_run():
    callback = EarlyStoppingCallback(3)
    callback.lowest_loss, callback.best_score = 0.5, 0.25
    again = EarlyStoppingCallback.from_state(callback.state())
    assert (again.lowest_loss, again.best_score) == (0.5, 0.25)


def test_a_run_at_the_majority_class_is_not_ended(tmp_path):
    # Most reviews are good. At first the model learns that, and slowly.
    tables = reviews_recipe(tmp_path, epochs=None, max_steps=12, num_evaluations=12, learning_rate=2e-4)
    # No text twice: those would be on one side of the split.
    lines = [
        "text,label",
        *(f"很好满意{'很好'[at % 2] * (at // 2)},pos" for at in range(30)),
        *(f"太差退货{'太差'[at % 2] * (at // 2)},neg" for at in range(10)),
    ]
    (tmp_path / "reviews.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tables["data"]["validation_fraction"] = 0.3
    tables["training"] |= {"early_stopping_patience": 1, "baseline": "none"}
    tables["model"]["hidden_dropout_prob"] = 0.0
    metrics = train(checked_recipe(tables), tmp_path / "run")
    assert metrics["training"]["steps"] == 12
    assert metrics["validation"]["accuracy"] < 1
