"""In bfloat16 a layer that hashes is as near to float32 as one that does not: what is hashed is not rounded before."""

from dataclasses import replace

import pytest
import torch

from benchmarks.hash_precision import CASES, deviation, rounded_hashes
from reformer.nn import Attention, AttentionOptions, CrossAttention, Source, Tokens
from reformer.nn.float32 import in_float32
from reformer.nn.replay import Replay
from tests.contract.models import HEADS, outputs, random_ids


@pytest.mark.parametrize("case", CASES)
def test_a_layer_deviates_by_rounding_alone(case):
    assert deviation(*CASES[case], length=200) < 0.01


def test_without_float32_projections_a_hashed_layer_deviates_more():
    with rounded_hashes():
        assert deviation("lsh", True, length=200) > 0.03


@pytest.mark.parametrize("variant", ["projected", "global", "post-norm", "grouped"])
def test_every_kind_of_projection_is_hashed_in_float32(variant):
    """Filters, norms, biases, centred keys and shared keys, against the same weights in float32."""
    torch.manual_seed(1)
    model = HEADS["token-classification"].build(variant).bfloat16()
    layers = [module for module in model.modules() if isinstance(module, Attention) and module.hashed]
    hidden = torch.randn(1, 90, 32).bfloat16()
    tokens = model.reformer.tokens(None, hidden)
    for layer in layers:
        found, expected = Replay(), Replay()
        layer(hidden, tokens, found)
        layer.float()(hidden.float(), tokens, expected)
        assert torch.equal(found._kept["buckets"], expected._kept["buckets"])


@pytest.mark.parametrize("variant", ["lsh", "separate", "projected"])
def test_a_stream_in_bfloat16_hashes_as_the_whole_text(variant):
    # One layer, whose hidden states are the same in both: a second one would hash what the first has rounded otherwise,
    # and then some token falls into another bucket on one processor and not on the next.
    model, ids = HEADS["causal-lm"].build(variant, attention_layers=["lsh"]).bfloat16(), random_ids(1, 60)
    stream = model.stream()
    parts = torch.cat([stream(ids[:, :23]).logits, stream(ids[:, 23:24]).logits, stream(ids[:, 24:]).logits], 1)
    whole = outputs(model, ids)
    assert ((parts - whole).norm() / whole.norm()) < 0.01


def test_cross_attention_hashes_in_float32():
    torch.manual_seed(2)
    layer = CrossAttention("lsh", 32, 48, 2, 16, AttentionOptions(buckets=[2, 4], rounds=2)).eval().bfloat16()
    mask = torch.ones(1, 70, dtype=torch.bool)
    hidden, source = torch.randn(1, 70, 32).bfloat16(), torch.randn(1, 70, 48).bfloat16()
    found, expected = Replay(), Replay()
    tokens = replace(Tokens.of(mask, False), source=Source(source, Tokens.of(mask, False)))
    layer(hidden, tokens, found)
    layer.float()(hidden.float(), tokens.seeing(source.float()), expected)
    assert torch.equal(found._kept["buckets"], expected._kept["buckets"])


def test_a_float32_module_is_run_as_it_is():
    layer, hidden = torch.nn.Linear(4, 3).double(), torch.randn(2, 4).double()
    assert torch.equal(in_float32(layer, hidden), layer(hidden))
    assert in_float32(layer.bfloat16(), hidden.bfloat16()).dtype == torch.float32
