"""What a task is to a run: the material it learns from, and how it is measured."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from reformer.data import byte_tokenizer, character_tokenizer, load_tokenizer
from reformer.errors import ReformerError
from reformer.models import ReformerConfig
from reformer.training.batches import Batches
from reformer.training.metrics import Score
from reformer.training.recipe import Recipe, TokenizerRecipe, TrainingRecipe


class Material(ABC):
    """What one run learns from and is measured on: made by its task from the recipe.

    It has the tokenizer, the model's configuration, and what to learn from (`train`) and to choose the best weights
    with (`validation`); what to report on at the end it keeps to itself.
    """

    tokenizer: PreTrainedTokenizerFast
    config: ReformerConfig
    train: Dataset[Any]
    validation: Dataset[Any]

    @abstractmethod
    def batches(
        self, dataset: Dataset[Any], recipe: TrainingRecipe, *, shuffle: bool, rank: int, world_size: int
    ) -> Batches:
        """What one process reads of `train` or `validation`, batch by batch."""

    @abstractmethod
    def collate(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        """Examples to the tensors of a batch, `labels` among them."""

    def training_batch(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        """What a training step reads of a batch; whatever is drawn is drawn from `generator`, which the step seeds."""
        return batch

    @abstractmethod
    def score(self) -> Score:
        """An empty score for `validation`."""

    @abstractmethod
    def measure(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        """Count a batch's outputs in the score; the summed loss, and over how many labels. Called without gradients."""

    @abstractmethod
    def report(self, run: Any) -> dict[str, float] | None:
        """The trained model's scores on what the recipe names to report on; None if it names nothing."""

    @abstractmethod
    def sizes(self) -> Iterator[str]:
        """Lines for whoever starts the run: how much there is to learn from, to choose with, to report on."""

    def progress(self, loss: float) -> str:
        """How a training loss is shown while the model learns."""
        return f"loss {loss:.4f}"


class Task(ABC):
    """Something to learn. To add one, write its class and name it in `reformer.training.tasks.TASKS`."""

    head: type[PreTrainedModel]
    best_metric: str
    greater_is_better = True
    own_fields: frozenset[str] = frozenset()
    """Fields of the recipe that this task knows and not every task does, as `data.max_length`."""

    def check(self, recipe: Recipe) -> None:  # noqa: B027, most tasks ask for nothing
        """Raise `ValueError` if the recipe lacks a field that this task needs, or has a value that it cannot use.
        Fields that only other tasks know are refused before."""

    @abstractmethod
    def prepare(self, recipe: Recipe) -> Material:
        """Read what the recipe names; a `DataError` where something in it is wrong."""


def make_tokenizer(recipe: TokenizerRecipe, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """The recipe's tokenizer; `texts` are what characters are counted in, the training texts alone."""
    if recipe.kind == "byte":
        return byte_tokenizer()
    if recipe.kind != "character":
        tokenizer = load_tokenizer(recipe.kind)
        if tokenizer.pad_token_id is None:
            raise ReformerError(f"tokenizer.kind = {recipe.kind!r}: this tokenizer has no padding token; add one to it")
        return tokenizer
    chosen = recipe.model_dump(include={"vocab_size", "min_frequency"}, exclude_none=True)
    return character_tokenizer(texts, **chosen)


def make_config(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, **decided: Any) -> ReformerConfig:
    """The recipe's model, with what tokenizer and task decide."""
    pad_token_id = tokenizer.pad_token_id
    assert isinstance(pad_token_id, int)
    return ReformerConfig(**(recipe.model | decided), vocab_size=len(tokenizer), pad_token_id=pad_token_id)
