"""Heads of several kinds in one layer, and heads that share keys and values."""

import pytest
import torch

from reformer.nn import Attention, AttentionOptions, MixedAttention, Replay, Tokens


def _attention(kind, heads=4, local_window=64, **shape):
    options = AttentionOptions(local_window=local_window, lsh_window=5, buckets=4, rounds=2, shared=False)
    layer = Attention(kind, 24, heads, 8, options, **shape).eval().double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.5)
    return layer


def _input():
    mask = torch.ones(2, 19, dtype=torch.bool)
    mask[1, 12:] = False
    return torch.randn(2, 19, 24, dtype=torch.float64), Tokens.of(mask)


@pytest.mark.parametrize("causal", [False, True])
def test_groups_together_are_one_attention_of_all_their_heads(causal):
    # A window over everything is full attention, so a layer of both kinds has to equal one of full heads alone.
    groups = [_attention("local", 1, local_window=19, causal=causal), _attention("full", 3, causal=causal)]
    together = _attention("full", causal=causal)
    weights = {
        name: torch.cat([group.get_parameter(name) for group in groups], int(name == "output.weight"))
        for name in ("query.weight", "key.weight", "value.weight", "output.weight")
    }
    together.load_state_dict(weights)
    mixed, given = MixedAttention(groups), _input()
    assert (mixed(*given, Replay()) - together(*given, Replay())).abs().max() < 1e-12


def test_groups_keep_their_buckets_apart():
    mixed, replay = MixedAttention([_attention("lsh"), _attention("lsh")]).train(), Replay()
    hidden, tokens = _input()
    first = mixed(hidden, tokens, replay)
    assert torch.equal(mixed(hidden, tokens, replay.rewind()), first)
    assert not torch.equal(mixed.groups[0](hidden, tokens, replay.part("0")), mixed.groups[0](hidden, tokens, Replay()))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["full", "local", "lsh", "local+lsh"])
@pytest.mark.parametrize("key_heads", [1, 2])
def test_shared_keys_are_those_of_one_head_given_to_each(kind, causal, key_heads):
    grouped, plain = _attention(kind, causal=causal, key_value_heads=key_heads), _attention(kind, causal=causal)
    state = grouped.state_dict()
    for name, tensor in state.items():
        if name in ("key.weight", "value.weight"):
            state[name] = tensor.view(key_heads, 8, 24).repeat_interleave(4 // key_heads, 0).flatten(0, 1)
        elif name.startswith("rotation"):
            state[name] = tensor.repeat_interleave(4 // key_heads, 0)
    plain.load_state_dict(state)
    given = _input()
    assert (grouped(*given, Replay()) - plain(*given, Replay())).abs().max() < 1e-12


@pytest.mark.parametrize(("shared", "key_heads"), [(False, 3), (False, 0), (True, 2)])
def test_keys_that_cannot_be_shared_are_refused(shared, key_heads):
    with pytest.raises(ValueError, match=f"key_value_heads={key_heads} for 4 heads.*expected"):
        Attention("lsh", 24, 4, 8, AttentionOptions(shared=shared), key_value_heads=key_heads)
