"""Bad input to a model is an error that says what was given and what was expected."""

import pytest
import torch

from reformer.models import ReformerConfig, ReformerForCausalLM, ReformerForMaskedLM
from tests.contract.models import HEADS, SMALL, random_ids


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "either input_ids or inputs_embeds"),
        ({"input_ids": random_ids(1, 3), "inputs_embeds": torch.zeros(1, 3, 32)}, "and not both"),
        ({"input_ids": torch.tensor([[1, 41]])}, "holds 41, outside the vocabulary of 41"),
        ({"input_ids": torch.tensor([[-1, 4]])}, "holds -1"),
        ({"input_ids": torch.tensor([1, 4])}, r"shape \(2,\), expected \[batch, length\]"),
        ({"inputs_embeds": torch.zeros(1, 3, 31)}, "hidden_size=32"),
        ({"input_ids": random_ids(1, 3), "attention_mask": torch.ones(1, 4)}, r"attention_mask has shape \(1, 4\)"),
        ({"input_ids": random_ids(1, 3), "labels": torch.zeros(1, 4).long()}, r"labels have shape \(1, 4\)"),
    ],
)
def test_bad_inputs(inputs, message):
    with pytest.raises(ValueError, match=message):
        HEADS["token-classification"].build()(**inputs)


def test_heads_that_need_another_direction():
    with pytest.raises(ValueError, match="is_decoder=False"):
        ReformerForCausalLM(ReformerConfig(**SMALL))
    with pytest.raises(ValueError, match="is_decoder=True"):
        ReformerForMaskedLM(ReformerConfig(**SMALL, is_decoder=True))
