"""Language models: the next token of running text, measured in bits a byte."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

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
from reformer.models import ReformerConfig, ReformerForCausalLM
from reformer.recipe import DataRecipe, Recipe, TrainingRecipe
from reformer.tasks.base import Task, TaskData
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer


class LanguageModelling(Task):
    """The next token from all before it, in running text of any size."""

    head = ReformerForCausalLM
    best_metric = "bits_per_byte"
    greater_is_better = False
    recipe_fields = frozenset({"data.sequence_length", "data.measure_tokens"})

    def check_recipe(self, recipe: Recipe) -> None:
        super().check_recipe(recipe)
        length = recipe.data.sequence_length
        if length is None:
            raise ValueError("data.sequence_length has to be given for language-modelling, such as 16384")
        if recipe.model.get("is_decoder") is False:
            raise ValueError("model.is_decoder = false: a language model must not read ahead; leave it out")
        longest = recipe.model.get("max_position_embeddings", ReformerConfig.max_position_embeddings)
        if isinstance(longest, int) and length > longest:
            raise ValueError(
                f"data.sequence_length = {length}: more than model.max_position_embeddings = {longest}; raise that one"
            )

    def load_data(self, recipe: Recipe, start: PretrainedStart | None = None) -> "TextData":
        return TextData(recipe, start)


class TextData(TaskData):
    """Running text that stays on disk, cut into sequences.

    Raises:
        DataError: a file that cannot be read or holds nothing.
    """

    def __init__(self, recipe: Recipe, start: PretrainedStart | None = None) -> None:
        texts = _texts(recipe.data)
        pieces = (text for stretch in texts["train"] for _, text in text_pieces(stretch))
        self.processor = make_tokenizer(recipe.tokenizer, pieces, start)
        self.config = make_config(recipe, self.processor, start, is_decoder=True)
        length, measured = recipe.data.sequence_length, recipe.data.measure_tokens
        assert length is not None
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
        self, dataset: Dataset[Any], recipe: TrainingRecipe, *, shuffle: bool, rank: int, world_size: int
    ) -> Batches:
        assert isinstance(dataset, Windows)
        size = _batch_size(recipe, dataset.length)
        if shuffle:
            return RandomWindows(dataset, size, seed=recipe.seed, rank=rank, world_size=world_size)
        return WindowsInOrder(dataset, size, rank=rank, world_size=world_size)

    def collate(self, examples: Sequence[np.ndarray]) -> dict[str, Tensor]:
        input_ids = torch.from_numpy(np.stack(examples))
        labels = input_ids.clone()
        # Nothing foretells the first token, so it must not count where losses are divided by the number of labels.
        labels[:, 0] = IGNORED
        return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels}

    def new_metric(self) -> TextMetric:
        return TextMetric(_bytes_per_token(self._ids["validation"]))

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        tokens = int((batch["labels"] >= 0).sum())
        # Counted as one item, the loss is the sum over all labels.
        loss = float(model(**batch, num_items_in_batch=1, return_logits=False).loss)
        score.update(loss, tokens)
        return loss, tokens

    def test_metrics(self, run: Any) -> dict[str, float] | None:
        if self._test is None:
            return None
        score = TextMetric(_bytes_per_token(self._test.ids))
        with torch.no_grad():
            for starts in WindowsInOrder(self._test, _batch_size(run.recipe.training, self._test.length)):
                batch = self.collate([self._test[start] for start in starts])
                self.evaluate_batch(
                    run.model, {name: value.to(run.model.device) for name, value in batch.items()}, score
                )
        return score.result()

    def describe(self) -> Iterator[str]:
        assert isinstance(self.train, Windows)
        assert isinstance(self.validation, Windows)
        for verb, windows in (("learning from", self.train), ("choosing with", self.validation)):
            yield f"{verb} {_size(windows)}"
        if self._test is not None:
            yield f"reporting on  {_size(self._test)}"

    def format_loss(self, loss: float) -> str:
        return f"{bits_per_byte(loss, _bytes_per_token(self._ids['train'])):.4f} bits/byte"


def _texts(recipe: DataRecipe) -> dict[str, list[Stretch]]:
    """The text by what it is for; without one for validation, the end of the training text is held out."""
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
    sequences = f"{len(windows):,} sequences of {windows.length:,} tokens"
    return f"{sequences}, of a text of {len(windows.ids):,} tokens, {windows.ids.text_bytes:,} bytes"
