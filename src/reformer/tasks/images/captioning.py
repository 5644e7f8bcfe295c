"""Captioning task: a text for an image."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.utils.data import Dataset

from reformer.baselines.nearest import nearest_images
from reformer.data import IGNORED, Image
from reformer.data.batching.read_ahead import in_order
from reformer.data.errors import OnError, raise_error
from reformer.metrics.texts import CharacterMetric, text_scores
from reformer.models import ReformerForImageToText
from reformer.tasks.base import Baseline, Run, TaskData, outputs_with_summed_loss
from reformer.tasks.generation import generate_texts
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
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predictions import Prediction, prediction
from reformer.tasks.targets import Targets, require_target
from reformer.wording import counted


class ImageToText(ImageTask):
    """Image-to-text task: an encoder-decoder with chrF as its metric."""

    head = ReformerForImageToText
    best_metric = "chrf"
    generates = True
    model_options = frozenset({"lm_transform"})
    predict_options = frozenset({"label_column", "keep_columns", "split", "beams"})
    model_fields: ClassVar[Mapping[str, Any]] = {"is_encoder_decoder": True}
    source = "index:digit-captions"
    column = "caption"
    captions = True

    def load_data(self, recipe: ImageRecipe, start: PretrainedStart | None = None) -> "CaptionData":
        return CaptionData(self, recipe, start)

    def answering(self, run: "Run[ImageToText]", options: PredictOptions) -> Callable[[list[ImageSequence]], list[str]]:
        return _captioning(run, options.beams or 1)

    def predictions(
        self, run: "Run[ImageToText]", sequence: ImageSequence, answer: str, options: PredictOptions
    ) -> Iterator[Prediction]:
        yield prediction(sequence.record, caption=answer)

    def evaluate(
        self, run: "Run[ImageToText]", sources: Sequence[str], options: PredictOptions
    ) -> dict[str, int | float]:
        return evaluate_captions(run, self.labelled(run, sources, options), beams=options.beams or 1)


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
        """The number of tokens of each caption."""
        return [len(target) for target in self._targets]


class CaptionData(TaskData[CaptionedImages]):
    """Images with captions.

    Raises:
        DataError: an image that cannot be read, has no caption or too long a one, or is not as large as the first.
        ReformerError: a tokenizer without an end token.
    """

    def __init__(self, task: ImageTask, recipe: ImageRecipe, start: PretrainedStart | None = None) -> None:
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
        check_patches(self.config, recipe.data.train)
        longest = self.config.max_position_embeddings
        sets = {name: CaptionedImages(images, self._targets, longest) for name, images in self._parts.items()}
        self.train, self.validation = sets["train"], sets["validation"]

    def lengths(self, dataset: CaptionedImages) -> list[int]:
        return [patches_of(self.config) + length for length in dataset.target_lengths]

    def collate(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        pixels, targets = zip(*examples, strict=True)
        return {"pixel_values": stack(pixels), "labels": self._targets.stack(targets)}

    def new_metric(self) -> CharacterMetric:
        return CharacterMetric()

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        labels, pixels = batch["labels"], batch["pixel_values"]
        loss = outputs_with_summed_loss(model, batch, return_logits=False).loss
        # On several processes the model is in a wrapper that shares gradients and cannot generate.
        alone = getattr(model, "module", model)
        metric.update(_generate(alone, self._tokenizer, pixels), self._targets.texts(labels))
        return float(loss), int((labels != IGNORED).sum())

    def test_metrics(self, run: Run[ImageToText]) -> dict[str, int | float] | None:
        return evaluate_captions(run, self._parts["test"]) if self._parts["test"] else None

    def baseline(self) -> Baseline:
        train = evenly_spread(self._parts["train"], MAX_IMAGES)
        known = pixel_rows(train)

        def scores(images: Sequence[Image]) -> dict[str, float]:
            captions = [_caption(train[number]) for number in nearest_images(known, pixel_rows(images))]
            return text_scores(captions, [_caption(image) for image in images])

        fewer = len(train) < len(self._parts["train"])
        return Baseline(
            method="the caption of the nearest training image, by pixels",
            validation=scores(self._parts["validation"]),
            test=scores(self._parts["test"]) if self._parts["test"] else None,
            note=f"compared with {len(train):,} of {counted(len(self._parts['train']), 'image')}" if fewer else None,
        )

    def describe(self) -> Iterator[str]:
        return describe_images(self._parts, self.config)


def caption_images(
    run: Run[ImageToText], images: Iterable[Image], on_error: OnError = raise_error, *, beams: int = 1
) -> Iterator[tuple[Image, str]]:
    """Each image with the caption that the model generates, in the images' order, a bounded number at a time.

    One of another size than the model's goes to `on_error`, and the next one is read; without it, it is raised.
    """
    sequences, captioning = image_sequences(run, images), _captioning(run, beams)
    for sequence, text in in_order(sequences, captioning, batch_tokens=TOKENS_AT_A_TIME, on_error=on_error):
        yield sequence.record, text


def _captioning(run: Run[Any], beams: int) -> Callable[[list[ImageSequence]], list[str]]:
    def answer_batch(batch: list[ImageSequence]) -> list[str]:
        with torch.inference_mode():
            return _generate(run.model, run.tokenizer, pixels_of(run, batch), beams)

    return answer_batch


def evaluate_captions(run: Run[ImageToText], images: Iterable[Image], beams: int = 1) -> dict[str, int | float]:
    """The metrics of generated captions: `exact_match`, `chrf`, `bleu`, and the number of `pairs`.

    Raises:
        DataError: an image without a caption, or of another size than the model's.
    """
    pairs = [(text, _caption(image)) for image, text in caption_images(run, images, beams=beams)]
    return text_scores([text for text, _ in pairs], [caption for _, caption in pairs])


def _generate(
    model: Any, tokenizer: Any, pixels: Shaped[Tensor, "batch channels height width"], beams: int = 1
) -> list[str]:
    lengths = torch.full((len(pixels),), patches_of(model.config))
    return generate_texts(model, tokenizer, {"pixel_values": pixels}, lengths, beams=beams)


def _caption(image: Image) -> str:
    return require_target(image.label, image.source or image.id, "image", "caption")
