"""Masked language models: hidden tokens from what stands on both their sides, to learn a language before a task."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from reformer.data import IGNORED, Document
from reformer.data.batching.encoding import Example, Examples, Offsets, pad
from reformer.errors import ReformerError
from reformer.metrics.language import HiddenTokenMetric
from reformer.models import ReformerForMaskedLM
from reformer.recipe import Recipe
from reformer.tasks.base import Task, TaskData
from reformer.tasks.document_splits import load_splits
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer

MASK_RATIO = 0.15


class MaskedLanguageModelling(Task):
    """Which token stands behind a mask: learned from documents whose labels are not read."""

    head = ReformerForMaskedLM
    best_metric = "perplexity"
    greater_is_better = False
    recipe_fields = frozenset({"data.format", "data.text_column", "data.max_length", "training.mask_ratio"})

    def check_recipe(self, recipe: Recipe) -> None:
        if recipe.model.get("is_decoder"):
            raise ValueError("model.is_decoder = true: a masked language model reads both sides; leave it out")

    def load_data(self, recipe: Recipe, start: PretrainedStart | None = None) -> "MaskedData":
        return MaskedData(recipe, start)


class MaskedData(TaskData):
    """Documents with a part of their tokens hidden: anew at each step of training, the same ones at each measure.

    Raises:
        DataError: a document that cannot be read or has too many tokens.
        ReformerError: a tokenizer without a mask token.
    """

    def __init__(self, recipe: Recipe, start: PretrainedStart | None = None) -> None:
        splits = load_splits(recipe.data, recipe.training.seed, labelled=False)
        self.processor = self.tokenizer = make_tokenizer(
            recipe.tokenizer, (document.text for document in splits.train), start
        )
        if self.tokenizer.mask_token_id is None:
            raise ReformerError(f"tokenizer.kind = {recipe.tokenizer.kind!r}: it has no mask token; add one to it")
        self.config = make_config(recipe, self.tokenizer, start, is_decoder=False)
        self._ratio = recipe.training.mask_ratio or MASK_RATIO
        self.train, self.validation = self._examples(splits.train), self._examples(splits.validation)
        self._test = self._examples(splits.test)

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        pad_token_id = self.config.pad_token_id
        assert pad_token_id is not None
        return pad([example.ids for example in examples], pad_token_id)

    def augment(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return batch | hide(batch["input_ids"], batch["attention_mask"], self.tokenizer, self._ratio, generator)

    def new_metric(self) -> HiddenTokenMetric:
        return HiddenTokenMetric()

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        batch = batch | hide_by_document(batch["input_ids"], batch["attention_mask"], self.tokenizer, self._ratio)
        # Counted as one item, the loss is the sum over all labels.
        outputs = model(**batch, num_items_in_batch=1)
        labels = batch["labels"]
        masked = labels != IGNORED
        right = int((outputs.logits.argmax(-1) == labels)[masked].sum())
        loss, count = float(outputs.loss), int(masked.sum())
        score.update(loss, right, count)
        return loss, count

    def test_metrics(self, run: Any) -> dict[str, float] | None:
        if not len(self._test):
            return None
        score = self.new_metric()
        with torch.no_grad():
            for indices in self.batches(self._test, run.recipe.training, shuffle=False, rank=0, world_size=1):
                batch = self.collate([self._test[index] for index in indices])
                self.evaluate_batch(
                    run.model, {name: value.to(run.model.device) for name, value in batch.items()}, score
                )
        return score.result()

    def describe(self) -> Iterator[str]:
        for verb, examples in (("learning from", self.train), ("choosing with", self.validation)):
            assert isinstance(examples, Examples)
            yield f"{verb} {_size(examples)}"
        if len(self._test):
            yield f"reporting on  {_size(self._test)}"

    def _examples(self, documents: list[Document]) -> Examples:
        return Examples(documents, self.tokenizer, _no_target, self.config.max_position_embeddings)


def hide(
    ids: Int[Tensor, "batch length"],
    mask: Int[Tensor, "batch length"],
    tokenizer: PreTrainedTokenizerFast,
    ratio: float,
    generator: torch.Generator,
) -> dict[str, Int[Tensor, "batch length"]]:
    """`input_ids` with a part of the real tokens hidden, and as `labels` what they were, -100 elsewhere.

    Of the hidden tokens eight in ten become the mask token and one another token, drawn evenly from the vocabulary;
    one stays as it is, so that the model learns about tokens that it sees, too (Devlin et al. 2019, section 3.1).
    """
    device = ids.device
    # Drawn on the CPU, so that the same tokens are hidden on every device.
    ids, mask = ids.cpu(), mask.cpu()
    mask_token_id = tokenizer.mask_token_id
    assert isinstance(mask_token_id, int)
    drawn = torch.rand((2, *ids.shape), generator=generator)
    hidden = (drawn[0] < ratio) & mask.bool()
    others = torch.randint(len(tokenizer), ids.shape, generator=generator)
    shown = torch.where(hidden & (drawn[1] < 0.8), mask_token_id, ids)
    shown = torch.where(hidden & (drawn[1] >= 0.9), others, shown)
    return {"input_ids": shown.to(device), "labels": ids.masked_fill(~hidden, IGNORED).to(device)}


def hide_by_document(
    ids: Int[Tensor, "batch length"],
    mask: Int[Tensor, "batch length"],
    tokenizer: PreTrainedTokenizerFast,
    ratio: float,
) -> dict[str, Int[Tensor, "batch length"]]:
    """`hide`, each document seeded by a hash of its own token ids.

    So the same tokens of a document are hidden in every epoch and in every run, whatever batch it is in and however far
    it is padded; a metric would otherwise depend on how the documents are batched.
    """
    shown, labels = ids.clone(), torch.full_like(ids, IGNORED)
    for row, real in enumerate(mask.bool()):
        document = ids[row, real]
        digest = hashlib.blake2b(document.cpu().numpy().astype("<i8").tobytes(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
        hidden = hide(document[None], torch.ones_like(document[None]), tokenizer, ratio, generator)
        shown[row, real], labels[row, real] = hidden["input_ids"][0], hidden["labels"][0]
    return {"input_ids": shown, "labels": labels}


def _no_target(document: Document, offsets: Offsets) -> np.ndarray:
    return np.empty(0, dtype=np.int64)


def _size(examples: Examples) -> str:
    return f"{len(examples):,} documents, {sum(examples.lengths):,} tokens"
