"""Image classification: one label for an image, from its pixels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.data import Dataset

from reformer.baselines.logistic import LogisticClassifier
from reformer.data import DataError, Image, label_id
from reformer.data.batching.read_ahead import in_order
from reformer.data.batching.token_batches import balanced
from reformer.metrics.classification import ClassMetric
from reformer.metrics.review import Mistake, Review
from reformer.models import ReformerForImageClassification
from reformer.tasks.balance import BalancedTrainingRecipe, balanced_weights
from reformer.tasks.base import Baseline, Reviewed, Run, TaskData, outputs_with_summed_loss
from reformer.tasks.images.task import (
    MAX_IMAGES,
    TOKENS_AT_A_TIME,
    ImageRecipe,
    ImageSequence,
    ImageTask,
    check_patches,
    describe_images,
    evenly_spread,
    image_fields,
    image_sequences,
    patches_of,
    pixel_rows,
    pixels_of,
    stack,
)
from reformer.tasks.model_setup import PretrainedStart, make_config
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predictions import Prediction, prediction
from reformer.wording import counted

Probabilities = list[Float[np.ndarray, " labels"]]
"""Of each image those of each label, before calibration."""


class ImageClassRecipe(ImageRecipe, frozen=True):
    """Recipe of image classification."""

    training: BalancedTrainingRecipe


class ImageClassification(ImageTask):
    """One label for an image."""

    recipe_type = ImageClassRecipe
    head = ReformerForImageClassification
    best_metric = "accuracy"
    model_options = frozenset({"classifier_pooling"})
    processor_file = None
    predict_options = frozenset({"label_column", "keep_columns", "split", "min_confidence", "scores"})
    source = "index:digits"
    column = "label"

    def load_data(self, recipe: ImageClassRecipe, start: PretrainedStart | None = None) -> "ImageData":
        return ImageData(self, recipe, start)

    def load_processor(self, folder: Any) -> None:
        """None: the configuration says enough."""

    def answering(
        self, run: "Run[ImageClassification]", options: PredictOptions
    ) -> Callable[[list[ImageSequence]], Probabilities]:
        return _classifying(run)

    def predictions(
        self,
        run: "Run[ImageClassification]",
        sequence: ImageSequence,
        answer: Float[np.ndarray, " labels"],
        options: PredictOptions,
    ) -> Iterator[Prediction]:
        scores = dict(zip(run.labels, run.calibration.of_each(answer).tolist(), strict=True))
        label = max(scores, key=scores.__getitem__)
        sure = options.min_confidence is None or scores[label] >= options.min_confidence
        others = {} if options.scores is False else {"scores": scores}
        yield prediction(sequence.record, label=label if sure else None, score=scores[label], **others)

    def evaluate(
        self, run: "Run[ImageClassification]", sources: Sequence[str], options: PredictOptions
    ) -> dict[str, int | float]:
        return evaluate_images(run, self.labelled(run, sources, options))

    def review(self, run: "Run[ImageClassification]", sources: Sequence[str], options: PredictOptions) -> Review:
        return review_images(run, _classify(run, self.labelled(run, sources, options)))


class ImageSet(Dataset[tuple[np.ndarray, int]]):
    """Images with the ids of their labels; a `DataError` where one has an unknown label."""

    def __init__(self, images: Sequence[Image], label_ids: dict[str, int]) -> None:
        self._pixels = [image.pixels for image in images]
        self._labels = [label_id(_label(image), label_ids, image.source) for image in images]

    @property
    def labels(self) -> Int[np.ndarray, " images"]:
        """The id of each image's label."""
        return np.array(self._labels)

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self._pixels[index], self._labels[index]


