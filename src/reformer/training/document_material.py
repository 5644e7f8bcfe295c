"""Documents as a run's material: split, tokenised, and put together to batches of about one length."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from reformer.data import Document
from reformer.training.examples import Example, Examples, Offsets, pad
from reformer.training.material import Material, make_config, make_tokenizer
from reformer.training.metrics import Score
from reformer.training.predict import evaluate
from reformer.training.recipe import Recipe
from reformer.training.splits import load_splits
from reformer.training.start import Start

if TYPE_CHECKING:
    from reformer.training.document_tasks import DocumentTask
    from reformer.training.run import Run


class DocumentMaterial(Material):
    """What a document task learns from and is measured on.

    Raises:
        DataError: a document that cannot be read, has too many tokens, or a label that the training documents lack.
    """

    def __init__(self, task: "DocumentTask", recipe: Recipe, start: Start | None = None) -> None:
        self._task, self._recipe = task, recipe.training
        self._splits = load_splits(recipe.data, recipe.training.seed)
        self._labels = task.labels(self._splits.train)
        self.processor = self._tokenizer = make_tokenizer(
            recipe.tokenizer, (document.text for document in self._splits.train), start
        )
        self._label_ids = {label: index for index, label in enumerate(self._labels)}
        self.config = make_config(
            recipe, self._tokenizer, start, id2label=dict(enumerate(self._labels)), label2id=dict(self._label_ids)
        )
        self.train = self._examples(self._splits.train)
        self._augment = task.augmentation(self.train, self._labels, recipe.training)
        self.validation = self._examples(self._splits.validation)
        # Used at the end but checked now: a label nobody has seen must not cost a whole run.
        self._examples(self._splits.test)

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        pad_token_id = self.config.pad_token_id
        assert pad_token_id is not None
        batch = pad([example.ids for example in examples], pad_token_id)
        length = batch["input_ids"].shape[1]
        return batch | {"labels": self._task.stack([example.target for example in examples], length)}

    def training_batch(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return batch if self._augment is None else self._augment(batch, generator)

    def score(self) -> Score:
        return self._task.score(self._labels, self._recipe)

    def measure(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        labels = batch["labels"]
        # Counted as one item, the loss is the sum over all labels.
        outputs = model(**batch, num_items_in_batch=1)
        for row, target in zip(outputs.logits.float().cpu().numpy(), labels.cpu().numpy(), strict=True):
            score.update(self._task.numbers(row, self._labels)[None], target[None])
        return float(outputs.loss), int((labels >= 0).sum())

    def report(self, run: "Run[DocumentTask]") -> dict[str, float] | None:
        return evaluate(run, self._splits.test) if self._splits.test else None

    def sizes(self) -> Iterator[str]:
        def size(documents: list[Document]) -> str:
            return f"{len(documents):,} documents, {sum(len(document.text) for document in documents):,} characters"

        yield f"learning from {size(self._splits.train)}"
        yield f"choosing with {size(self._splits.validation)}"
        if self._splits.test:
            yield f"reporting on  {size(self._splits.test)}"

    def _examples(self, documents: list[Document]) -> Examples:
        return Examples(documents, self._tokenizer, self._target, self.config.max_position_embeddings)

    def _target(self, document: Document, offsets: Offsets) -> np.ndarray:
        return self._task.target(document, offsets, self._label_ids)
