"""Tokens that all see: attention with them is attention under a dense mask that shows them to every query."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from reformer.nn import Attention, AttentionOptions, Replay, Tokens
from reformer.nn.memory import Memory

OPTIONS = {"local_window": 3, "global_tokens": 2, "shared": False, "bias": "all"}


def _defined(layer, hidden, mask, places, causal):
    """The definition: a softmax over the window and the places, token by token."""
    query, key, value = (layer._split_heads(getattr(layer, name)(hidden), name) for name in ("query", "key", "value"))
    made = torch.zeros_like(query)
    for item, real in enumerate(mask):
        index = real.nonzero()[:, 0]
        seen_by_all = {int(index[place]) for place in places if -len(index) <= place < len(index)}
        for rank, token in enumerate(index.tolist()):
            near = {int(index[other]) for other in range(len(index)) if abs(other - rank) < 3}
            seen = sorted(other for other in near | seen_by_all if not causal or other <= token)
            made[item, :, token] = scaled_dot_product_attention(
                query[item, :, token : token + 1], key[item, :, seen], value[item, :, seen]
            )[:, 0]
    return layer.output(made.transpose(1, 2).flatten(2)).masked_fill(~mask[..., None], 0)


@pytest.mark.parametrize(("places", "causal"), [([0, -1], False), ([2, 0, 30], False), ([4, 0], True), ([1], True)])
def test_it_is_a_dense_mask(places, causal):
    torch.manual_seed(0)
    options = AttentionOptions(**(OPTIONS | {"global_tokens": len(places)}))
    layer = Attention("local", 16, 2, 8, options, causal=causal).double()
    hidden, mask = torch.randn(3, 12, 16).double(), torch.ones(3, 12, dtype=torch.bool)
    mask[1, :5] = mask[1, 7] = False
    mask[2, 1:] = False
    tokens = Tokens.of(mask).with_global(places, causal)
    found = layer(hidden, tokens, Replay()).masked_fill(~mask[..., None], 0)
    assert (found - _defined(layer, hidden, mask, places, causal)).abs().max() < 1e-12


def test_the_state_of_a_stream_has_them_however_far_it_is():
    torch.manual_seed(0)
    layer, memory = Attention("local", 16, 2, 8, AttentionOptions(**OPTIONS), causal=True).double(), Memory()
    hidden, mask = torch.randn(1, 300, 16).double(), torch.ones(1, 300, dtype=torch.bool)
    parts, sizes = [], set()
    for begin in range(0, 300, 20):
        piece = slice(begin, begin + 20)
        tokens = Tokens.of(mask[:, piece], earlier=torch.tensor([begin])).with_global([0, 7], True)
        parts.append(layer(hidden[:, piece], tokens, Replay(), memory))
        sizes.add(memory.nbytes)
    whole = layer(hidden, Tokens.of(mask).with_global([0, 7], True), Replay())
    assert (torch.cat(parts, 1) - whole).abs().max() < 1e-12
    assert len(sizes) == 1


def test_their_slots_have_to_be_given():
    layer, mask = Attention("local", 16, 2, 8, AttentionOptions(**OPTIONS)), torch.ones(1, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="give Tokens their `global_slots`"):
        layer(torch.randn(1, 4, 16), Tokens.of(mask), Replay())
