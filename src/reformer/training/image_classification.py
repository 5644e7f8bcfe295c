"""Images: one label each, from their pixels."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from reformer.data import DataError, Image, label_id, load_digits, read_images
from reformer.models import ReformerForImageClassification
from reformer.training.material import AnsweringTask, Asked, Material, Report, make_config, read_files
from reformer.training.metrics import ClassScore
from reformer.training.recipe import Recipe
from reformer.training.splits import hold_out
from reformer.training.start import Start

if TYPE_CHECKING:
    from reformer.training.run import Run

DIGITS = "index:digits"
IMAGES_AT_A_TIME = 64


class ImageClassification(AnsweringTask):
    """One label for an image."""

    head = ReformerForImageClassification
    best_metric = "accuracy"
    own_fields = frozenset({"data.label_column"})
    processor_file = None
    asks = frozenset({"label_column", "split"})

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        if recipe.data.source not in (None, DIGITS):
            raise ValueError(f"data.source = {recipe.data.source!r}: the source of images is {DIGITS}")

    def prepare(self, recipe: Recipe, start: Start | None = None) -> "ImageMaterial":
        return ImageMaterial(recipe, start)

    def load_processor(self, folder: Any) -> None:
        """The configuration says all that is to know."""

    def answers(
        self, run: "Run[ImageClassification]", files: Iterable[str], asked: Asked, on_error: Report
    ) -> Iterator[dict[str, Any]]:
        images = read_files(files, lambda file: read_images(file, label_column=None, on_error=on_error), on_error)
        for image, shares in _shares(run, images, on_error):
            scores = dict(zip(run.labels, shares.tolist(), strict=True))
            yield {"id": image.id, "label": max(scores, key=scores.__getitem__), "scores": scores}

    def evaluate(self, run: "Run[ImageClassification]", source: str, asked: Asked) -> dict[str, float]:
        if source == DIGITS:
            return evaluate_images(run, load_digits()[asked.split or "test"])
        column = asked.label_column or run.recipe.data.label_column or "label"
        return evaluate_images(run, read_images(source, label_column=column))


class ImageSet(Dataset[tuple[np.ndarray, int]]):
    """Images of one size with the numbers of their labels; `DataError` where one has another size or label."""

    def __init__(self, images: Sequence[Image], shape: tuple[int, ...], label_ids: dict[str, int]) -> None:
        self._pixels, self._labels = [], []
        for image in images:
            _check_shape(image, shape)
            self._pixels.append(image.pixels)
            self._labels.append(label_id(_label(image), label_ids, image.source))

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self._pixels[index], self._labels[index]


class ImageMaterial(Material):
    """What a classifier of images learns from.

    Raises:
        DataError: an image that cannot be read, has no label, or is not as large as the first.
    """

    def __init__(self, recipe: Recipe, start: Start | None = None) -> None:
        parts = _load(recipe)
        self._labels = sorted({_label(image) for image in parts["train"]})
        if len(self._labels) < 2:
            raise DataError(recipe.data.train, None, f"every image has the label {self._labels}", "give two at least")
        ids = {label: number for number, label in enumerate(self._labels)}
        shape = parts["train"][0].pixels.shape
        self.processor = None
        self.config = make_config(
            recipe,
            None,
            start,
            num_channels=shape[0],
            image_size=list(shape[1:]),
            id2label=dict(enumerate(self._labels)),
            label2id=ids,
        )
        size = self.config.patch_size
        if shape[1] % size or shape[2] % size:
            raise DataError(
                recipe.data.train,
                None,
                f"the images are {shape[2]} x {shape[1]} pixels, and model.patch_size = {size}",
                "take one that divides both sides",
            )
        self._tokens = shape[1] * shape[2] // size**2
        self.train = ImageSet(parts["train"], shape, ids)
        self.validation = ImageSet(parts["validation"], shape, ids)
        self._test = parts["test"]
        ImageSet(self._test, shape, ids)

    def lengths(self, dataset: Dataset[Any]) -> list[int]:
        assert isinstance(dataset, ImageSet)
        return [self._tokens] * len(dataset)

    def collate(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        pixels, labels = zip(*examples, strict=True)
        return {"pixel_values": torch.from_numpy(np.stack(pixels)), "labels": torch.tensor(labels)}

    def score(self) -> ClassScore:
        return ClassScore(self._labels)

    def measure(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        # Counted as one item, the loss is the sum over all labels.
        found = model(**batch, num_items_in_batch=1)
        score.update(found.logits.float().argmax(-1).cpu().numpy(), batch["labels"].cpu().numpy())
        return float(found.loss), len(batch["labels"])

    def report(self, run: "Run[ImageClassification]") -> dict[str, float] | None:
        return evaluate_images(run, self._test) if self._test else None

    def sizes(self) -> Iterator[str]:
        height, width = self.config.image_size or (0, 0)
        yield f"learning from {len(self.train):,} images of {width} x {height} pixels, {self._tokens:,} tokens each"  # pyright: ignore
        yield f"choosing with {len(self.validation):,}"  # pyright: ignore
        if self._test:
            yield f"reporting on  {len(self._test):,}"


def evaluate_images(run: "Run[ImageClassification]", images: Iterable[Image]) -> dict[str, float]:
    """The scores of a run on images whose labels are known."""
    score = ClassScore(run.labels)
    ids = {label: number for number, label in enumerate(run.labels)}
    count = 0
    for image, shares in _shares(run, images, _raise):
        known = label_id(_label(image), ids, image.source)
        score.update(np.array([shares.argmax()]), np.array([known]))
        count += 1
    return {"images": count, **score.result()}


def _shares(
    run: "Run[ImageClassification]", images: Iterable[Image], on_error: Report
) -> Iterator[tuple[Image, np.ndarray]]:
    """Each image with its classes' shares, a bounded number of images at a time."""
    config = run.model.config
    shape = (config.num_channels, *config.image_size)
    held: list[Image] = []
    for image in images:
        try:
            _check_shape(image, shape)
        except DataError as error:
            on_error(error)
            continue
        held.append(image)
        if len(held) == IMAGES_AT_A_TIME:
            yield from _answer(run, held)
            held = []
    if held:
        yield from _answer(run, held)


