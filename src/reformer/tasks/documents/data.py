"""Data of a document task: tokenised, with their targets, reviewed and measured by the classical method."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from reformer.data import DataError, Document
from reformer.data.batching.encoding import (
    Encoded,
    Example,
    Examples,
    Offsets,
    encode,
    pad,
    pad_character_rows,
)
from reformer.data.batching.token_batches import balanced
from reformer.metrics.base import Metric
from reformer.metrics.calibration import Calibration
from reformer.metrics.review import Review
from reformer.tasks.bad_records import BadRecords
from reformer.tasks.base import (
    Baseline,
    Reviewed,
    Run,
    TaskData,
    describe_splits,
    outputs_with_summed_loss,
)
from reformer.tasks.document_splits import (
    Splits,
    joined,
    label_names,
    load_splits,
)
from reformer.tasks.documents.document_recipe import DocumentRecipe
from reformer.tasks.documents.prediction import (
    Packed,
    character_reading,
    evaluate,
    predict,
    predict_encoded,
    reading,
    review_answers,
    unpacked,
)
from reformer.tasks.documents.shares import nested_shares
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer
from reformer.wording import counted


class DocumentData(TaskData[Examples]):
    """Documents of a document task, tokenised, with their label ids.

    Raises:
        DataError: a document that cannot be read, has too many tokens, or a label that the training documents lack.
    """

    def __init__(self, task: Any, recipe: DocumentRecipe, start: PretrainedStart | None = None) -> None:
        self._task, self._recipe, self._whole_recipe = task, recipe.training, recipe
        self._bad = BadRecords(skip=recipe.data.skip_bad)
        self._splits = load_splits(recipe.data, recipe.training.seed, task.check_document, self._bad, join_test=False)
        self._labels = task.labels(self._splits.train)
        self.processor = self._tokenizer = make_tokenizer(
            recipe.tokenizer, (document.text for document in self._splits.train), start
        )
        self._label_ids = {label: index for index, label in enumerate(self._labels)}
        self.config = make_config(
            recipe,
            self._tokenizer,
            start,
            id2label=dict(enumerate(self._labels)),
            label2id=dict(self._label_ids),
            **task.model_fields,
        )
        self._characters = character_reading(task, self.config, self._tokenizer)
        self.train = self._examples(self._splits.train)
        self._augment = task.augmentation(self.train, self._labels, recipe.training)
        self.validation = self._examples(self._splits.validation)
        # Used at the end but checked now: an unknown label must not cost a whole run.
        test = encode(self._splits.test, self._tokenizer, **reading(self.config))
        self._test = [packed for encoded in test if (packed := self._packed(encoded)) is not None]
        self._bad.raise_all()

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        pad_token_id = self.config.pad_token_id
        assert pad_token_id is not None
        batch = pad([example.ids for example in examples], pad_token_id)
        length = batch["input_ids"].shape[1]
        rows = [example.characters for example in examples if example.characters is not None]
        if rows:
            batch |= pad_character_rows(rows)
            length = batch["character_pieces"].shape[1]
        wide = [example.wide_logits for example in examples if example.wide_logits is not None]
        if wide:
            batch["wide_logits"] = torch.from_numpy(np.stack(wide))
        return batch | {"labels": self._task.stack([example.target for example in examples], length)}

    def augment(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return batch if self._augment is None else self._augment(batch, generator)

    def fit_wide(self, model: Any, *, resumed: bool) -> None:
        if resumed and not self._task.cross_fits:
            return
        logits = self._task.fit_wide(model, self.train, self.validation, self._recipe, self._tokenizer)
        if logits is not None:
            self.train = self.train.with_wide_logits(logits)

    def new_metric(self) -> Metric:
        return self._task.new_metric(self._labels, self._recipe)

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        labels = batch["labels"]
        outputs = outputs_with_summed_loss(model, batch)
        for row, target in zip(outputs.logits.float().cpu().numpy(), labels.cpu().numpy(), strict=True):
            metric.update(np.stack([self._task.predicted_ids(row, self._labels)]), target[None])
        return float(outputs.loss), int((labels >= 0).sum())

    def test_metrics(self, run: Run[Any]) -> dict[str, int | float] | None:
        reviewed = self._review_test(run)
        return None if reviewed is None else dict(reviewed.metrics)

    def joined_test_metrics(self, run: Run[Any]) -> dict[str, int | float] | None:
        recipe = run.recipe.data
        if recipe.joined_length is None or not self._splits.test:
            return None
        return evaluate(run, joined(self._splits.test, recipe))

    def review(self, run: Run[Any]) -> Reviewed:
        answered = list(predict(replace(run, calibration=Calibration()), self._splits.validation))
        calibration = self._task.calibrated_on(review_answers(run, answered))
        calibrated = ((document, answer.calibrated(calibration)) for document, answer in answered)
        parts = {"validation": review_answers(run, calibrated)}
        test = self._review_test(replace(run, calibration=calibration))
        return Reviewed(calibration, parts if test is None else parts | {"test": test})

    def _review_test(self, run: Run[Any]) -> Review | None:
        return review_answers(run, predict_encoded(run, map(unpacked, self._test))) if self._test else None

    def baseline(self) -> Baseline:
        return self._baseline(self._splits)

    def baselines_of_shares(self) -> Iterator[Baseline]:
        train = self._splits.train
        characters = sum(len(document.text) for document in train)
        for numbers in nested_shares([label_names(document) for document in train], self._recipe.seed):
            part = [train[number] for number in numbers]
            effort = sum(len(document.text) for document in part) / max(1, characters)
            yield self._baseline(replace(self._splits, train=part, test=[]), effort)

    def _baseline(self, splits: Splits, effort: float = 1.0) -> Baseline:
        model = self._task.fit_classical(splits, self._labels, self._whole_recipe, effort=effort)
        types = self._task.entity_types(self._whole_recipe)

        def scores(documents: list[Document]) -> dict[str, float]:
            metric = self.new_metric()
            for document, answer in zip(documents, model.answers(documents), strict=True):
                self._task.count(metric, answer.of_types(types), document)
            return metric.result()

        return Baseline(
            method=model.method,
            validation=scores(splits.validation),
            test=scores(splits.test) if splits.test else None,
            note=model.note,
            learned_from=model.learned_from,
        )

    def describe(self) -> Iterator[str]:
        def size(documents: list[Document]) -> str:
            return (
                f"{counted(len(documents), 'document')}, "
                f"{counted(sum(len(document.text) for document in documents), 'character')}"
            )

        splits = self._splits
        test = size(splits.test) if splits.test else None
        yield from describe_splits(train=size(splits.train), validation=size(splits.validation), test=test)
        for line in self._task.warnings(splits.train, self._whole_recipe):
            yield f"warning: {line}"

    def weigh_loss(self, model: Any) -> None:
        weights = self._task.data_weights(self.train, self._recipe)
        if weights is not None:
            model.class_weights = weights.to(model.device)

    def chosen(self, dataset: Examples) -> Int[np.ndarray, " chosen"] | None:
        groups = self._task.sampling_groups(dataset, self._recipe)
        return None if groups is None else balanced(groups)

    def cautions(self) -> Iterator[str]:
        yield from self._splits.cautions
        yield from self._task.cautions(self._splits, self._labels)
        yield from self._bad.cautions()

    def _examples(self, documents: list[Document]) -> Examples:
        how = reading(self.config)
        return Examples(
            documents, self._tokenizer, self._target, characters=self._characters, on_error=self._bad, **how
        )

    def _target(self, document: Document, offsets: Offsets) -> Int[np.ndarray, "..."]:
        return self._task.target(document, offsets, self._label_ids)

    def _packed(self, encoded: Encoded | DataError) -> Packed | None:
        try:
            if isinstance(encoded, DataError):
                raise encoded
            self._target(encoded.document, encoded.offsets)
        except DataError as error:
            self._bad(error)
            return None
        return encoded.document, encoded.ids, np.array(encoded.offsets, dtype=np.int32)
