"""Options that have no effect unless another is on: refused when given, left out where a checkpoint has them."""

import json
import re

import pytest

from reformer.models import ReformerConfig
from reformer.models.configuration.idle_options import dependences
from tests.contract.models import HEADS, SMALL

IDLE = {
    "ngram_rows": 97,
    "ngram_width": 8,
    "ngram_dropout": 0.1,
    "ngram_min_frequency": 2,
    "score_polynomial_order": 2,
    "time_bias_steps": [1, 2],
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
    "rotary_scaling": {"rope_type": "linear", "factor": 2.0},
    "partial_rotary_factor": 0.5,
    "global_tokens": [0, 1],
    "recompute": True,
    "wide_reads": "characters",
    "wide_rows": 97,
    "wide_dropout": 0.1,
    "decoder_attention_layers": ["local"],
    "cross_attention_layers": ["full"],
    "decoder_shortened_layers": [0, 1],
    "decoder_start_token_id": 1,
}
NOTHING = {**SMALL, "attention_layers": ["full"], "position_embedding_type": "none"}


def test_every_option_that_needs_another_is_tried():
    assert IDLE.keys() == {name for dependence in dependences() for name in dependence.options}


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