def _answer(run: "Run[ImageClassification]", images: Sequence[Image]) -> Iterator[tuple[Image, np.ndarray]]:
    pixels = torch.from_numpy(np.stack([image.pixels for image in images])).to(run.model.device)
    with torch.inference_mode():
        shares = run.model(pixel_values=pixels).logits.float().softmax(-1).cpu().numpy()
    yield from zip(images, shares, strict=True)


def _check_shape(image: Image, shape: tuple[int, ...]) -> None:
    if image.pixels.shape != tuple(shape):
        found, expected = (f"{s[2]} x {s[1]} pixels in {s[0]} channels" for s in (image.pixels.shape, shape))
        raise DataError.at(
            image.source or image.id, f"this image has {found}, and {expected} are expected", "scale or convert it"
        )


def _label(image: Image) -> str:
    if image.label is None:
        raise DataError.at(
            image.source or image.id,
            "this image has no label",
            "give a table with a label column, or an IDX file of labels beside that of images",
        )
    return image.label


def _load(recipe: Recipe) -> dict[str, list[Image]]:
    data = recipe.data
    if data.source is not None:
        return load_digits()
    column = data.label_column or "label"
    paths = {"train": data.train, "validation": data.validation, "test": data.test}
    parts = {name: list(read_images(path, label_column=column)) if path else [] for name, path in paths.items()}
    if not parts["train"]:
        raise DataError(data.train, None, "there is no image in it", "give some")
    if not parts["validation"]:
        parts["train"], parts["validation"] = hold_out(parts["train"], data, recipe.training.seed, "image")
    return parts


def _raise(error: DataError) -> None:
    raise error
