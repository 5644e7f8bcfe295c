"""Image tasks: the parts they share, from reading images to batches of their pixels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Shaped
from pydantic import Field
from torch import Tensor

from reformer.data import DataError, Image, load_digits, read_images
from reformer.data.batching.hold_out import hold_out
from reformer.data.errors import OnError
from reformer.models import ReformerConfig
from reformer.recipe import BY_CHANCE, HeldOutDataRecipe, Recipe
from reformer.tasks.base import Run, describe_splits
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predicting import PredictingTask
from reformer.wording import counted

MAX_SIDE = 32
"""Height and width to which the classical methods shrink images."""
MAX_IMAGES = 10_000
"""Images that the classical methods learn from."""
IMAGES_AT_A_TIME = 256
TOKENS_AT_A_TIME = 4096
"""The most patches in a batch, unless one image has more."""


class ImageDataRecipe(HeldOutDataRecipe, frozen=True):
    """Labelled images."""

    label_column: str | None = Field(
        None, description="the column of a table that has the label, or the caption; none: label, or caption"
    )


class ImageRecipe(Recipe, frozen=True):
    """Recipe of an image task."""

    data: ImageDataRecipe


@dataclass(frozen=True, slots=True)
class ImageSequence:
    """An image of the size that the model reads, as long as its patches are many."""

    record: Image
    ids: range


class ImageTask(PredictingTask):
    """Task over images: of files that `read_images` reads, or of scikit-learn's digits."""

    recipe_type = ImageRecipe
    suffixes = (
        *(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"),
        *(".csv", ".tsv", ".idx", "-images-idx3-ubyte"),
    )

    source: ClassVar[str]
    """The name of the digits with this task's labels."""
    column: ClassVar[str]
    """The column of a table that has the label, unless the recipe names another."""
    captions: ClassVar[bool] = False
    counts_ahead = False
    batch_tokens = TOKENS_AT_A_TIME

    def check_recipe(self, recipe: ImageRecipe) -> None:
        super().check_recipe(recipe)
        if recipe.data.source not in (None, self.source):
            raise ValueError(
                f"data.source = {recipe.data.source!r}: the source for {recipe.training.task} is {self.source}"
            )

    def read_file(self, run: Run[Any], file: str, options: PredictOptions, on_error: OnError) -> Iterator[Image]:
        return read_images(file, label_column=None, keeps_others=bool(options.keep_columns), on_error=on_error)

    def encode(self, run: Run[Any], records: Iterable[Image]) -> Iterator[ImageSequence | DataError]:
        return image_sequences(run, records)

    def parts(self, recipe: ImageRecipe) -> dict[str, list[Image]]:
        """The images of each split; the test split may be empty.

        Raises:
            DataError: one that cannot be read or is not as large as the first, or none at all.
        """
        data = recipe.data
        if data.source is not None:
            return load_digits(captions=self.captions)
        paths = {"train": data.train, "validation": data.validation, "test": data.test}
        column = self._column(recipe)
        parts = {name: list(read_images(path, label_column=column)) if path else [] for name, path in paths.items()}
        if not parts["train"]:
            raise DataError(data.train, None, "there is no image in it", "give some")
        shape = parts["train"][0].pixels.shape
        for image in (image for part in parts.values() for image in part):
            _check_shape(image, shape)
        if not parts["validation"]:
            parts["train"], parts["validation"] = hold_out(
                parts["train"],
                fraction=data.validation_fraction,
                seed=recipe.training.seed,
                what="image",
                place=data.train,
                # A caption is a label of its own.
                labels=None
                if self.captions or data.hold_out == BY_CHANCE
                else [[] if each.label is None else [each.label] for each in parts["train"]],
            )
        return parts

    def labelled(self, run: Run[Any], sources: Sequence[str], options: PredictOptions) -> Iterator[Image]:
        """The labelled images of files, or of a split of the digits."""
        for source in sources:
            if source == self.source:
                yield from load_digits(captions=self.captions)[options.split or "test"]
            else:
                yield from read_images(source, label_column=options.label_column or self._column(run.recipe))

    def _column(self, recipe: ImageRecipe) -> str:
        return recipe.data.label_column or self.column


def image_fields(images: Sequence[Image]) -> dict[str, Any]:
    """The configuration's fields that the images decide."""
    channels, height, width = images[0].pixels.shape
    return {"num_channels": channels, "image_size": [height, width]}


def check_patches(config: ReformerConfig, place: str | None) -> None:
    """Raise a `DataError` at the place of the images if patches do not fill them, or are too many for the model."""
    height, width = config.image_size or (0, 0)
    size, longest = config.patch_size, config.max_position_embeddings
    told = f"the images are {width} x {height} pixels, and model.patch_size = {size}"
    if height % size or width % size:
        raise DataError(place, None, told, "take one that divides both sides")
    if patches_of(config) > longest:
        told += (
            f" makes {counted(patches_of(config), 'token')} of them, more than model.max_position_embeddings = "
            f"{longest:,}"
        )
        raise DataError(place, None, told, "raise that one, or model.patch_size")


def patches_of(config: ReformerConfig) -> int:
    """The number of patches of an image of the configuration's size."""
    assert config.image_size is not None
    height, width = config.image_size
    return height * width // config.patch_size**2


def stack(
    images: Sequence[Shaped[np.ndarray, "channels height width"]],
) -> Shaped[Tensor, "batch channels height width"]:
    """Pixels as `pixel_values`."""
    return torch.from_numpy(np.stack(images))


def pixel_rows(images: Sequence[Image]) -> Float[np.ndarray, "images pixels"]:
    """The pixels of each image as one row; of large images, the means of squares of them."""
    parts = []
    for begin in range(0, len(images), IMAGES_AT_A_TIME):
        pixels = stack([image.pixels for image in images[begin : begin + IMAGES_AT_A_TIME]])
        height, width = (min(side, MAX_SIDE) for side in pixels.shape[2:])
        parts.append(torch.nn.functional.adaptive_avg_pool2d(pixels, (height, width)).flatten(1).numpy())
    return np.concatenate(parts)


def evenly_spread(images: Sequence[Image], most: int) -> Sequence[Image]:
    """At most so many of the images, evenly spread over them."""
    return images[:: max(1, -(-len(images) // most))]


def image_sequences(run: Run[Any], images: Iterable[Image]) -> Iterator[ImageSequence | DataError]:
    """Images as the run's model reads them, and the error of one that has another size than the model's."""
    config = run.model.config
    assert isinstance(config, ReformerConfig)
    shape, patches = (config.num_channels, *(config.image_size or ())), range(patches_of(config))
    for image in images:
        try:
            _check_shape(image, shape)
        except DataError as error:
            yield error
        else:
            yield ImageSequence(image, patches)


def pixels_of(run: Run[Any], batch: Sequence[ImageSequence]) -> Shaped[Tensor, "batch channels height width"]:
    """The pixels of a batch, where the run's model is."""
    return stack([sequence.record.pixels for sequence in batch]).to(run.model.device)


def describe_images(parts: Mapping[str, Sequence[Any]], config: ReformerConfig) -> Iterator[str]:
    """Lines for the console: how many images each split has, and their size."""
    height, width = config.image_size or (0, 0)
    size = f"images of {width} x {height} pixels, {counted(patches_of(config), 'token')} each"
    train, validation, test = (f"{len(parts[name]):,}" for name in ("train", "validation", "test"))
    return describe_splits(train=f"{train} {size}", validation=validation, test=test if parts["test"] else None)


def _check_shape(image: Image, shape: tuple[int, ...]) -> None:
    if image.pixels.shape != tuple(shape):
        found, expected = (f"{s[2]} x {s[1]} pixels in {s[0]} channels" for s in (image.pixels.shape, shape))
        raise DataError.at(
            image.source or image.id, f"this image has {found}, and {expected} are expected", "scale or convert it"
        )