class ImageData(TaskData[ImageSet]):
    """Images with labels.

    Raises:
        DataError: an image that cannot be read, has no label, or is not as large as the first.
    """

    def __init__(self, task: ImageTask, recipe: ImageClassRecipe, start: PretrainedStart | None = None) -> None:
        self._parts, self._balance = task.parts(recipe), recipe.training
        self._labels = sorted({_label(image) for image in self._parts["train"]})
        if len(self._labels) < 2:
            raise DataError(recipe.data.train, None, f"every image has the label {self._labels}", "give two at least")
        ids = {label: number for number, label in enumerate(self._labels)}
        self.processor = None
        self.config = make_config(
            recipe,
            None,
            start,
            **image_fields(self._parts["train"]),
            id2label=dict(enumerate(self._labels)),
            label2id=ids,
        )
        check_patches(self.config, recipe.data.train)
        sets = {name: ImageSet(images, ids) for name, images in self._parts.items()}
        self.train, self.validation = sets["train"], sets["validation"]

    def lengths(self, dataset: ImageSet) -> list[int]:
        return [patches_of(self.config)] * len(dataset)

    def collate(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        pixels, labels = zip(*examples, strict=True)
        return {"pixel_values": stack(pixels), "labels": torch.tensor(labels)}

    def new_metric(self) -> ClassMetric:
        return ClassMetric(self._labels)

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        outputs = outputs_with_summed_loss(model, batch)
        metric.update(outputs.logits.float().argmax(-1).cpu().numpy(), batch["labels"].cpu().numpy())
        return float(outputs.loss), len(batch["labels"])

    def weigh_loss(self, model: Any) -> None:
        if self._balance.class_weights is not None:
            model.class_weights = balanced_weights(self.train.labels).to(model.device)

    def chosen(self, dataset: ImageSet) -> Int[np.ndarray, " chosen"] | None:
        return None if self._balance.sampling is None else balanced(dataset.labels)

    def review(self, run: Run[ImageClassification]) -> Reviewed:
        answered = list(_classify(run, self._parts["validation"]))
        calibration = review_images(run, answered).fit()
        run = replace(run, calibration=calibration)
        parts = {"validation": review_images(run, answered)}
        if self._parts["test"]:
            parts["test"] = review_images(run, _classify(run, self._parts["test"]))
        return Reviewed(calibration, parts)

    def test_metrics(self, run: Run[ImageClassification]) -> dict[str, int | float] | None:
        return evaluate_images(run, self._parts["test"]) if self._parts["test"] else None

    def baseline(self) -> Baseline:
        ids = {label: number for number, label in enumerate(self._labels)}

        def labels(images: Sequence[Image]) -> Int[np.ndarray, " images"]:
            return np.array([ids[_label(image)] for image in images])

        train, validation = evenly_spread(self._parts["train"], MAX_IMAGES), self._parts["validation"]
        held_out = pixel_rows(validation), labels(validation)
        model = LogisticClassifier.fit(pixel_rows(train), labels(train), held_out, len(ids))

        def scores(images: Sequence[Image]) -> dict[str, float]:
            metric = ClassMetric(self._labels)
            metric.update(model.logits(pixel_rows(images)).argmax(1), labels(images))
            return metric.result()

        fewer = len(train) < len(self._parts["train"])
        note = f"learned from {len(train):,} of {counted(len(self._parts['train']), 'image')}" if fewer else None
        test = scores(self._parts["test"]) if self._parts["test"] else None
        return Baseline(method="logistic regression over pixels", validation=scores(validation), test=test, note=note)

    def describe(self) -> Iterator[str]:
        return describe_images(self._parts, self.config)


def evaluate_images(run: Run[ImageClassification], images: Iterable[Image]) -> dict[str, int | float]:
    """The metrics of a run on labelled images."""
    return dict(review_images(run, _classify(run, images)).metrics)


def review_images(
    run: Run[ImageClassification], answers: Iterable[tuple[Image, Float[np.ndarray, " labels"]]]
) -> Review:
    """The review of answers to labelled images, with their metrics.

    Args:
        answers: each image with the probability of each label before calibration.
    """
    metric, review = ClassMetric(run.labels), Review(run.labels)
    ids = {label: number for number, label in enumerate(run.labels)}
    count = 0
    for image, probabilities in answers:
        label, scores = _label(image), run.calibration.of_each(probabilities)
        given = int(scores.argmax())
        metric.update_named(run.labels[given], label)
        if label in ids:
            review.add_class(scores.tolist(), given, ids[label])
        if run.labels[given] != label:
            names = label, run.labels[given]
            review.add_mistake(Mistake("wrong class", image.id, "", "", "", *names, float(scores[given])))
        count += 1
    review.metrics = {"images": count, **metric.result()}
    return review


def _classify(run: Run[Any], images: Iterable[Image]) -> Iterator[tuple[Image, Float[np.ndarray, " labels"]]]:
    """Each image with the probability of each label."""
    sequences = image_sequences(run, images)
    for sequence, probabilities in in_order(sequences, _classifying(run), batch_tokens=TOKENS_AT_A_TIME):
        yield sequence.record, probabilities


def _classifying(run: Run[Any]) -> Callable[[list[ImageSequence]], Probabilities]:
    def answer_batch(batch: list[ImageSequence]) -> Probabilities:
        with torch.inference_mode():
            return list(run.model(pixel_values=pixels_of(run, batch)).logits.double().softmax(-1).cpu().numpy())

    return answer_batch


def _label(image: Image) -> str:
    if image.label is None:
        raise DataError.at(
            image.source or image.id,
            "this image has no label",
            "give a table with a label column, or an IDX file of labels beside that of images",
        )
    return image.label
