"""Layers that begin to learn one after the other, from the top, for as long as that makes the model better."""

from typing import Any

from rich.console import Console
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reformer.errors import ReformerError
from reformer.finetuning import freeze_all_but_top, layers

# A single measure without a gain may be chance.
PATIENCE = 2


class GradualUnfreezing(TrainerCallback):
    """Begins with the head alone; each measure that is the best so far lets the next lower layer learn, too, and in
    the end the embeddings. The run ends when two measures in a row were no better.

    What is open follows from the measures alone, so a resumed run opens what was open. Source: Howard and Ruder 2018,
    section 3.3, with the held-out score in place of epochs.

    Args:
        model: with one stack of layers.
        metric: the score to watch, as Trainer logs it.
        greater_is_better: whether it should rise.
        console: says what begins to learn.
    """

    def __init__(self, model: PreTrainedModel, metric: str, greater_is_better: bool, console: Console) -> None:
        self._model, self._metric, self._console = model, f"eval_{metric}", console
        self._sign = 1 if greater_is_better else -1
        self._count = len(layers(model))
        self._best = float("-inf")
        self._open, self._stale, self._chosen = 0, 0, 0

    @property
    def chosen(self) -> dict[str, Any]:
        """How many layers learned, from the top, before the best measure, and whether the embeddings did."""
        return {"layers": min(self._chosen, self._count), "embeddings": self._chosen > self._count}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if args.world_size > 1:
            # The processes agree at the start on what they exchange, and it would change.
            raise ReformerError('finetune.freeze = "auto" runs in one process; say which layers to freeze')
        for entry in state.log_history:
            if self._metric in entry:
                self._see(entry[self._metric])
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
        self._see(metrics[self._metric])
        if self._open > before:
            freeze_all_but_top(self._model, self._open)
            what = "embeddings" if self._open > self._count else f"layer {self._count - self._open}"
            self._console.print(f"begins to learn: {what}", highlight=False)
        if self._stale == PATIENCE:
            control.should_training_stop = True

    def _see(self, score: float) -> None:
        score *= self._sign
        if score > self._best:
            self._best, self._stale, self._chosen = score, 0, self._open
            self._open = min(self._open + 1, self._count + 1)
        else:
            self._stale += 1
