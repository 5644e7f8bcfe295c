"""What a head holds of full attention's weight equals a dense computation by another route."""

import math

import pytest
import torch

from reformer.insight.inspect_buckets import fullness
from reformer.insight.inspect_recall import Recall, sampled_queries
from reformer.insight.inspect_token import token_view
from reformer.nn import Attention, AttentionOptions, Tokens
from reformer.nn.attention_call import AttentionCall, attention_call
from reformer.ops import Polynomial
from tests.nn.test_attention_call import LAYERS, layer_and_input

EVERY = torch.arange(4, 20)
"""The real tokens of the padded row that `layer_and_input` makes."""


def padded_row(call: AttentionCall) -> AttentionCall:
    """The call of the second row alone, which has padding on both sides."""
    return call.row(1)


def by_hand(call: AttentionCall, head: int, query: int, windows: tuple[int, ...]) -> tuple[dict, dict, list]:
    """Weights by key, the keys seen by ordering, and those in the query's bucket by round; a pair at a time, from the
    slots and without the package's window code."""
    real = [key for key in range(call.mask.shape[1]) if call.mask[0, key] and not (call.causal and key > query)]
    others = real if call.attend_self else [key for key in real if key != query] or real
    scores = {}
    for key in others:
        score = call.scale * float(call.query[0, head, query].double() @ call.key[0, head, key].double())
        if isinstance(call.transform, Polynomial):
            first, second = call.transform.coefficients[head].tolist()
            score = score + first * score + second * score**2
        scores[key] = score
    total = sum(map(math.exp, scores.values()))
    weights = {key: math.exp(score) / total for key, score in scores.items()}
    seen = {}
    for number, window in enumerate(windows):
        own, keys = int(call.query_slots[0, head, number, query]), call.key_slots[0, head, number].tolist()
        seen[number] = {
            key
            for key in others
            if own >= 0 <= keys[key]
            and (0 <= own - keys[key] < window if call.causal else abs(own - keys[key]) < window)
        }
    in_bucket = [
        {key for key in others if int(call.key_buckets[0, head, number, key]) == int(bucket)}
        for number, bucket in enumerate(call.query_buckets[0, head, :, query])
    ]
    return weights, seen, in_bucket


@pytest.mark.parametrize(("kind", "options", "own"), LAYERS)
def test_recall_is_that_of_pairs_compared_one_by_one(kind, options, own):
    if options.get("score_transform"):
        options = options | {"score_order": 2}
    attention, hidden, tokens = layer_and_input(kind, options, own)
    call = padded_row(attention_call(attention, hidden, tokens, rounds=3))
    names = ("local",) * ("local" in kind) + ("global",) * options.get("global_tokens", 0)
    before = len(names)
    for head in range(4):
        recall = Recall(2, names)
        recall.add(call, head, EVERY)
        expected = dict.fromkeys([*names, "round 1", "round 2"], 0.0)
        cumulated, wider, keys, fallen, every = [0.0] * 4, 0.0, 0.0, [0, 0], [0, 0]
        best = 0.0
        grown = tuple(window * (1 + (before <= number)) for number, window in enumerate(call.windows))
        for query in EVERY.tolist():
            weights, seen, in_bucket = by_hand(call, head, query, call.windows)
            for number, name in enumerate(expected):
                expected[name] += sum(weights[key] for key in seen[number])
            for rounds in range(4):
                union = set().union(*(seen[number] for number in range(before + rounds)))
                cumulated[rounds] += sum(weights[key] for key in union)
            union = set().union(*(seen[number] for number in range(before + 2)))
            keys += len(union) / len(weights)
            best += sum(sorted(weights.values(), reverse=True)[: len(union)])
            _, wide, _ = by_hand(call, head, query, grown)
            wider += sum(weights[key] for key in set().union(*(wide[number] for number in range(before + 2))))
            for number in range(2):
                every[number] += len(in_bucket[number])
                fallen[number] += len(in_bucket[number] - seen[before + number])
        count = len(EVERY)
        assert recall.held == pytest.approx({name: value / count for name, value in expected.items()}, abs=1e-6)
        assert recall.cumulated == pytest.approx([value / count for value in cumulated], abs=1e-6)
        assert recall.together == recall.cumulated[2]
        assert recall.wider["hash"] == pytest.approx(wider / count, abs=1e-6)
        assert recall.keys_seen == pytest.approx(keys / count, abs=1e-6)
        assert recall.best == pytest.approx(best / count, abs=1e-6)
        assert recall.fallen == pytest.approx(
            [part / whole if whole else None for part, whole in zip(fallen, every, strict=True)]
        )


