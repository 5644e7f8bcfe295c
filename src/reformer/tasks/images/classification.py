"""Images: one label each, from their pixels."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from reformer.data import DataError, Image, label_id
from reformer.data.errors import OnError, raise_error
from reformer.metrics.classification import ClassMetric
from reformer.models import ReformerForImageClassification
from reformer.recipe import Recipe
from reformer.tasks.base import PredictOptions, TaskData
from reformer.tasks.images.task import (
    ImageTask,
    batches,
    check_squares,
    image_fields,
    read_all,
    sizes,
    stack,
    tokens_of,
)
from reformer.tasks.model_setup import PretrainedStart, make_config

if TYPE_CHECKING:
    from reformer.tasks.base import Run


class ImageClassification(ImageTask):
    """One label for an image."""

    head = ReformerForImageClassification
    best_metric = "accuracy"
    recipe_fields = frozenset({"data.label_column", "model.classifier_pooling"})
    processor_file = None
    predict_options = frozenset({"label_column", "split"})
    source = "index:digits"
    column = "label"

    def load_data(self, recipe: Recipe, start: PretrainedStart | None = None) -> "ImageData":
        return ImageData(self, recipe, start)

    def load_processor(self, folder: Any) -> None:
        """The configuration says all that is to know."""

    def predict(
        self, run: "Run[ImageClassification]", files: Iterable[str], options: PredictOptions, on_error: OnError
    ) -> Iterator[dict[str, Any]]:
        for image, shares in _shares(run, read_all(files, on_error), on_error):
            scores = dict(zip(run.labels, shares.tolist(), strict=True))
            yield {"id": image.id, "label": max(scores, key=scores.__getitem__), "scores": scores}

    def evaluate(self, run: "Run[ImageClassification]", source: str, options: PredictOptions) -> dict[str, float]:
        return evaluate_images(run, self.known(run, source, options))


class ImageSet(Dataset[tuple[np.ndarray, int]]):
    """Images with the numbers of their labels; a `DataError` where one has a label that is not known."""

    def __init__(self, images: Sequence[Image], label_ids: dict[str, int]) -> None:
        self._pixels = [image.pixels for image in images]
        self._labels = [label_id(_label(image), label_ids, image.source) for image in images]

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self._pixels[index], self._labels[index]


class ImageData(TaskData):
    """What a classifier of images learns from.

    Raises:
        DataError: an image that cannot be read, has no label, or is not as large as the first.
    """

    def __init__(self, task: ImageTask, recipe: Recipe, start: PretrainedStart | None = None) -> None:
        self._parts = task.parts(recipe)
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
        check_squares(self.config, recipe.data.train)
        sets = {name: ImageSet(images, ids) for name, images in self._parts.items()}
        self.train, self.validation = sets["train"], sets["validation"]

    def lengths(self, dataset: Dataset[Any]) -> list[int]:
        assert isinstance(dataset, ImageSet)
        return [tokens_of(self.config)] * len(dataset)

    def collate(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        pixels, labels = zip(*examples, strict=True)
        return {"pixel_values": stack(pixels), "labels": torch.tensor(labels)}

    def new_metric(self) -> ClassMetric:
        return ClassMetric(self._labels)

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        # Counted as one item, the loss is the sum over all labels.
        found = model(**batch, num_items_in_batch=1)
        score.update(found.logits.float().argmax(-1).cpu().numpy(), batch["labels"].cpu().numpy())
        return float(found.loss), len(batch["labels"])

    def test_metrics(self, run: "Run[ImageClassification]") -> dict[str, float] | None:
        return evaluate_images(run, self._parts["test"]) if self._parts["test"] else None

    def describe(self) -> Iterator[str]:
        return sizes(self._parts, self.config)


def evaluate_images(run: "Run[ImageClassification]", images: Iterable[Image]) -> dict[str, float]:
    """The scores of a run on images whose labels are known."""
    score = ClassMetric(run.labels)
    ids = {label: number for number, label in enumerate(run.labels)}
    count = 0
    for image, shares in _shares(run, images):
        known = label_id(_label(image), ids, image.source)
        score.update(np.array([shares.argmax()]), np.array([known]))
        count += 1
    return {"images": count, **score.result()}


def _shares(
    run: "Run[ImageClassification]", images: Iterable[Image], on_error: OnError = raise_error
) -> Iterator[tuple[Image, np.ndarray]]:
    """Each image with its classes' shares."""
    for held, pixels in batches(run, images, on_error):
        with torch.inference_mode():
            shares = run.model(pixel_values=pixels).logits.float().softmax(-1).cpu().numpy()
        yield from zip(held, shares, strict=True)


def _label(image: Image) -> str:
    if image.label is None:
        raise DataError.at(
            image.source or image.id,
            "this image has no label",
            "give a table with a label column, or an IDX file of labels beside that of images",
        )
    return image.label
