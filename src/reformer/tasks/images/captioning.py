"""A text for an image: captions, learned from images that have one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from reformer.data import IGNORED, Image
from reformer.data.errors import OnError, raise_error
from reformer.metrics.texts import CharacterMetric, text_scores
from reformer.models import ReformerForImageToText
from reformer.recipe import Recipe
from reformer.tasks.base import PredictOptions, TaskData
from reformer.tasks.generation import generate_texts
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
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer
from reformer.tasks.targets import Targets, wanted

if TYPE_CHECKING:
    from reformer.tasks.base import Run


class ImageToText(ImageTask):
    """What to write for an image: an encoder-decoder that is measured by chrF."""

    head = ReformerForImageToText
    best_metric = "chrf"
    recipe_fields = frozenset({"data.label_column"})
    predict_options = frozenset({"label_column", "split", "beams"})
    model_fields: ClassVar[Mapping[str, Any]] = {"is_encoder_decoder": True}
    source = "index:digit-captions"
    column = "caption"
    captions = True

    def load_data(self, recipe: Recipe, start: PretrainedStart | None = None) -> "CaptionData":
        return CaptionData(self, recipe, start)

    def predict(
        self, run: "Run[ImageToText]", files: Iterable[str], options: PredictOptions, on_error: OnError
    ) -> Iterator[dict[str, Any]]:
        for image, text in caption_images(run, read_all(files, on_error), on_error, beams=options.beams or 1):
            yield {"id": image.id, "caption": text}

    def evaluate(self, run: "Run[ImageToText]", source: str, options: PredictOptions) -> dict[str, float]:
        return evaluate_captions(run, self.known(run, source, options), beams=options.beams or 1)


class CaptionedImages(Dataset[tuple[np.ndarray, np.ndarray]]):
    """Images with their captions' tokens; a `DataError` where one has no caption, or too long a one."""

    def __init__(self, images: Sequence[Image], targets: Targets, longest: int) -> None:
        self._pixels = [image.pixels for image in images]
        self._targets = [targets.ids(_caption(image), image.source, longest) for image in images]

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._pixels[index], self._targets[index]

    @property
    def target_lengths(self) -> list[int]:
        """How many tokens each caption has."""
        return [len(target) for target in self._targets]


class CaptionData(TaskData):
    """What a writer of captions learns from.

    Raises:
        DataError: an image that cannot be read, has no caption or too long a one, or is not as large as the first.
        ReformerError: a tokenizer without an end token.
    """

    def __init__(self, task: ImageTask, recipe: Recipe, start: PretrainedStart | None = None) -> None:
        self._parts = task.parts(recipe)
        self.processor = self._tokenizer = make_tokenizer(
            recipe.tokenizer, (_caption(image) for image in self._parts["train"]), start
        )
        self._targets = Targets(self._tokenizer, recipe.tokenizer.kind)
        self.config = make_config(
            recipe,
            self._tokenizer,
            start,
            **task.model_fields,
            **image_fields(self._parts["train"]),
            **self._targets.fields,
        )
        check_squares(self.config, recipe.data.train)
        longest = self.config.max_position_embeddings
        sets = {name: CaptionedImages(images, self._targets, longest) for name, images in self._parts.items()}
        self.train, self.validation = sets["train"], sets["validation"]

    def lengths(self, dataset: Dataset[Any]) -> list[int]:
        assert isinstance(dataset, CaptionedImages)
        return [tokens_of(self.config) + length for length in dataset.target_lengths]

    def collate(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        pixels, targets = zip(*examples, strict=True)
        return {"pixel_values": stack(pixels), "labels": self._targets.stack(targets)}

    def new_metric(self) -> CharacterMetric:
        return CharacterMetric()

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        labels, pixels = batch["labels"], batch["pixel_values"]
        # Counted as one item, the loss is the sum over all labels.
        loss = model(**batch, num_items_in_batch=1, return_logits=False).loss
        # Several processes each write on their own, without the wrapper that shares gradients.
        alone = getattr(model, "module", model)
        score.update(_write(alone, self._tokenizer, pixels), self._targets.texts(labels))
        return float(loss), int((labels != IGNORED).sum())

    def test_metrics(self, run: "Run[ImageToText]") -> dict[str, float] | None:
        return evaluate_captions(run, self._parts["test"]) if self._parts["test"] else None

    def describe(self) -> Iterator[str]:
        return sizes(self._parts, self.config)


def caption_images(
    run: "Run[ImageToText]", images: Iterable[Image], on_error: OnError = raise_error, *, beams: int = 1
) -> Iterator[tuple[Image, str]]:
    """Each image with what the model writes for it, in the images' order, a bounded number at a time.

    One of another size than the model's goes to `on_error`, and the next one is read; without it, it is raised.
    """
    for held, pixels in batches(run, images, on_error):
        with torch.inference_mode():
            texts = _write(run.model, run.tokenizer, pixels, beams)
        yield from zip(held, texts, strict=True)


def evaluate_captions(run: "Run[ImageToText]", images: Iterable[Image], beams: int = 1) -> dict[str, float]:
    """Score what the model writes for images whose captions are known: `exact_match`, `chrf`, `bleu`, how many `pairs`.

    Raises:
        DataError: an image without a caption, or of another size than the model's.
    """
    found = [(text, _caption(image)) for image, text in caption_images(run, images, beams=beams)]
    return text_scores([text for text, _ in found], [caption for _, caption in found])


def _write(model: Any, tokenizer: Any, pixels: Tensor, beams: int = 1) -> list[str]:
    lengths = torch.full((len(pixels),), tokens_of(model.config))
    return generate_texts(model, tokenizer, {"pixel_values": pixels}, lengths, beams=beams)


def _caption(image: Image) -> str:
    return wanted(image.label, image.source or image.id, "image", "caption")
