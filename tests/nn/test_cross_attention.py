"""Cross attention against its definition, written out with the layer's own weights."""

import pytest
import torch
from torch.nn.functional import normalize

from reformer.nn import AttentionOptions, CrossAttention, Replay, Source, Tokens
from reformer.ops import hash_query_slots, hash_slots, window_attention


def _split(vectors):
    return vectors.view(*vectors.shape[:2], 3, 8).transpose(1, 2)


def _layer(kind, **options):
    given = AttentionOptions(lsh_window=3, buckets=4, rounds=2, **options)
    layer = CrossAttention(kind, 24, 48, 3, 8, given).eval().double()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.normal_(std=0.05 if name == "transform.coefficients" else 0.5)
    return layer


@pytest.mark.parametrize("kind", ["full", "lsh"])
@pytest.mark.parametrize("transform", [None, "polynomial", "sinh"])
def test_it_is_the_definition(kind, transform):
    layer = _layer(kind, score_transform=transform, score_order=2)
    learned = None if layer.transform is None else layer.transform()
    hidden, seen = torch.randn(2, 11, 24).double(), torch.randn(2, 19, 48).double()
    mask, source_mask = torch.ones(2, 11, dtype=torch.bool), torch.ones(2, 19, dtype=torch.bool)
    source_mask[1, 12:] = False
    query, key, value = (_split(each) for each in (layer.query(hidden), layer.key(seen), layer.value(seen)))
    if kind == "full":
        scores = query @ key.transpose(-1, -2) * 8**-0.5
        if learned is not None:
            scores = learned.value(scores, learned.coefficients[:, None, None])
        expected = scores.masked_fill(~source_mask[:, None, None], float("-inf")).softmax(-1) @ value
    else:
        rotations = (layer.rotation_0,)
        slots = hash_slots(key, rotations, source_mask)
        places = hash_query_slots(query, key, rotations, source_mask, aligned=False)
        query = normalize(query, dim=-1) * layer.log_temperature.exp()[:, None, None]
        expected = window_attention(
            query,
            normalize(key, dim=-1),
            value,
            places,
            slots,
            window=[3, 3],
            scale=1.0,
            transform=learned,
            backend="reference",
        )
    expected = layer.output(expected.transpose(1, 2).reshape(2, 11, 24))
    tokens = Tokens.of(mask)
    tokens = Tokens(tokens.mask, False, tokens.slots, source=Source(seen, Tokens.of(source_mask)))
    assert (layer(hidden, tokens, Replay()) - expected).abs().max() < 1e-12


@pytest.mark.parametrize(("keys", "first", "last"), [(5, 0, 4), (4, 0, 3), (6, 1, 5), (11, 3, 7)])
def test_which_keys_of_an_over_full_bucket_a_query_sees(keys, first, last):
    """With window 3: all of up to five, the five in the middle of more."""
    layer = _layer("lsh")
    # Equal vectors share every bucket.
    hidden, seen = torch.zeros(1, 1, 24).double(), torch.zeros(1, keys, 48).double()
    hidden[:], seen[:] = torch.randn(24), torch.randn(48)
    with torch.no_grad():
        layer.query.weight.copy_(torch.eye(24))
        layer.key.weight.copy_(torch.eye(24, 48))
    seen[..., :24] = hidden
    seen.requires_grad_()
    tokens = Tokens.of(torch.ones(1, 1, dtype=torch.bool))
    tokens = Tokens(tokens.mask, False, tokens.slots, source=Source(seen, Tokens.of(torch.ones(1, keys) > 0)))
    (gradient,) = torch.autograd.grad(layer(hidden, tokens, Replay()).square().sum(), seen)
    reached = gradient[0].abs().sum(-1).nonzero()[:, 0].tolist()
    assert reached == list(range(first, last + 1))


def test_a_source_that_is_all_padding_gives_zeros():
    for kind in ("full", "lsh"):
        tokens = Tokens.of(torch.ones(1, 4, dtype=torch.bool))
        source = Source(torch.randn(1, 6, 48).double(), Tokens.of(torch.zeros(1, 6, dtype=torch.bool)))
        tokens = Tokens(tokens.mask, False, tokens.slots, source=source)
        assert not _layer(kind)(torch.randn(1, 4, 24).double(), tokens, Replay()).any()


def test_it_needs_a_source():
    with pytest.raises(ValueError, match="without a source"):
        _layer("full")(torch.randn(1, 4, 24).double(), Tokens.of(torch.ones(1, 4, dtype=torch.bool)), Replay())
