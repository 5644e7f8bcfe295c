"""Early stopping that waits for a model to leave its first, constant answer."""

import math
from typing import Any

import transformers
from transformers import TrainerControl, TrainerState, TrainingArguments

CONSTANT = "eval_constant_predictions"
"""Metric of an evaluation: 1 if the model gave the same answer everywhere, 0 if not; absent where that says nothing."""


class EarlyStoppingCallback(transformers.EarlyStoppingCallback):
    """Ends a run after so many evaluations without a better score.

    Those do not count in which every prediction is the same while the loss is lower than ever: at first a classifier
    learns how frequent each class is, and answers with the most frequent one. Its score stands still then, and its
    loss falls. The class has the name that transformers gives its own, by which a checkpoint finds it.
    """

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float | None = 0.0) -> None:
        super().__init__(early_stopping_patience, early_stopping_threshold)
        self.lowest_loss = math.inf

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any, **kwargs: Any
    ) -> None:
        falls, constant = metrics["eval_loss"] < self.lowest_loss, metrics.get(CONSTANT)
        self.lowest_loss = min(self.lowest_loss, metrics["eval_loss"])
        if not (constant and falls):
            super().on_evaluate(args, state, control, metrics, **kwargs)

    def state(self) -> dict[str, Any]:
        kept = super().state()
        return kept | {"attributes": kept["attributes"] | {"lowest_loss": self.lowest_loss}}
