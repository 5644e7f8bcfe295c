"""The classifier of images: pixels, or squares of them, as a sequence."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from reformer.models.configuration import ReformerConfig
from reformer.models.heads import ReformerForSequenceClassification


class ReformerForImageClassification(ReformerForSequenceClassification):
    """One label for an image, whose squares of `patch_size` pixels a side are read row by row, as one sequence.

    With `patch_size=1` every pixel is a token. Where a token stands is told by the configuration's positions; axial
    ones with `axial_pos_shape=[rows, columns]` know both directions.

    Raises:
        ValueError: a configuration with a vocabulary.
    """

    main_input_name = "pixel_values"

    def __init__(self, config: ReformerConfig) -> None:
        if config.vocab_size:
            raise ValueError(f"vocab_size={config.vocab_size}: images have no tokens of a vocabulary; set it to 0")
        super().__init__(config)
        self.embed = nn.Linear(config.num_channels * config.patch_size**2, config.embedding_width)
        self.post_init()

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Logits `[batch, num_labels]`; with `labels` the loss too. Pixels are numbers from 0 to 1.

        Raises:
            ValueError: pixels of another shape, or sides that are no multiple of `patch_size`.
        """
        size, channels = self.config.patch_size, self.config.num_channels
        shape = tuple(pixel_values.shape)
        if len(shape) != 4 or shape[1] != channels or shape[2] % size or shape[3] % size:
            raise ValueError(
                f"pixel_values have shape {shape}, expected [batch, num_channels={channels}, height, width] with sides "
                f"that are multiples of patch_size={size}"
            )
        # [batch, channels, rows, y, columns, x] -> [batch, rows, columns, channels, y, x]
        squares = pixel_values.unflatten(3, (-1, size)).unflatten(2, (-1, size)).permute(0, 2, 4, 1, 3, 5)
        vectors = self.embed(squares.flatten(3).flatten(1, 2).to(self.embed.weight.dtype))
        return super().forward(
            inputs_embeds=vectors,
            labels=labels,
            num_items_in_batch=num_items_in_batch,
            num_rounds=num_rounds,
            return_dict=return_dict,
        )
