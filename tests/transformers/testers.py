"""Small models of every head, with inputs for them, as the tests of transformers ask for them."""

from typing import Any

import torch
from torch import Tensor

from reformer.models import ReformerConfig

VOCABULARY, LABELS = 99, 3

FIELDS: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "attention_head_size": 16,
    "feed_forward_size": 37,
    "attention_layers": ["full", "local+lsh"],
    "local_window": 4,
    "lsh_window": 4,
    "num_buckets": 4,
    "num_rounds": 2,
    "max_position_embeddings": 512,
    "hidden_dropout_prob": 0.1,
    "num_labels": LABELS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


class TextTester:
    """A model of texts.

    Args:
        parent: the test case.
        fields: of its configuration, beside `FIELDS`.
    """

    is_training = True
    batch_size = 5
    seq_length = 7
    vocab_size = VOCABULARY
    hidden_size = FIELDS["hidden_size"]
    num_attention_heads = FIELDS["num_attention_heads"]
    num_hidden_layers = len(FIELDS["attention_layers"])
    num_labels = LABELS

    def __init__(self, parent: Any, **fields: Any) -> None:
        self.parent, self.fields = parent, fields
        # The width of what comes out of a layer, which is how transformers' tests see that word.
        self.hidden_size = self.get_config().output_size

    def get_config(self) -> ReformerConfig:
        return ReformerConfig(**FIELDS | self.fields)

    def ids(self, length: int) -> Tensor:
        return torch.randint(3, self.vocab_size, (self.batch_size, length))

    def prepare_config_and_inputs_for_common(self) -> tuple[ReformerConfig, dict[str, Tensor]]:
        ids = self.ids(self.seq_length)
        return self.get_config(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


class EncoderDecoderTester(TextTester):
    """A model that reads one text and writes another."""

    encoder_seq_length = decoder_seq_length = TextTester.seq_length

    def prepare_config_and_inputs_for_common(self) -> tuple[ReformerConfig, dict[str, Tensor]]:
        config, inputs = super().prepare_config_and_inputs_for_common()
        target = self.ids(self.decoder_seq_length)
        return config, inputs | {"decoder_input_ids": target, "decoder_attention_mask": torch.ones_like(target)}


class ImageTester(TextTester):
    """A model of images."""

    image_size, num_channels, patch_size = 8, 3, 2
    seq_length = encoder_seq_length = (image_size // patch_size) ** 2

    def __init__(self, parent: Any, **fields: Any) -> None:
        image = {"num_channels": self.num_channels, "patch_size": self.patch_size}
        super().__init__(parent, **image | {"image_size": [self.image_size, self.image_size]} | fields)

    def prepare_config_and_inputs_for_common(self) -> tuple[ReformerConfig, dict[str, Tensor]]:
        pixels = torch.rand(self.batch_size, self.num_channels, self.image_size, self.image_size)
        return self.get_config(), {"pixel_values": pixels}


class CaptionTester(ImageTester):
    """A model that reads images and writes texts."""

    decoder_seq_length = 6

    def prepare_config_and_inputs_for_common(self) -> tuple[ReformerConfig, dict[str, Tensor]]:
        config, inputs = super().prepare_config_and_inputs_for_common()
        target = self.ids(self.decoder_seq_length)
        return config, inputs | {"decoder_input_ids": target, "decoder_attention_mask": torch.ones_like(target)}


class SeriesTester(TextTester):
    """A model of series."""

    length, channels = 24, 2

    def prepare_config_and_inputs_for_common(self) -> tuple[ReformerConfig, dict[str, Tensor]]:
        return self.get_config(), {"values": torch.randn(self.batch_size, self.length, self.channels)}
