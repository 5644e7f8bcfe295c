"""Concepts of a run: task, task data, run and prediction options."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from reformer.data import DataError, load_tokenizer
from reformer.data.batching.token_batches import Batches, TokenBatches
from reformer.data.errors import OnError
from reformer.errors import ReformerError
from reformer.metrics.base import Metric
from reformer.models import ReformerConfig
from reformer.recipe import Recipe, TokenizerRecipe, TrainingRecipe
from reformer.tasks.model_setup import PretrainedStart


class Processor(Protocol):
    """What turns a file's records to a model's input and is kept beside its weights: a tokenizer, for texts."""

    def save_pretrained(self, save_directory: Any) -> Any:
        """Write itself into the folder."""
        ...


class TaskData(ABC):
    """What one run learns from and is measured on: made by its task from the recipe.

    It has what the run keeps to read files with (`processor`, None where the configuration says enough), the model's
    configuration, and what to learn from (`train`) and to choose the best weights with (`validation`); what to report
    on at the end it keeps to itself.
    """

    processor: Processor | None
    config: ReformerConfig
    train: Dataset[Any]
    validation: Dataset[Any]

    def lengths(self, dataset: Any) -> Sequence[int]:
        """How many tokens each example of `train` or `validation` has."""
        return dataset.lengths

    def batches(
        self, dataset: Dataset[Any], recipe: TrainingRecipe, *, shuffle: bool, rank: int, world_size: int
    ) -> Batches:
        """What one process reads of `train` or `validation`, batch by batch: examples of about one length together."""
        return TokenBatches(
            self.lengths(dataset),
            batch_tokens=recipe.batch_tokens,
            batch_size=recipe.batch_size,
            shuffle=shuffle,
            seed=recipe.seed,
            rank=rank,
            world_size=world_size,
        )

    @abstractmethod
    def collate(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        """Examples to the tensors of a batch, `labels` among them."""

    def augment(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        """What a training step reads of a batch; whatever is drawn is drawn from `generator`, which the step seeds."""
        return batch

    @abstractmethod
    def new_metric(self) -> Metric:
        """An empty score for `validation`."""

    @abstractmethod
    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        """Count a batch's outputs in the score; the summed loss, and over how many labels. Called without gradients."""

    @abstractmethod
    def test_metrics(self, run: Any) -> dict[str, float] | None:
        """The trained model's scores on what the recipe names to report on; None if it names nothing."""

    @abstractmethod
    def describe(self) -> Iterator[str]:
        """Lines for whoever starts the run: how much there is to learn from, to choose with, to report on."""

    def initialize(self, model: Any) -> None:  # noqa: B027, most weights begin at random
        """Set those weights of a new model that the training part tells at once, before the first step, and keep those
        from learning that this leaves no better place to go to."""

    def format_loss(self, loss: float) -> str:
        """How a training loss is shown while the model learns."""
        return f"loss {loss:.4f}"


class Task(ABC):
    """Something to learn. To add one, write its class and name it in `reformer.tasks.registry.TASKS`."""

    head: type[PreTrainedModel]
    best_metric: str
    greater_is_better = True
    model_fields: ClassVar[Mapping[str, Any]] = {}
    """Fields of the model's configuration that this task sets, whatever a recipe says."""
    recipe_fields: frozenset[str] = frozenset()
    """Fields of the recipe that this task knows and not every task does, as `data.max_length`."""
    processor_file: str | None = "tokenizer.json"
    """By which file a run folder shows that it has the processor; None for a task without one."""

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise `ValueError` if the recipe lacks a field that this task needs, or has a value that it cannot use.
        Fields that only other tasks know are refused before."""
        if self.processor_file != Task.processor_file and recipe.tokenizer != TokenizerRecipe.model_validate({}):
            raise ValueError(f"[tokenizer] is for texts, and {recipe.training.task} reads none; leave it out")

    def load_processor(self, folder: Path) -> Processor | None:
        """What `save_pretrained` has written into a run's folder."""
        return load_tokenizer(folder)

    @abstractmethod
    def load_data(self, recipe: Recipe, start: PretrainedStart | None = None) -> TaskData:
        """Read what the recipe names, for the model that the run starts from if there is one; a `DataError` where
        something in it is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """How a command wants files read and answers given; None where nothing was said."""

    format: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    split: str | None = None
    """Of a data set, which part."""
    text: bool | None = None
    """Whether to repeat the text in the answer; if nothing was said, yes."""
    pictures: Path | None = None
    """A folder to draw the answers into."""
    beams: int | None = None
    """How many texts to follow at a time where one is written; if nothing was said, the likeliest token alone."""


class PredictingTask(Task):
    """A task whose runs answer about the records of files: `reformer predict` and `reformer evaluate` need no more."""

    predict_options: frozenset[str] = frozenset()
    """The fields of `PredictOptions` that mean something to this task."""

    def check_options(self, name: str, options: PredictOptions) -> None:
        """Raise `ReformerError` if something was asked for that means nothing to this task."""
        for field in fields(options):
            if field.name not in self.predict_options and getattr(options, field.name) is not None:
                option = field.name.replace("_", "-")
                raise ReformerError(f"--{option} means nothing to a run that has learned {name}; leave it out")

    @abstractmethod
    def predict(
        self, run: Any, files: Iterable[str], options: PredictOptions, on_error: OnError
    ) -> Iterator[dict[str, Any]]:
        """What the run says of each record of the files, in their order, as objects for JSON.

        What cannot be read or answered goes to `on_error` as an error that names its place, and the next one is read.
        However large the files are, a bounded part of them is held.
        """

    @abstractmethod
    def evaluate(self, run: Any, source: str, options: PredictOptions) -> dict[str, float]:
        """The scores on a file whose answers are known, or on a data set's split.

        Raises:
            DataError: a record that cannot be read, or whose answer is not known.
        """


def read_files(files: Iterable[str], read: Callable[[str], Iterable[Any]], on_error: OnError) -> Iterator[Any]:
    """The records of all files; a file that cannot be read as a whole is reported like a record."""
    for file in files:
        try:
            yield from read(file)
        except DataError as error:
            on_error(error)


AnyTask = TypeVar("AnyTask", bound=Task, covariant=True)


@dataclass(frozen=True)
class Run(Generic[AnyTask]):
    """A trained model with everything needed to use it."""

    folder: Path
    recipe: Recipe
    task: AnyTask
    model: PreTrainedModel
    processor: Any
    """What reads files for the model, such as its tokenizer; None where it needs nothing but its configuration."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The processor of a model of texts."""
        assert isinstance(self.processor, PreTrainedTokenizerFast)
        return self.processor

    @property
    def labels(self) -> list[str]:
        """The labels in the order of the model's outputs."""
        # transformers makes the keys whole numbers when it reads config.json.
        names: Any = self.model.config.id2label
        return [names[index] for index in range(len(names))]


@torch.no_grad()
def held_out_metric(model: PreTrainedModel, task: Task, data: TaskData, training: TrainingRecipe) -> float:
    """The task's score of a model in evaluation mode on what the best weights are chosen with."""
    score, dataset = data.new_metric(), data.validation
    for indices in data.batches(dataset, training, shuffle=False, rank=0, world_size=1):
        batch = data.collate([dataset[index] for index in indices])
        data.evaluate_batch(model, {name: value.to(model.device) for name, value in batch.items()}, score)
    return score.result()[task.best_metric]
