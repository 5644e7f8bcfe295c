"""One attention layer against the definition, written out with the layer's own weights."""

import pytest
import torch
from torch.nn.functional import normalize

from reformer.nn import Attention, AttentionOptions, Replay, Tokens
from reformer.ops import hash_query_slots, hash_slots, position_slots, window_attention

KINDS = ["full", "local", "lsh", "local+lsh"]


def _layer(kind, causal=False, **options):
    given = AttentionOptions(local_window=4, lsh_window=5, buckets=4, rounds=2, **options)
    layer = Attention(kind, 24, 3, 8, given, causal=causal).eval().double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.5)
    return layer


def _split(layer, vectors):
    return vectors.view(*vectors.shape[:2], layer.heads, layer.head_dim).transpose(1, 2)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [True, False])
def test_it_is_the_definition(kind, causal, shared):
    layer = _layer(kind, causal=causal, shared=shared)
    hidden, mask = torch.randn(2, 19, 24, dtype=torch.float64), torch.ones(2, 19, dtype=torch.bool)
    mask[1, 12:] = False
    value = _split(layer, layer.value(hidden))
    slots = position_slots(mask).expand(-1, 3, -1, -1)
    key_slots, window, attend_self, scale = slots, [19 if kind == "full" else 4], True, 8**-0.5
    if "lsh" not in kind:
        query, key = _split(layer, layer.query(hidden)), _split(layer, layer.key(hidden))
    else:
        rotations = (layer.rotation_0,)
        if shared:
            query = _split(layer, layer.query_key(hidden))
            key = query
            query_slots = hashed = hash_slots(key, rotations, mask)
        else:
            query, key = _split(layer, layer.query(hidden)), _split(layer, layer.key(hidden))
            hashed = hash_slots(key, rotations, mask)
            query_slots = hash_query_slots(query, key, rotations, mask, causal=causal)
            query = normalize(query, dim=-1) * layer.log_temperature.exp()[:, None, None]
        key, scale, attend_self = normalize(key, dim=-1), 1.0, not shared
        local, window = (slots, [4, 5, 5]) if kind == "local+lsh" else (slots[:, :, :0], [5, 5])
        slots, key_slots = torch.cat((local, query_slots), 2), torch.cat((local, hashed), 2)
    expected = window_attention(
        query, key, value, slots, key_slots, window=window, causal=causal,
        attend_self=attend_self, scale=scale, backend="reference",
    )  # fmt: skip
    expected = layer.output(expected.transpose(1, 2).reshape(2, 19, 24))
    assert (layer(hidden, Tokens.of(mask), Replay()) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("causal", [False, True])
def test_a_window_over_everything_is_full_attention(causal):
    full, local = _layer("full", causal=causal), _layer("local", causal=causal)
    local.load_state_dict(full.state_dict())
    local.local_windows = (30,)
    hidden, tokens = torch.randn(2, 30, 24, dtype=torch.float64), Tokens.of(torch.ones(2, 30, dtype=torch.bool), False)
    assert (full(hidden, tokens, Replay()) - local(hidden, tokens, Replay())).abs().max() < 1e-12


def test_a_replay_keeps_the_buckets_though_rotations_are_drawn_anew():
    layer = _layer("lsh").train()
    hidden, tokens, replay = torch.randn(1, 40, 24).double(), Tokens.of(torch.ones(1, 40, dtype=torch.bool)), Replay()
    first = layer(hidden, tokens, replay)
    assert torch.equal(layer(hidden, tokens, replay.rewind()), first)
    assert not torch.equal(layer(hidden, tokens, Replay()), first)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_gives_zeros(kind):
    layer, mask = _layer(kind), torch.tensor([[False, True, True, False]])
    output = layer(torch.randn(1, 4, 24).double(), Tokens.of(mask), Replay())
    assert output[0, [0, 3]].abs().max() == 0
    assert output[0, 1:3].abs().min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_heads_are_gated_by_the_layers_input_and_bent_before_they_are_projected(kind):
    layer, plain = _layer(kind, gated=True, activation="relu"), _layer(kind)
    plain.load_state_dict({name: layer.state_dict()[name] for name in plain.state_dict()})
    with torch.no_grad():
        plain.output.weight.copy_(torch.eye(24))
    hidden, tokens = torch.randn(2, 19, 24).double(), Tokens.of(torch.ones(2, 19, dtype=torch.bool), False)
    gates = layer.gate(hidden).sigmoid()[..., None]
    expected = layer.output((plain(hidden, tokens, Replay()).unflatten(-1, (3, 8)) * gates).flatten(2).relu())
    assert (layer(hidden, tokens, Replay()) - expected).abs().max() < 1e-12
