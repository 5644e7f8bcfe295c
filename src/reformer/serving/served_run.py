"""A run that is served: its name, its engine, and the functions that answer for each choice of options."""

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from reformer.errors import ReformerError
from reformer.runs.loading import load_run
from reformer.serving.engine import Engine
from reformer.tasks.base import Run
from reformer.tasks.language_modelling import LanguageModelling
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predicting import PredictingTask

MOST_CHOICES = 64
"""Choices of options whose functions are kept."""


@dataclass(frozen=True)
class ServedRun:
    """A run with its engine."""

    name: str
    run: Run[Any]
    engine: Engine
    _answering: dict[Hashable, Callable[[list[Any]], Sequence[Any]]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def task_name(self) -> str:
        return self.run.recipe.training.task

    @property
    def predicts(self) -> bool:
        """Whether it answers records; if not, it is a language model."""
        return isinstance(self.run.task, PredictingTask)

    def answering(self, options: PredictOptions) -> Callable[[list[Any]], Sequence[Any]]:
        """What answers batches with these options, made once."""
        with self._lock:
            if options not in self._answering:
                if len(self._answering) == MOST_CHOICES:
                    self._answering.clear()
                self._answering[options] = self.run.task.answering(self.run, options)
            return self._answering[options]

    def describe(self) -> dict[str, Any]:
        """Task, labels, recipe and lengths."""
        config: Any = self.run.model.config
        # The recipe names files of the machine that it was trained on.
        recipe = self.run.recipe.model_dump(
            mode="json", exclude={"data": {"train", "validation", "test"}, "finetune": {"start_from"}}
        )
        told: dict[str, Any] = {
            "name": self.name,
            "task": self.task_name,
            "labels": list(self.labels),
            "max_length": config.max_position_embeddings,
            "parameters": sum(each.numel() for each in self.run.model.parameters()),
            "calibrated": self.run.calibration.temperature is not None or self.run.calibration.intervals is not None,
            "recipe": recipe,
        }
        columns = getattr(self.run.recipe.data, "columns", None)
        if self.predicts and isinstance(columns, tuple):
            told["text_field"] = columns[0]
        for name in ("prediction_length", "quantiles", "image_size", "num_channels"):
            if self.task_name == "forecasting" or name.startswith(("image", "num")):
                value = getattr(config, name, None)
                told |= {} if value is None else {name: value}
        return told

    @property
    def labels(self) -> Sequence[str]:
        """The classes, or the types of entities."""
        if self.task_name == "token-classification":
            from reformer.data.label_layers import types_of

            return self.run.task.entity_types(self.run.recipe) or sorted(types_of(self.run.labels))
        return self.run.labels if "classification" in self.task_name else ()


def load_runs(folders: Sequence[Path], engine: Callable[[int], Engine]) -> dict[str, ServedRun]:
    """The runs by the names of their folders.

    Args:
        engine: makes the engine of a run, for the most tokens of a batch.

    Raises:
        ReformerError: one cannot be loaded or answers nothing, or two folders have one name.
    """
    names = [folder.resolve().name for folder in folders]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ReformerError(f"two runs are called {twice!r}, by which clients choose; rename the folder of one")
    # Where routes are matched, braces stand for any name; and JSON is UTF-8.
    odd = next((name for name in names if re.search("[{}\ud800-\udfff]", name)), None)
    if odd is not None:
        told = "braces, or bytes that are no UTF-8, where clients choose by the name; rename the folder"
        raise ReformerError(f"a run is called {odd!r}: {told}")
    found: dict[str, ServedRun] = {}
    for name, folder in zip(names, folders, strict=True):
        run = load_run(folder)
        if isinstance(run.task, PredictingTask):
            tokens = run.task.batch_tokens
        elif isinstance(run.task, LanguageModelling):
            tokens = PredictingTask.batch_tokens
        else:
            raise ReformerError(
                f"{folder}: this run has learned {run.recipe.training.task}, which answers nothing by itself, neither "
                f"here nor by `reformer predict`; train one from it (finetune.start_from = {str(folder)!r}), and serve "
                "that one"
            )
        found[name] = ServedRun(name, run, engine(tokens))
    return found
