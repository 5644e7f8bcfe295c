"""Concepts of a run: task, task data and run."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from reformer.data import load_tokenizer
from reformer.data.batching.token_batches import Batches, TokenBatches
from reformer.errors import ReformerError
from reformer.metrics.base import Metric
from reformer.metrics.calibration import Calibration
from reformer.metrics.forecast_review import ForecastReview
from reformer.metrics.review import Review
from reformer.models import ReformerConfig
from reformer.recipe import Recipe, TokenizerRecipe, TrainingRecipe
from reformer.tasks.model_setup import PretrainedStart


@runtime_checkable
class Processor(Protocol):
    """Reader of a file's records for a model, kept beside its weights: a tokenizer, for texts."""

    def save_pretrained(self, save_directory: Any) -> Any:
        """Write itself into the folder."""
        ...


class NoBaselineError(ReformerError):
    """There is no classical method to compare with; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Classical method of a task, and its scores on the data of a run."""

    method: str
    validation: Mapping[str, int | float]
    test: Mapping[str, int | float] | None
    """None where the run has no test part."""
    note: str | None = None
    """The choices it was made by, and what was left out to keep it short."""
    learned_from: int | None = None
    """The number of training documents that it was fitted to; None for a task that has no `baselines_of_shares`."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Answers of a trained model on the held-out parts of its data."""

    calibration: Calibration
    parts: Mapping[str, Review | ForecastReview]
    """That of `validation`, and of `test` where there is one."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `reformer evaluate` tells of a run."""

    metrics: Mapping[str, int | float]
    compared: Mapping[str, Mapping[str, int | float]] = field(default_factory=dict)
    """Metrics of other methods on the same data, by their names."""
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Further tables by their names: rows with the same keys."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What is written with the metrics, and not shown."""
    notes: Sequence[str] = ()
    """What was left out, and why."""
    review: Review | ForecastReview | None = None
    """What a page is made of, where one was asked for."""


AnyDataset = TypeVar("AnyDataset", bound=Dataset[Any])


