"""Exponential moving average of the weights, which is evaluated and saved in their place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerControl, TrainerState, TrainingArguments

from reformer.errors import ReformerError
from reformer.models.alignment import aligned
from reformer.training.callbacks.base import ReportingCallback

AVERAGE = "average.safetensors"


class WeightAverage(ReportingCallback):
    """Exponential moving average of a model's weights.

    After step `t` it moves by `1 - min(decay, (1 + t) / (10 + t))` of the way to the weights. Where these swing from
    step to step about an optimum, their average is nearer to it. Training does not see the average; evaluation does,
    and the run saves the best average. Each checkpoint has both, so that a resumed run goes on with both. Source:
    Polyak and Juditsky 1992, as a moving average.

    Args:
        model: on the device where it is trained.
        decay: the part of the average that stays at a step; it remembers about `1 / (1 - decay)` steps.
        checkpoint: the folder of the checkpoint that the run resumes from, if any.

    Raises:
        ReformerError: that checkpoint holds no average.
    """

    def __init__(self, model: nn.Module, decay: float, checkpoint: str | None = None) -> None:
        self.decay = decay
        self._weights = {name: weight.detach() for name, weight in model.named_parameters()}
        self._checkpoint = checkpoint
        self._average: dict[str, Tensor] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._checkpoint is None:
            self._average = {name: weight.clone() for name, weight in self._weights.items()}
        else:
            self._average = self._read(self._checkpoint)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        step = state.global_step
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, weight in self._weights.items():
            self._average[name].lerp_(weight, share)

    def save(self, checkpoint: Path) -> None:
        """Write the average into the folder of a checkpoint."""
        save_file(self._average, checkpoint / AVERAGE)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.best_model_checkpoint is not None:
            self._average = self._read(state.best_model_checkpoint)
            self._swap()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The average in the place of the model's weights, as a context."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, weight in self._weights.items():
            trained = weight.clone()
            weight.copy_(self._average[name])
            self._average[name] = trained

    def _read(self, checkpoint: str) -> dict[str, Tensor]:
        file = Path(checkpoint) / AVERAGE
        if not file.exists():
            raise ReformerError(f"{file}: there is no such file; start the run again with --overwrite")
        average = load_file(file)
        return {name: aligned(average[name].to(weight.device)) for name, weight in self._weights.items()}