@pytest.mark.parametrize(("kind", "options", "own"), LAYERS)
def test_padding_counts_for_nothing(kind, options, own):
    attention, hidden, tokens = layer_and_input(kind, options, own)
    call = padded_row(attention_call(attention, hidden, tokens, rounds=3))
    hidden = hidden.masked_fill(~tokens.mask[..., None], 1e3)
    other = padded_row(attention_call(attention, hidden, tokens, rounds=3))
    names = ("local",) * ("local" in kind) + ("global",) * options.get("global_tokens", 0)
    found = []
    for each in (call, other):
        recall = Recall(2, names)
        recall.add(each, 1, EVERY)
        found.append((recall.cumulated, recall.held, recall.fallen, recall.keys_seen, fullness(each, 1, 4)))
    assert found[0] == found[1]
    assert sum(each.mean * 4 for each in found[0][-1]) == 16 * 3


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_one_bucket_and_a_window_as_long_as_the_text_hold_all(shared, causal):
    options = AttentionOptions(lsh_window=30, buckets=2, rounds=1, shared=shared)
    attention = Attention("lsh", 16, 2, 8, options, causal=causal).eval()
    call = attention_call(attention, torch.randn(1, 30, 16), Tokens.of(torch.ones(1, 30, dtype=torch.bool)), rounds=2)
    # All keys and queries into one bucket, in the order of the text.
    slots, none = torch.arange(30).expand(1, 2, 2, 30), torch.zeros(1, 2, 2, 30, dtype=torch.long)
    call = call._replace(query_slots=slots, key_slots=slots, query_buckets=none, key_buckets=none)
    recall = Recall(1, ())
    recall.add(call, 0, torch.arange(30))
    assert recall.together == pytest.approx(1.0)
    assert recall.best == pytest.approx(1.0)
    assert recall.keys_seen == 1.0
    assert recall.fallen == [0.0]
    assert fullness(call, 0, 2)[0].effective == pytest.approx(1.0)
    assert fullness(call, 0, 2)[0].empty == 0.5


def test_fullness_is_counted():
    attention, hidden, tokens = layer_and_input("lsh", {"shared": True}, {})
    call = padded_row(attention_call(attention, hidden, tokens))
    buckets = torch.zeros_like(call.key_buckets)
    buckets[..., 4:12] = 1
    buckets[..., 12:16] = 2
    found = fullness(call._replace(key_buckets=buckets), 0, 4)[1]
    # Eight keys in bucket 1, four in 2, four in 0.
    assert (found.mean, found.greatest, found.empty) == (4.0, 8, 0.25)
    assert found.effective == pytest.approx(2**1.5)


@pytest.mark.parametrize(("kind", "options", "own"), LAYERS)
def test_what_a_token_saw_are_the_layers_own_weights(kind, options, own):
    attention, hidden, tokens = layer_and_input(kind, options, own)
    call = padded_row(attention_call(attention, hidden, tokens, rounds=3))
    before = call.by_position
    names = ["local", "global"][: before if "local" in kind else 0] or ["global"] * before
    names = [*names, "round 1", "round 2"]
    for place in (4, 11, 19):
        view = token_view(call, place, names, layer=1, head=3, number=2)
        weights, seen, _ = by_hand(call, 2, place, call.windows)
        union = set().union(*(seen[number] for number in range(before + 2)))
        if not union:
            # A shared query sees itself then; another sees nothing, and the layer gives zeros.
            assert [token.token for token in view.tokens] == [place - 4] * attention.shared
            continue
        assert view.seen == len(union)
        total = sum(weights[key] for key in union)
        assert view.held == pytest.approx(total, abs=1e-6)
        assert {token.token + 4: token.weight for token in view.tokens} == pytest.approx(
            {key: weights[key] / total for key in union}, abs=1e-6
        )
        for token in view.tokens:
            assert token.full_weight == pytest.approx(weights[token.token + 4], abs=1e-6)
            assert list(token.orderings) == [
                name for number, name in enumerate(names) if token.token + 4 in seen[number]
            ]


def test_another_number_of_rounds_than_the_layers_is_an_error():
    attention, hidden, tokens = layer_and_input("lsh", {"shared": True}, {})
    with pytest.raises(ValueError, match="expected one more"):
        Recall(2, ()).add(attention_call(attention, hidden, tokens), 0, EVERY)
    assert sampled_queries(attention_call(attention, hidden, tokens), 0, EVERY).near.shape == (2, 16, 23)
