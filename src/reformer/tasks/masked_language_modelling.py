"""Masked language modelling: hidden tokens predicted from both their sides, to learn a language before a task."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from reformer.data import IGNORED, Document
from reformer.data.batching.encoding import Example, Examples, Offsets, pad
from reformer.data.batching.token_batches import TokenBatches
from reformer.errors import ReformerError
from reformer.metrics.language import HiddenTokenMetric
from reformer.models import ReformerForMaskedLM
from reformer.recipe import Recipe, TrainingRecipe
from reformer.tasks.base import Run, Task, TaskData, describe_splits, evaluate_batches, outputs_with_summed_loss
from reformer.tasks.document_splits import JoinedTextDataRecipe, load_splits
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer
from reformer.wording import counted


class MaskedTrainingRecipe(TrainingRecipe, frozen=True):
    """Training of a masked language model."""

    deprecated_names: ClassVar[Mapping[str, str]] = {"mask_ratio": "mlm_probability"}

    mlm_probability: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15, description="the probability with which a token is hidden and has to be predicted"
    )


class MaskedRecipe(Recipe, frozen=True):
    """Recipe of masked language modelling."""

    data: JoinedTextDataRecipe
    training: MaskedTrainingRecipe


class MaskedLanguageModelling(Task):
    """Masked language modelling of documents, whose labels are not read."""

    head = ReformerForMaskedLM
    best_metric = "perplexity"
    model_options = frozenset({"lm_transform", "special_tokens"})
    greater_is_better = False
    recipe_type = MaskedRecipe

    def check_recipe(self, recipe: MaskedRecipe) -> None:
        if recipe.model.get("is_decoder"):
            raise ValueError("model.is_decoder = true: a masked language model reads both sides; leave it out")

    def load_data(self, recipe: MaskedRecipe, start: PretrainedStart | None = None) -> "MaskedData":
        return MaskedData(recipe, start)


class MaskedData(TaskData[Examples]):
    """Documents with a part of their tokens hidden: others at each step of training, the same in each evaluation.

    Raises:
        DataError: a document that cannot be read or has too many tokens.
        ReformerError: a tokenizer without a mask token.
    """

    def __init__(self, recipe: MaskedRecipe, start: PretrainedStart | None = None) -> None:
        splits = self._splits = load_splits(recipe.data, recipe.training.seed)
        self.processor = self.tokenizer = make_tokenizer(
            recipe.tokenizer, (document.text for document in splits.train), start
        )
        if self.tokenizer.mask_token_id is None:
            raise ReformerError(f"tokenizer.kind = {recipe.tokenizer.kind!r}: it has no mask token; add one to it")
        self.config = make_config(recipe, self.tokenizer, start, is_decoder=False)
        self._probability = recipe.training.mlm_probability
        self.train, self.validation = self._examples(splits.train), self._examples(splits.validation)
        self._test = self._examples(splits.test)

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        pad_token_id = self.config.pad_token_id
        assert pad_token_id is not None
        return pad([example.ids for example in examples], pad_token_id)

    def augment(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return batch | hide(batch["input_ids"], batch["attention_mask"], self.tokenizer, self._probability, generator)

    def new_metric(self) -> HiddenTokenMetric:
        return HiddenTokenMetric()

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        return _evaluate_batch(self.tokenizer, self._probability, model, batch, metric)

    def test_metrics(self, run: Run[MaskedLanguageModelling]) -> dict[str, int | float] | None:
        if not len(self._test):
            return None
        return self.evaluate(run.model, self._test, run.recipe.training).result()

    def describe(self) -> Iterator[str]:
        test = _size(self._test) if len(self._test) else None
        return describe_splits(train=_size(self.train), validation=_size(self.validation), test=test)

    def cautions(self) -> Iterable[str]:
        return self._splits.cautions

    def _examples(self, documents: list[Document]) -> Examples:
        return _examples(documents, self.tokenizer, self.config)


def hidden_token_metrics(run: Run[MaskedLanguageModelling], documents: Iterable[Document]) -> dict[str, int | float]:
    """The metrics of a trained model on documents, as they are measured in training: of the same hidden tokens.

    Raises:
        DataError: a document that is too long, or has no token.
    """
    examples, recipe = _examples(documents, run.tokenizer, run.model.config), run.recipe.training
    indices = TokenBatches(
        examples.lengths, batch_tokens=recipe.batch_tokens, batch_size=recipe.batch_size, shuffle=False, seed=0
    )
    pad_token_id: Any = run.model.config.pad_token_id
    batches = (pad([examples[index].ids for index in batch], pad_token_id) for batch in indices)
    evaluate_batch = partial(_evaluate_batch, run.tokenizer, recipe.mlm_probability)
    return evaluate_batches(run.model, batches, evaluate_batch, HiddenTokenMetric()).result()


def _examples(documents: Iterable[Document], tokenizer: PreTrainedTokenizerFast, config: Any) -> Examples:
    longest, special_tokens = config.max_position_embeddings, config.special_tokens
    return Examples(documents, tokenizer, _no_target, longest, special_tokens=special_tokens)


def _evaluate_batch(
    tokenizer: PreTrainedTokenizerFast, probability: float, model: nn.Module, batch: dict[str, Any], metric: Any
) -> tuple[float, int]:
    batch = batch | hide_by_document(batch["input_ids"], batch["attention_mask"], tokenizer, probability)
    outputs = outputs_with_summed_loss(model, batch)
    labels = batch["labels"]
    masked = labels != IGNORED
    right = int((outputs.logits.argmax(-1) == labels)[masked].sum())
    loss, count = float(outputs.loss), int(masked.sum())
    metric.update(loss, right, count)
    return loss, count


def hide(
    ids: Int[Tensor, "batch length"],
    mask: Int[Tensor, "batch length"],
    tokenizer: PreTrainedTokenizerFast,
    probability: float,
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
    drawn = torch.rand((2, *ids.shape), generator=generator, device="cpu")
    ends = [number for number in (tokenizer.cls_token_id, tokenizer.sep_token_id) if isinstance(number, int)]
    # The tokens around a text are always the same: there is nothing to learn from hiding them.
    hidden = (
        (drawn[0] < probability) & mask.bool() & ~torch.isin(ids, torch.tensor(ends, dtype=ids.dtype, device="cpu"))
    )
    others = torch.randint(len(tokenizer), ids.shape, generator=generator, device="cpu")
    shown = torch.where(hidden & (drawn[1] < 0.8), mask_token_id, ids)
    shown = torch.where(hidden & (drawn[1] >= 0.9), others, shown)
    return {"input_ids": shown.to(device), "labels": ids.masked_fill(~hidden, IGNORED).to(device)}


def hide_by_document(
    ids: Int[Tensor, "batch length"],
    mask: Int[Tensor, "batch length"],
    tokenizer: PreTrainedTokenizerFast,
    probability: float,
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
        hidden = hide(document[None], torch.ones_like(document[None]), tokenizer, probability, generator)
        shown[row, real], labels[row, real] = hidden["input_ids"][0], hidden["labels"][0]
    return {"input_ids": shown, "labels": labels}


def _no_target(document: Document, offsets: Offsets) -> Int[np.ndarray, " 0"]:
    return np.empty(0, dtype=np.int64)


def _size(examples: Examples) -> str:
    return f"{counted(len(examples), 'document')}, {counted(sum(examples.lengths), 'token')}"
