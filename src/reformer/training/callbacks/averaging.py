"""A running average of the weights, which is what is measured and kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reformer.errors import ReformerError
from reformer.models.alignment import aligned

AVERAGE = "average.safetensors"


class WeightAverage(TrainerCallback):
    """Follows the weights: after step `t` the average moves by `1 - min(decay, (1 + t) / (10 + t))` of the way to them.

    Weights that swing from step to step about a good place have their average nearer to it. Training itself does not
    see the average; measuring does, and the best average is what the run leaves. Each checkpoint holds both, so that a
    resumed run goes on with both. Source: Polyak and Juditsky 1992, as a moving average.

    Args:
        model: whose weights.
        decay: how much of the average stays at a step; `1 / (1 - decay)` steps are what it remembers.
        checkpoint: the folder of the checkpoint that the run goes on from, if any.

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
        way = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, weight in self._weights.items():
            self._average[name].lerp_(weight, way)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if args.should_save:
            save_file(self._average, Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / AVERAGE)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.best_model_checkpoint is not None:
            self._average = self._read(state.best_model_checkpoint)
            self._swap()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The average in the model, for as long as this lasts."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, weight in self._weights.items():
            kept = weight.clone()
            weight.copy_(self._average[name])
            self._average[name] = kept

    def _read(self, checkpoint: str) -> dict[str, Tensor]:
        file = Path(checkpoint) / AVERAGE
        if not file.exists():
            raise ReformerError(f"{file}: there is no such file; start the run again with --overwrite")
        found = load_file(file)
        return {name: aligned(found[name].to(weight.device)) for name, weight in self._weights.items()}
