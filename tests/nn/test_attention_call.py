"""The call of an attention is what the layer computes, whatever it is made of."""

import pytest
import torch

from reformer.nn import Attention, AttentionOptions, Replay, Tokens
from reformer.nn.attention_call import attention_call, local_only
from reformer.nn.positions import rotary_waves
from reformer.nn.time_bias import time_waves
from reformer.ops.window_attention import reference

LAYERS = [
    ("lsh", {"shared": True}, {}),
    ("lsh", {"shared": False}, {"causal": True}),
    ("local+lsh", {"shared": True}, {"causal": True}),
    ("local+lsh", {"shared": False, "hashed_scores": "dot"}, {"key_value_heads": 2}),
    ("lsh", {"shared": True, "global_tokens": 1}, {}),
    ("local+lsh", {"shared": False, "score_transform": "polynomial", "score_order": 2, "gated": True}, {}),
    ("lsh", {"shared": True, "time_heads": (0, 1, 2, 3), "query_key_norm": True}, {}),
]


def layer_and_input(kind: str, options: dict, own: dict) -> tuple[Attention, torch.Tensor, Tokens]:
    """A layer whose learned parts are not where they begin, and an input with padding."""
    torch.manual_seed(0)
    made = AttentionOptions(local_window=3, lsh_window=4, buckets=4, rounds=2, **options)
    attention = Attention(kind, 16, 4, 8, made, **own).eval()
    for name, parameter in attention.named_parameters():
        if "coefficients" in name or "amplitude" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    mask = torch.ones(2, 23, dtype=torch.bool)
    mask[1, :4] = mask[1, 20:] = False
    tokens = Tokens.of(mask)
    waves = rotary_waves(tokens.positions, 8, 10000.0)
    if options.get("global_tokens"):
        tokens = tokens.with_global([0], attention.causal)
    time = time_waves(tokens.positions, [0.5] * 4, 32) if "time_heads" in options else None
    tokens = Tokens(**(vars(tokens) | {"rotary": {kind: waves}, "time": time}))
    return attention, torch.randn(2, 23, 16), tokens


@pytest.mark.parametrize(("kind", "options", "own"), LAYERS)
def test_the_definition_of_the_call_is_the_layers_output(kind, options, own):
    attention, hidden, tokens = layer_and_input(kind, options, own)
    call = attention_call(attention, hidden, tokens)
    attended = reference.attend(
        *(call.query, call.key, call.value, call.query_slots, call.key_slots),
        windows=call.windows,
        causal=call.causal,
        attend_self=call.attend_self,
        deduplicate=True,
        scale=call.scale,
        transform=call.transform,
    )
    expected = attention(hidden, tokens, Replay())
    found = attention.merge(attended[..., : attention.head_dim], call.gate)
    torch.testing.assert_close(found[tokens.mask], expected[tokens.mask], rtol=1e-4, atol=1e-5)
    assert call.rounds == 2
    assert call.by_position == ("local" in kind) + options.get("global_tokens", 0)


@pytest.mark.parametrize(("kind", "options", "own"), LAYERS)
def test_a_further_round_leaves_the_others_as_they_are(kind, options, own):
    attention, hidden, tokens = layer_and_input(kind, options, own)
    call, more = attention_call(attention, hidden, tokens), attention_call(attention, hidden, tokens, rounds=3)
    assert more.rounds == 3
    assert torch.equal(more.query_slots[:, :, :-1], call.query_slots)
    assert torch.equal(more.key_slots[:, :, :-1], call.key_slots)
    assert torch.equal(more.key_buckets[:, :, :-1], call.key_buckets)
    assert more.windows == (*call.windows, 4)


def test_what_is_local_only_is_a_local_layer():
    attention, hidden, tokens = layer_and_input("lsh", {"shared": True}, {})
    call = local_only(attention_call(attention, hidden, tokens), 5)
    assert call.windows == (5,)
    assert call.rounds == 0
    assert torch.equal(call.query_slots[:, :1], tokens.slots)
    attention, hidden, tokens = layer_and_input("local+lsh", {"shared": True}, {})
    call = local_only(attention_call(attention, hidden, tokens), 5)
    assert call.windows == (3,)
    assert torch.equal(call.query_slots[:, :1], tokens.slots)


def test_other_layers_are_refused():
    tokens = Tokens.of(torch.ones(1, 4, dtype=torch.bool))
    local = Attention("local", 16, 2, 8, AttentionOptions(local_window=3)).eval()
    with pytest.raises(ValueError, match="of kind 'local'"):
        attention_call(local, torch.randn(1, 4, 16), tokens)
    hashed = Attention("lsh", 16, 2, 8, AttentionOptions(lsh_window=3, buckets=4, rounds=1))
    with pytest.raises(ValueError, match="in training"):
        attention_call(hashed, torch.randn(1, 4, 16), tokens)
