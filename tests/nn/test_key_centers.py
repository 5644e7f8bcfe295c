"""Keys are hashed less their mean, and scored as they are."""

import torch

from reformer.nn import Attention, AttentionOptions, Replay, Tokens
from reformer.nn.full_attention import full_attention
from reformer.nn.key_centers import centered
from reformer.nn.memory import Memory


def test_a_common_part_of_all_keys_vanishes_and_padding_does_not_count():
    torch.manual_seed(0)
    keys, mask = torch.randn(2, 3, 9, 4).double(), torch.ones(2, 9, dtype=torch.bool)
    mask[1, 4:] = False
    found = centered(keys, mask, False)
    assert found[1, :, :4].mean(1).abs().max() < 1e-12
    assert (centered(keys + torch.randn(4), mask, False) - found).abs().max() < 1e-12
    assert torch.equal(centered(keys.masked_fill(~mask[:, None, :, None], 9), mask, False)[1, :, :4], found[1, :, :4])


def test_causal_centers_are_those_of_the_past_in_pieces_too():
    torch.manual_seed(0)
    keys, mask, memory = torch.randn(1, 2, 11, 4), torch.ones(1, 11, dtype=torch.bool), Memory()
    mask[0, 2] = False
    whole = centered(keys, mask, True)
    expected = keys[:, :, 6] - keys[:, :, [0, 1, 3, 4, 5, 6]].mean(2)
    assert (whole[:, :, 6] - expected).abs().max() < 1e-6
    parts = [centered(keys[:, :, a:b], mask[:, a:b], True, memory) for a, b in ((0, 1), (1, 7), (7, 11))]
    assert torch.equal(torch.cat(parts, 2), whole)


def test_where_the_windows_see_all_the_scores_are_plain_products():
    torch.manual_seed(0)
    options = AttentionOptions(shared=False, hashed_scores="dot", local_window=20, buckets=4)
    layer = Attention("local+lsh", 16, 2, 8, options).double()
    hidden, mask = torch.randn(2, 20, 16).double(), torch.ones(2, 20, dtype=torch.bool)
    query, key, value = (layer._split_heads(getattr(layer, name)(hidden), name) for name in ("query", "key", "value"))
    expected = layer.merge(full_attention(query, key, value, None, False), None)
    assert (layer(hidden, Tokens.of(mask), Replay()) - expected).abs().max() < 1e-12
    assert not [name for name, _ in layer.named_parameters() if "temperature" in name]


def test_centering_brings_queries_and_keys_together():
    """Keys with a large common part fill few buckets; queries then find none of those that they score highest."""
    torch.manual_seed(0)
    shift = 6 * torch.randn(1, 1, 1, 8)
    found = {}
    for scores in ("cosine", "dot"):
        options = AttentionOptions(shared=False, hashed_scores=scores, buckets=16, lsh_window=200, rounds=4)
        layer = Attention("lsh", 16, 1, 8, options).eval()
        query, key = torch.randn(1, 1, 200, 8), torch.randn(1, 1, 200, 8)
        vectors = centered(key + shift, torch.ones(1, 200, dtype=torch.bool), False) if scores == "dot" else key + shift
        keys, queries = layer._buckets((vectors, query), layer._rotations(4, query.device))
        seen = (keys[0, 0, :, None] == queries[0, 0, :, :, None]).any(0)
        best = (query @ key.transpose(-1, -2))[0, 0].topk(5).indices
        found[scores] = float(seen.gather(1, best).float().mean())
    assert found["dot"] > 2 * found["cosine"]
