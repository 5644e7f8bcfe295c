"""Heads for images, read as sequences of patches: the classifier, and image to text."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput, SequenceClassifierOutput

from reformer.models.cache import ReformerCache
from reformer.models.configuration import ReformerConfig
from reformer.models.heads.classification import ReformerForSequenceClassification
from reformer.models.heads.encoder_decoder import ReformerForConditionalGeneration
from reformer.nn.channels import Channels, StreamChannels

PATCH_CHANNELS: StreamChannels = {"embed.weight": {0: Channels.EACH}, "embed.bias": {0: Channels.EACH}}


def squares(
    pixel_values: Float[Tensor, "batch channels height width"], config: ReformerConfig
) -> Float[Tensor, "batch length pixels"]:
    """Squares of `patch_size` pixels a side, row by row, each with the numbers of all its pixels.

    Raises:
        ValueError: pixels of another shape, or sides that are no multiple of `patch_size`.
    """
    size, channels = config.patch_size, config.num_channels
    shape = tuple(pixel_values.shape)
    if len(shape) != 4 or shape[1] != channels or shape[2] % size or shape[3] % size:
        raise ValueError(
            f"pixel_values have shape {shape}, expected [batch, num_channels={channels}, height, width] with sides "
            f"that are multiples of patch_size={size}"
        )
    # [batch, channels, rows, y, columns, x] -> [batch, rows, columns, channels, y, x]
    found = pixel_values.unflatten(3, (-1, size)).unflatten(2, (-1, size)).permute(0, 2, 4, 1, 3, 5)
    return found.flatten(3).flatten(1, 2)


def square_embedding(config: ReformerConfig) -> nn.Linear:
    """Linear map from such squares to vectors as wide as embeddings."""
    return nn.Linear(config.num_channels * config.patch_size**2, config.embedding_width)


class ReformerForImageClassification(ReformerForSequenceClassification):
    """Image classifier, which reads squares of `patch_size` pixels a side row by row, as one sequence.

    With `patch_size=1` every pixel is a token. Where a token stands is told by the configuration's positions; axial
    ones with `axial_pos_shape=[rows, columns]` know both directions.

    Raises:
        ValueError: a configuration with a vocabulary.
    """

    main_input_name = "pixel_values"
    reads = ("embed",)

    embedding_channels: ClassVar[StreamChannels] = PATCH_CHANNELS

    __call__: Callable[..., SequenceClassifierOutput]

    def why_whole(self) -> str | None:
        return f"{type(self).__name__}: images are not divided between processes"

    def __init__(self, config: ReformerConfig) -> None:
        if config.vocab_size:
            raise ValueError(f"vocab_size={config.vocab_size}: images have no tokens of a vocabulary; set it to 0")
        super().__init__(config)
        self.embed = square_embedding(config)
        self.post_init()

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Logits `[batch, num_labels]`; with `labels` the loss too. Pixels are numbers from 0 to 1.

        Raises:
            ValueError: pixels of another shape, or sides that are no multiple of `patch_size`.
        """
        return super().forward(
            inputs_embeds=self.embed(squares(pixel_values, self.config).to(self.embed.weight.dtype)),
            labels=labels,
            num_items_in_batch=num_items_in_batch,
            num_rounds=num_rounds,
            return_dict=return_dict,
            **kwargs,
        )


class ReformerForImageToText(ReformerForConditionalGeneration):
    """Image to text: an encoder of squares, as in `ReformerForImageClassification`, and a decoder that writes.

    Positions are of one kind in both; axial ones have a table each, of the same sides.

    Raises:
        ValueError: a configuration with groups of tokens, which pixels have not.
    """

    main_input_name = "pixel_values"
    reads = ("embed",)

    embedding_channels: ClassVar[StreamChannels] = {
        **ReformerForConditionalGeneration.embedding_channels,
        **PATCH_CHANNELS,
    }

    __call__: Callable[..., Seq2SeqLMOutput]

    def __init__(self, config: ReformerConfig) -> None:
        if config.ngram_sizes:
            raise ValueError(f"ngram_sizes={list(config.ngram_sizes)}: pixels make no groups of tokens; leave it out")
        super().__init__(config)
        self.embed = square_embedding(config)
        self.post_init()

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"] | None = None,
        encoder_outputs: BaseModelOutput | tuple[Tensor, ...] | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        past_key_values: ReformerCache | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        """As `ReformerForConditionalGeneration`, with all that it takes, of pixels in place of the source's tokens.
        They are numbers from 0 to 1.

        Raises:
            ValueError: neither pixels nor the encoder's output for them, or pixels of another shape.
        """
        if pixel_values is None and encoder_outputs is None:
            raise ValueError("no pixel_values: give the images, or encoder_outputs")
        return super().forward(
            inputs_embeds=None if encoder_outputs is not None else self._vectors(pixel_values),
            attention_mask=attention_mask,
            encoder_outputs=encoder_outputs,
            decoder_input_ids=decoder_input_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **kwargs,
        )

    def generate(self, pixel_values: Float[Tensor, "batch channels height width"], **kwargs: Any) -> Any:
        """Generate a text for each image; every other argument is that of transformers' `generate`."""
        # Type checkers see any module in `self.reformer`, and transformers types the `self` of `generate` as no model.
        reformer: Any = self.reformer
        writer: Any = super()
        wanted = kwargs.get("output_hidden_states")
        if wanted is None:
            wanted = (kwargs.get("generation_config") or self.generation_config).output_hidden_states
        with torch.no_grad():
            read = reformer.read(
                inputs_embeds=self._vectors(pixel_values),
                num_rounds=kwargs.get("num_rounds"),
                output_hidden_states=wanted,
            )
        return writer.generate(encoder_outputs=read, **kwargs)

    def _vectors(self, pixel_values: Any) -> Float[Tensor, "batch length width"]:
        return self.embed(squares(pixel_values, self.config).to(self.embed.weight.dtype))
