"""Early stopping that waits for a model to leave its first, constant answer."""

import math
from typing import Any

import transformers
from transformers import TrainerControl, TrainerState, TrainingArguments

CONSTANT = "eval_constant_predictions"
"""Metric of an evaluation: 1 if the model gave the same answer everywhere or found nothing, 0 if not; absent where that
says nothing."""


class EarlyStoppingCallback(transformers.EarlyStoppingCallback):
    """Ends a run after so many evaluations without a better score.

    Those do not count in which every prediction is the same, or no entity is found, while the loss is lower than ever:
    at first a classifier learns how frequent each class is, and answers with the most frequent one. Its score stands
    still then, and its loss falls. Nor is the score before the first step one to be better than: a wide part has it,
    and what learns beside it takes a while to add to it. The class has the name that transformers gives its own, by
    which a checkpoint finds it.
    """

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float | None = 0.0) -> None:
        super().__init__(early_stopping_patience, early_stopping_threshold)
        self.lowest_loss = math.inf
        self.best_score: float | None = None
        """The best score after the first step."""

    def check_metric_value(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metric_value: float
    ) -> None:
        if not state.global_step:
            return
        sign = 1 if args.greater_is_better else -1
        if self.best_score is None or sign * metric_value > sign * self.best_score:
            self.best_score, self.early_stopping_patience_counter = float(metric_value), 0
        else:
            self.early_stopping_patience_counter += 1

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any, **kwargs: Any
    ) -> None:
        falls, constant = metrics["eval_loss"] < self.lowest_loss, metrics.get(CONSTANT)
        self.lowest_loss = min(self.lowest_loss, metrics["eval_loss"])
        waited = self.early_stopping_patience_counter
        super().on_evaluate(args, state, control, metrics, **kwargs)
        if constant and falls:
            self.early_stopping_patience_counter, control.should_training_stop = waited, False

    def state(self) -> dict[str, Any]:
        kept = super().state()
        return kept | {
            "attributes": kept["attributes"] | {"lowest_loss": self.lowest_loss, "best_score": self.best_score}
        }
