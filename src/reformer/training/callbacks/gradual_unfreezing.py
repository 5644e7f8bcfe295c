"""Gradual unfreezing: layers begin to learn one after the other, from the top, while the score improves."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments

from reformer.errors import ReformerError
from reformer.finetuning import freeze_all_but_top, layers
from reformer.terminal import say
from reformer.training.callbacks.base import ReportingCallback
from reformer.training.callbacks.early_stopping import CONSTANT

# A single evaluation without a gain may be chance.
PATIENCE = 2


class GradualUnfreezing(ReportingCallback):
    """Gradual unfreezing by the validation score: the head learns alone at first, and each evaluation with the best
    score so far unfreezes the next lower layer, in the end the embeddings. The run ends after two evaluations in a row
    without a better score.

    The scores alone decide which layers are unfrozen, so a resumed run unfreezes those that were. Source: Howard and
    Ruder 2018, section 3.3, with the validation score in place of epochs.

    Args:
        model: with one stack of layers.
        metric: the name of the score.
        greater_is_better: whether the score should rise.
        console: for a line about each layer that begins to learn.
    """

    def __init__(self, model: PreTrainedModel, metric: str, greater_is_better: bool, console: Console) -> None:
        self._model, self._metric, self._console = model, f"eval_{metric}", console
        self._sign = 1 if greater_is_better else -1
        self._count = len(layers(model))
        self._best = float("-inf")
        self._open, self._stale, self._chosen = 0, 0, 0
        self._lowest_loss = float("inf")

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Number of layers, from the top, that had learned by the best evaluation, and whether the embeddings had."""
        learned = {"layers": min(self._chosen, self._count), "embeddings": self._chosen > self._count}
        return {"start": {"learned": learned}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if args.world_size > 1:
            # The processes fix at the start whose gradients they exchange; unfreezing would change that.
            raise ReformerError('finetune.freeze = "auto" runs in one process; say which layers to freeze')
        for entry in state.log_history:
            if self._metric in entry:
                self._take(entry)
        freeze_all_but_top(self._model, self._open)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        assert metrics is not None
        before = self._open
        self._take(metrics)
        if self._open > before:
            freeze_all_but_top(self._model, self._open)
            part = "embeddings" if self._open > self._count else f"layer {self._count - self._open}"
            say(self._console, f"begins to learn: {part}")
        if self._stale == PATIENCE:
            control.should_training_stop = True

    def _take(self, metrics: Mapping[str, Any]) -> None:
        score = metrics[self._metric] * self._sign
        falls = metrics["eval_loss"] < self._lowest_loss
        self._lowest_loss = min(self._lowest_loss, metrics["eval_loss"])
        if score > self._best:
            self._best, self._stale, self._chosen = score, 0, self._open
            self._open = min(self._open + 1, self._count + 1)
        elif not (metrics.get(CONSTANT) and falls):
            # A score stands still, too, before the first entity is found.
            self._stale += 1
