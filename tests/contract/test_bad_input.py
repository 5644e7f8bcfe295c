"""Bad input to a model is an error that says what was given and what was expected."""

import json
import re

import pytest
import torch

from reformer.models import ReformerConfig, ReformerForCausalLM, ReformerForMaskedLM
from reformer.models.configuration.idle_options import DEPENDENCES
from tests.contract.models import AXIAL, HEADS, SMALL, random_ids


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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"attention_layers": ["local", "nearby"]},
            "has 'nearby'; expected 'full', 'local', 'lsh', 'local\\+lsh', 'fourier'",
        ),
        ({"attention_layers": []}, "at least one layer"),
        ({"num_buckets": 7}, "buckets=7: expected an even number"),
        ({"num_buckets": [4, 3]}, "3 is not"),
        ({"num_buckets": 2 * 1009}, "cannot be split into even factors"),
        ({"num_rounds": 0}, "num_rounds=0: expected at least 1"),
        ({"local_window": 0}, "local_window=0"),
        ({"attention_head_size": 15}, "rotary positions need an even width"),
        ({**AXIAL, "axial_pos_shape": [4, 4]}, "holds 16 positions"),
        ({**AXIAL, "axial_pos_embds_dim": [12, 12]}, "adds up to 24"),
        ({**AXIAL, "axial_pos_shape": None}, "need both"),
        ({"hidden_dropout_prob": 1.0}, "expected a probability"),
        ({"convolution_kernel": 4}, "an odd width"),
        ({"projection_kernel": 2}, "projection_kernel=2: expected 0"),
        ({"bottleneck_size": -1}, "bottleneck_size=-1"),
        ({"embedding_size": 0}, "embedding_size=0: expected at least 1"),
        (
            {"attention_layers": [["local", "local", "fourier", "lsh"]]},
            "has 'fourier'; expected 'full', 'local', 'lsh'",
        ),
        ({"attention_layers": ["fourier"], "fourier_kernel": 0}, "fourier_kernel=0"),
        (
            {"feed_forward_linear": "circulant", "circulant_block": 5},
            "circulant_block=5 does not divide hidden_size=32",
        ),
        ({"shortened_layers": [3]}, r"shortened_layers=\[3\]: expected the first layer"),
        ({"shortened_layers": [2, 7]}, "within 0 and 6"),
        ({"shortened_layers": [1, 3], "shorten_stride": 1}, "shortens nothing"),
        ({"shortened_layers": [1, 3], "shorten_stride": 6}, "shorten_stride=6 with fusion_kernel=5 would skip"),
        ({"shortened_layers": [1, 3], "residual_streams": 1, "reversible": False}, "no hourglass of one stream"),
        ({"classifier_pooling": "fusion", "fusion_stride": 6}, "fusion_stride=6 with fusion_kernel=5 would skip"),
        ({"classifier_pooling": "fusion", "fusion_ranges": [1]}, "ranges of at least 2 steps"),
        ({"classifier_pooling": "fusion", "fusion_size": 0}, "fusion_size=0: expected at least 1"),
        ({"residual_streams": 1}, "an input can be found again only from two streams"),
        ({"residual_streams": 3}, "residual_streams=3: expected 2, or 1"),
        ({"num_distinct_layers": 0}, "num_distinct_layers=0: expected 1 to 6"),
        ({"num_distinct_layers": 7}, "num_distinct_layers=7: expected 1 to 6"),
        (
            {"num_distinct_layers": 3},
            "in attention_layers, layer 3 is 'lsh' and layer 0, whose weights it would use, 'local'; .* every 3",
        ),
        ({"chunk_size_feed_forward": -1}, "chunk_size_feed_forward=-1"),
    ],
)
def test_bad_configurations(fields, message):
    with pytest.raises(ValueError, match=message):
        ReformerConfig(**{**SMALL, **fields})


IDLE = {
    "ngram_rows": 97,
    "ngram_width": 8,
    "ngram_dropout": 0.1,
    "ngram_min_frequency": 2,
    "score_polynomial_order": 2,
    "time_steps": [1, 2],
    "fourier_kernel": 9,
    "circulant_block": 4,
    "bottleneck_act": "relu",
    "fusion_kernel": 3,
    "fusion_ranges": [2],
    "fusion_size": 24,
    "fusion_stride": 2,
    "shorten_stride": 3,
    "axial_pos_shape": [16, 16],
    "axial_pos_embds_dim": [12, 20],
    "rope_theta": 500.0,
    "decoder_attention_layers": ["local"],
    "cross_attention_layers": ["full"],
    "decoder_shortened_layers": [0, 1],
    "decoder_start_token_id": 1,
}
NOTHING = {**SMALL, "position_embedding_type": "none"}


def test_every_option_that_needs_another_is_tried():
    assert IDLE.keys() == {name for dependence in DEPENDENCES for name in dependence.options}


@pytest.mark.parametrize(("name", "value"), IDLE.items(), ids=IDLE)
def test_an_option_without_effect_is_refused_but_in_an_old_checkpoint(name, value, tmp_path):
    told = rf"{name}={re.escape(repr(value))} has no effect without .*; give that too, or leave {name} out"
    with pytest.raises(ValueError, match=told):
        ReformerConfig(**NOTHING, **{name: value})
    config = ReformerConfig(**NOTHING)
    HEADS["token-classification"].model(config).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(written | {name: value}))
    loaded = HEADS["token-classification"].model.from_pretrained(tmp_path)
    assert getattr(loaded.config, name) == getattr(config, name)
    with pytest.raises(ValueError, match=told):
        HEADS["token-classification"].model.from_pretrained(tmp_path, **{name: value})


@pytest.mark.parametrize("fields", [{"hidden_act": "tanh"}, {"hidden_size": "wide"}, {"position_embedding_type": "x"}])
def test_configurations_of_the_wrong_type(fields):
    with pytest.raises(Exception, match=next(iter(fields))):
        ReformerConfig(**{**SMALL, **fields})


def test_heads_that_need_another_direction():
    with pytest.raises(ValueError, match="is_decoder=False"):
        ReformerForCausalLM(ReformerConfig(**SMALL))
    with pytest.raises(ValueError, match="is_decoder=True"):
        ReformerForMaskedLM(ReformerConfig(**SMALL, is_decoder=True))
