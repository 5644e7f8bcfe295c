"""Language modelling: the next token of running text, measured in bits a byte."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor, nn

from reformer.data import (
    IGNORED,
    DataError,
    Stretch,
    TokenIds,
    find_text,
    load_texts,
    split_text,
    text_pieces,
    token_ids,
)
from reformer.data.batching.text_windows import RandomWindows, Windows, WindowsInOrder
from reformer.data.batching.token_batches import Batches
from reformer.errors import ReformerError
from reformer.metrics.language import TextMetric, bits_per_byte
from reformer.models import ReformerForCausalLM
from reformer.recipe import AtLeastOne, DataRecipe, Recipe, TrainingRecipe
from reformer.tasks.base import Run, Task, TaskData, describe_splits, evaluate_batches, outputs_with_summed_loss
from reformer.tasks.model_setup import PretrainedStart, check_length, make_config, make_tokenizer
from reformer.wording import counted


class RunningTextDataRecipe(DataRecipe, frozen=True):
    """Running text that is cut into sequences."""

    deprecated_names: ClassVar[Mapping[str, str]] = {"measure_tokens": "eval_tokens"}

    sequence_length: Annotated[int, Field(ge=2)] = Field(
        description="cut running text into sequences of so many tokens", examples=[16384]
    )
    eval_tokens: AtLeastOne | None = Field(
        None,
        description="evaluate on about so many tokens of the validation text and of the test text, spread over them "
        "evenly; none: on all",
    )


class LanguageRecipe(Recipe, frozen=True):
    """Recipe of language modelling."""

    data: RunningTextDataRecipe


class LanguageModelling(Task):
    """Causal language modelling: the next token from all before it, in running text of any size."""

    head = ReformerForCausalLM
    best_metric = "bits_per_byte"
    model_options = frozenset({"lm_transform"})
    greater_is_better = False
    recipe_type = LanguageRecipe

    def check_recipe(self, recipe: LanguageRecipe) -> None:
        super().check_recipe(recipe)
        if recipe.model.get("is_decoder") is False:
            raise ValueError("model.is_decoder = false: a language model must not read ahead; leave it out")
        length = recipe.data.sequence_length
        check_length(recipe, length, f"data.sequence_length = {length}")

    def load_data(self, recipe: LanguageRecipe, start: PretrainedStart | None = None) -> "TextData":
        return TextData(recipe, start)


class TextData(TaskData[Windows]):
    """Running text that stays on disk, cut into sequences.

    Raises:
        DataError: a file that cannot be read or holds nothing.
    """

    def __init__(self, recipe: LanguageRecipe, start: PretrainedStart | None = None) -> None:
        texts = _texts(recipe.data)
        pieces = (text for stretch in texts["train"] for _, text in text_pieces(stretch))
        self.processor = make_tokenizer(recipe.tokenizer, pieces, start)
        self.config = make_config(recipe, self.processor, start, is_decoder=True)
        length, measured = recipe.data.sequence_length, recipe.data.eval_tokens
        if length > self.config.max_position_embeddings:
            # Known only now where the run starts from a trained model.
            raise ReformerError(
                f"data.sequence_length = {length}: the model reads at most {self.config.max_position_embeddings} "
                "tokens; lower it, or raise model.max_position_embeddings where the positions allow it"
            )
        self._ids = {split: token_ids(text, self.processor) for split, text in texts.items() if text}
        for split, ids in self._ids.items():
            if len(ids) < 2:
                raise DataError(texts[split][0].name, None, "there is one token in it", "give a text of two at least")
        self.train = Windows(self._ids["train"], length)
        self.validation = Windows(self._ids["validation"], length, measured)
        self._test = Windows(self._ids["test"], length, measured) if "test" in self._ids else None

    def batches(
        self, dataset: Windows, recipe: TrainingRecipe, *, shuffle: bool, rank: int, world_size: int
    ) -> Batches:
        size = _batch_size(recipe, dataset.length)
        if shuffle:
            return RandomWindows(dataset, size, seed=recipe.seed, rank=rank, world_size=world_size)
        return WindowsInOrder(dataset, size, rank=rank, world_size=world_size)

    def collate(self, examples: Sequence[Int[np.ndarray, " length"]]) -> dict[str, Tensor]:
        return _collate(examples)

    def new_metric(self) -> TextMetric:
        return TextMetric(_bytes_per_token(self._ids["validation"]))

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        return _evaluate_batch(model, batch, metric)

    def test_metrics(self, run: Run[LanguageModelling]) -> dict[str, int | float] | None:
        return None if self._test is None else _metrics(run, self._test)

    def describe(self) -> Iterator[str]:
        test = None if self._test is None else _size(self._test)
        return describe_splits(train=_size(self.train), validation=_size(self.validation), test=test)

    def format_loss(self, loss: float) -> str:
        return f"{bits_per_byte(loss, _bytes_per_token(self._ids['train'])):.4f} bits/byte"


def text_metrics(run: Run[LanguageModelling], text: Sequence[Stretch], most: int) -> dict[str, int | float]:
    """The metrics of a trained model on a text, as they are measured in training; of at most so many sequences, spread
    evenly over it."""
    length = run.recipe.data.sequence_length
    return _metrics(run, Windows(token_ids(text, run.tokenizer), length, most * length))


def _metrics(run: Run[LanguageModelling], windows: Windows) -> dict[str, int | float]:
    starts = WindowsInOrder(windows, _batch_size(run.recipe.training, windows.length))
    batches = (_collate([windows[start] for start in batch]) for batch in starts)
    return evaluate_batches(run.model, batches, _evaluate_batch, TextMetric(_bytes_per_token(windows.ids))).result()


def _collate(examples: Sequence[Int[np.ndarray, " length"]]) -> dict[str, Tensor]:
    input_ids = torch.from_numpy(np.stack(examples))
    labels = input_ids.clone()
    # The first token has no prediction, so it must not count where losses are divided by the number of labels.
    labels[:, 0] = IGNORED
    return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels}


def _evaluate_batch(model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
    tokens = int((batch["labels"] >= 0).sum())
    loss = float(outputs_with_summed_loss(model, batch, return_logits=False).loss)
    metric.update(loss, tokens)
    return loss, tokens


def _texts(recipe: DataRecipe) -> dict[str, list[Stretch]]:
    """The text of each split; without one for validation, the end of the training text is held out."""
    if recipe.source is not None:
        return load_texts(recipe.source)
    paths = {"train": recipe.train, "validation": recipe.validation, "test": recipe.test}
    texts = {split: find_text(path) if path else [] for split, path in paths.items()}
    if not texts["validation"]:
        size = sum(map(len, texts["train"]))
        texts["train"], texts["validation"] = split_text(
            texts["train"], size - max(1, round(size * recipe.validation_fraction))
        )
        if not texts["train"] or not texts["validation"]:
            raise DataError(
                recipe.train, None, f"{size} bytes are too few to hold a part out for validation", "give a longer text"
            )
    return texts


def _batch_size(recipe: TrainingRecipe, length: int) -> int:
    """How many sequences of that length a batch takes."""
    sizes = [recipe.batch_size] if recipe.batch_size is not None else []
    if recipe.batch_tokens is not None:
        sizes.append(recipe.batch_tokens // length)
    return max(1, min(sizes))


def _bytes_per_token(ids: TokenIds) -> float:
    return ids.text_bytes / len(ids)


def _size(windows: Windows) -> str:
    sequences = f"{counted(len(windows), 'sequence')} of {counted(windows.length, 'token')}"
    return f"{sequences}, of a text of {counted(len(windows.ids), 'token')}, {counted(windows.ids.text_bytes, 'byte')}"