class TaskData(ABC, Generic[AnyDataset]):
    """Training, validation and test data of one run, made by its task from the recipe.

    `processor` is what the run keeps to read files with (None where the configuration says enough), `config` the
    model's configuration. The test part is no attribute: `test_metrics` alone reads it.
    """

    processor: Processor | None
    config: ReformerConfig
    train: AnyDataset
    validation: AnyDataset

    def lengths(self, dataset: AnyDataset) -> Sequence[int]:
        """The number of tokens of each example of `train` or `validation`."""
        lengths: Any = dataset
        return lengths.lengths

    def batches(
        self, dataset: AnyDataset, recipe: TrainingRecipe, *, shuffle: bool, rank: int, world_size: int
    ) -> Batches:
        """Indices of `train` or `validation` that one process reads, batch by batch: examples of about one length
        together."""
        return TokenBatches(
            self.lengths(dataset),
            batch_tokens=recipe.batch_tokens,
            batch_size=recipe.batch_size,
            shuffle=shuffle,
            seed=recipe.seed,
            rank=rank,
            world_size=world_size,
            chosen=self.chosen(dataset) if shuffle else None,
        )

    def chosen(self, dataset: AnyDataset) -> Int[ndarray, " chosen"] | None:
        """The indices of the training part that an epoch reads, some more than once; None: each once."""
        return None

    @abstractmethod
    def collate(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        """The tensors of a batch of examples, `labels` among them."""

    def augment(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        """The batch as a training step reads it; random numbers are drawn from `generator`, which the step seeds."""
        return batch

    @abstractmethod
    def new_metric(self) -> Metric:
        """An empty metric for `validation`."""

    @abstractmethod
    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        """Count a batch's outputs in the metric; the summed loss, and over how many labels. Called without gradients,
        with a model in evaluation mode."""

    def evaluate(self, model: PreTrainedModel, dataset: AnyDataset, recipe: TrainingRecipe) -> Metric:
        """The metric of a model in evaluation mode over `validation` or another part of the data, in one process."""
        batches = self.batches(dataset, recipe, shuffle=False, rank=0, world_size=1)
        examples = (self.collate([dataset[index] for index in indices]) for indices in batches)
        return evaluate_batches(model, examples, self.evaluate_batch, self.new_metric())

    @abstractmethod
    def test_metrics(self, run: Any) -> dict[str, int | float] | None:
        """The metrics of the trained model on the test part of the data; None if the recipe names none."""

    def joined_test_metrics(self, run: Any) -> dict[str, int | float] | None:
        """The metrics on the test part with neighbouring texts joined as they are for training; None where they are
        not, or there is no test part."""
        return None

    def review(self, run: Any) -> Reviewed | None:
        """The trained model's answers with what calibrates them, for the report; None for a task whose answers have no
        class. The metrics of its test part are those of `test_metrics`."""
        return None

    def baseline(self) -> Baseline:
        """The scores of the task's classical method, learned from the training part in about a minute at most, or in a
        small part of a long run.

        Raises:
            NoBaselineError: there is none, or not on this machine.
        """
        raise NoBaselineError("this task has no classical method to compare with")

    def baselines_of_shares(self) -> Iterator[Baseline]:
        """The classical method fitted to growing shares of the training part, less than the whole together, and scored
        on the validation part alone; none where there are too few training examples, or the task does not do it."""
        yield from ()

    @abstractmethod
    def describe(self) -> Iterator[str]:
        """Lines for the console: the size of the training, validation and test part."""

    def cautions(self) -> Iterable[str]:
        """Lines for the console: what should be known of the data before anything is learned from it."""
        return ()

    def initialize(self, model: Any) -> None:
        """Set the weights of a fresh model that have a closed form in the training data, and freeze those of them that
        gradient descent could only make worse. Called before the first step, when a run is resumed, too."""

    def weigh_loss(self, model: Any) -> None:
        """Set what the loss of each class counts in training, which no checkpoint keeps. Called before the first
        step, when a run is resumed, too."""

    def fit_wide(self, model: Any, *, resumed: bool) -> None:
        """Fit the wide part of a model that has one (`wide_sizes`), so that it begins at the classical method's score.
        Called before the first step of a model whose wide part is new; also when its run is `resumed`, whose checkpoint
        has the wide part and not what the training examples have for its logits."""
        raise NotImplementedError

    def format_loss(self, loss: float) -> str:
        """The training loss as the progress line shows it."""
        return f"loss {loss:.4f}"


class Task(ABC):
    """Task to learn. To add one, write its class and name it in `reformer.tasks.registry.TASKS`."""

    head: type[PreTrainedModel]
    best_metric: str
    greater_is_better = True
    model_fields: ClassVar[Mapping[str, Any]] = {}
    """Fields of the model's configuration that this task sets, whatever a recipe says."""
    recipe_type: ClassVar[type[Recipe]] = Recipe
    """The recipe's tables: a subclass of `Recipe` where the task has fields of its own."""
    model_options: ClassVar[frozenset[str]] = frozenset()
    """Fields of the model's configuration that not every head reads; set for another task, they are refused."""
    generates: ClassVar[bool] = False
    """Whether an evaluation generates texts, calling the model as often as each needs."""
    processor_file: str | None = "tokenizer.json"
    """By which file a run folder shows that it has the processor; None for a task without one."""

    @property
    def has_tokenizer(self) -> bool:
        """Whether the processor is a tokenizer, which `[tokenizer]` says more about."""
        return self.processor_file == Task.processor_file

    def check_recipe(self, recipe: Any) -> None:
        """Raise `ValueError` if values of the recipe, which is of `recipe_type`, do not go together for this task."""
        if not self.has_tokenizer and recipe.tokenizer != TokenizerRecipe.model_validate({}):
            raise ValueError(f"[tokenizer] is for texts, and {recipe.training.task} reads none; leave it out")

    def for_recipe(self, recipe: Any) -> "Task":
        """The task as the recipe has it, where one name stands for several kinds."""
        return self

    def load_processor(self, folder: Path) -> Processor | None:
        """The processor that `save_pretrained` has written into a run's folder."""
        return load_tokenizer(folder)

    @abstractmethod
    def load_data(self, recipe: Any, start: PretrainedStart | None = None) -> TaskData:
        """Read the data that the recipe, of `recipe_type`, names, for the model that the run starts from if there is
        one; a `DataError` where something in it is wrong."""


AnyTask = TypeVar("AnyTask", bound=Task, covariant=True)
AnyMetric = TypeVar("AnyMetric", bound=Metric)


@dataclass(frozen=True)
class Run(Generic[AnyTask]):
    """Trained model with everything needed to use it."""

    folder: Path
    recipe: Any
    """The run's `Recipe`, of the type that its task declares."""
    task: AnyTask
    model: PreTrainedModel
    processor: Any
    """Reader of files for the model, such as its tokenizer; None where its configuration says enough."""
    calibration: Calibration = field(default_factory=Calibration)
    """What the probabilities of its answers are calibrated by."""

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


def to_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch with its tensors on the device."""
    return {name: value.to(device) for name, value in batch.items()}


@torch.no_grad()
def evaluate_batches(
    model: PreTrainedModel,
    batches: Iterable[Mapping[str, Tensor]],
    evaluate_batch: Callable[[nn.Module, dict[str, Any], AnyMetric], object],
    metric: AnyMetric,
) -> AnyMetric:
    """The metric, with all batches counted in it by `evaluate_batch`."""
    for batch in batches:
        evaluate_batch(model, to_device(batch, model.device), metric)
    return metric


def outputs_with_summed_loss(model: nn.Module, batch: Mapping[str, Any], **options: Any) -> Any:
    """The model's outputs for a batch; its loss, as for a batch that counts as one item, is the sum over all labels."""
    return model(**batch, num_items_in_batch=1, **options)


def describe_splits(*, train: str, validation: str, test: str | None) -> Iterator[str]:
    """Lines for the console from the size of each part of the data; None where there is no test part."""
    yield f"learning from {train}"
    yield f"choosing with {validation}"
    if test is not None:
        yield f"reporting on  {test}"
