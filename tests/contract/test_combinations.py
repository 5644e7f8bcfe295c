"""Options drawn at random: the configuration refuses them with a reason, or together they keep the contract."""

import functools
import random
from typing import Any

import pytest
import torch
from torch.nn.functional import pad

from reformer.insight.doctor.gradients import plain_twin
from reformer.models import ReformerConfig
from tests.contract.models import AXIAL, HEADS, SMALL, outputs, random_ids, the_same, token_outputs

CHOICES: list[list[dict[str, Any]]] = [
    [
        {"attention_layers": ["local", "lsh"]},
        {"attention_layers": ["local", "lsh", "local", "lsh"]},
        {"attention_layers": ["local+lsh", "full"]},
        {"attention_layers": ["fourier", "lsh"], "fourier_kernel": 9},
        {"attention_layers": ["full", "full"]},
        {"attention_layers": [["local", "lsh"], "local+lsh"]},
    ],
    [
        {},
        {"residual_streams": 1, "reversible": False},
        {"residual_streams": 1, "reversible": False, "recompute": True, "norm_order": "post"},
    ],
    [{}, AXIAL, *({"position_embedding_type": kind} for kind in ("learned", "sinusoidal", "none"))],
    [{}, {"shared_query_key": False}, {"shared_query_key": False, "num_key_value_heads": 1}],
    [{}, {"num_key_value_heads": 1}],
    [{}, {"local_window": [3, 7]}, {"lsh_window": [9, 4]}],
    [{}, {"score_transform": "polynomial", "score_polynomial_order": 2}, {"score_transform": "sinh"}],
    [{}, {"time_bias_length": 40}, {"time_bias_length": 30, "time_bias_steps": [1, 2]}],
    [{}, {"global_tokens": [0, 4]}, {"global_tokens": [2]}],
    [{}, {"hashed_scores": "dot", "shared_query_key": False}],
    [{}, {"attention_bias": "all"}, {"attention_bias": "query_key_value"}],
    [{}, {"query_key_norm": True}, {"norm": "rms"}],
    [{}, {"gated_heads": True}, {"gated_heads": True, "attention_act": "silu"}],
    [{}, {"convolution_kernel": 3}],
    [{}, {"projection_kernel": 3}],
    [{}, {"bottleneck_size": 12}, {"bottleneck_size": 12, "bottleneck_act": "relu"}],
    [{}, {"embedding_size": 20}],
    [{}, {"tie_word_embeddings": True}],
    [{}, {"ngram_sizes": [2], "ngram_rows": 97, "ngram_width": 8}, {"ngram_dropout": 0.2}],
    [{}, {"feed_forward_linear": "circulant", "circulant_block": 4}, {"circulant_block": 16}],
    [{}, {"gated_feed_forward": True, "hidden_act": "silu"}],
    [{}, {"num_distinct_layers": 1}, {"num_distinct_layers": 2}],
    [{}, {"shortened_layers": [0, 1], "fusion_ranges": [3]}, {"shortened_layers": [1, 2], "shorten_stride": 3}],
    [{}, {"chunk_size_feed_forward": 7}],
    [{}, {"decoder_shortened_layers": [0, 1], "fusion_kernel": 4}, {"decoder_shortened_layers": [0, 2]}],
    [{}, {"hidden_dropout_prob": 0.2, "token_dropout": 0.1}],
]
"""One of each line; fields in one choice belong together."""

WITHOUT_EFFECT = [{"ngram_dropout": 0.2}, {"circulant_block": 16}]
"""Choices that need another option."""

NAMES = ("causal-lm", "masked-lm", "token-classification", "encoder-decoder")
SEED = 1236
TRIED = range(SEED, SEED + 16)
"""Seeds. The first is such that every choice that has an effect is tried."""

LENGTH = 29


def _drawn(draw: random.Random) -> tuple[str, dict[str, Any]]:
    fields: dict[str, Any] = {"initializer_range": 0.1}
    for line in CHOICES:
        fields |= draw.choice(line) if len(line[0]) or draw.random() < 0.5 else {}
    return draw.choice(NAMES), fields


def _config(name: str, fields: dict[str, Any]) -> ReformerConfig:
    head = HEADS[name]
    return ReformerConfig(**{**SMALL, "is_decoder": head.causal, **head.fields, **fields})


def _is_valid(drawn: tuple[str, dict[str, Any]]) -> bool:
    try:
        _config(*drawn)
    except ValueError:
        return False
    return True


@functools.cache
def _valid(number: int) -> tuple[str, dict[str, Any]]:
    """The first draw from this seed that is not refused."""
    draw = random.Random(number)
    return next(drawn for drawn in iter(functools.partial(_drawn, draw), None) if _is_valid(drawn))


@pytest.fixture(params=TRIED)
def drawn(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    name, fields = _valid(request.param)
    # In float64, rounding moves no token into another bucket.
    model = HEADS[name].build("full", **fields).double()
    with torch.no_grad():
        # Without biases a token that goes without its own embedding is zero, and has no direction to be hashed by.
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("bias"):
                parameter.normal_(std=0.1)
    return HEADS[name], model


def test_what_is_refused_is_refused_for_a_reason():
    refused = []
    for number in range(200):
        name, fields = _drawn(random.Random(number))
        try:
            _config(name, fields)
        except ValueError as error:
            refused.append((str(error), fields))
    assert 40 < len(refused) < 160
    for told, fields in refused:
        assert any(field in told for field in fields), told


def test_every_choice_is_among_what_is_tried():
    found = [_valid(number)[1] for number in TRIED]
    choices = [choice for line in CHOICES for choice in line if choice not in WITHOUT_EFFECT]
    assert not [choice for choice in choices if not any(fields.items() >= choice.items() for fields in found)]


def test_padding_and_batch_mates_change_nothing(drawn):
    _, model = drawn
    ids = random_ids(1, LENGTH)
    bare = outputs(model, ids)
    padded_ids = random_ids(2, LENGTH + 8)
    padded_ids[:1, 3 : 3 + LENGTH] = ids
    mask = torch.stack((pad(torch.ones(LENGTH), (3, 5)), torch.ones(LENGTH + 8))).bool()
    padded = outputs(model, padded_ids, mask)[:1]
    padded = padded[:, 3 : 3 + LENGTH] if padded.dim() == 3 else padded
    assert (padded - bare).abs().max() < 1e-8


def test_the_future_changes_nothing_and_pieces_are_the_whole(drawn):
    head, model = drawn
    ids = random_ids(2, LENGTH)
    edited = torch.cat((ids[:, :17], ids[:, 17:] % 40 + 1), 1)
    if model.config.is_encoder_decoder:
        source = random_ids(2, 23)
        with torch.no_grad():
            before, after = (model(input_ids=source, decoder_input_ids=each).logits for each in (ids, edited))
            first = model(input_ids=source, decoder_input_ids=ids[:, :11], use_cache=True)
            rest = model(
                input_ids=source, decoder_input_ids=ids[:, 11:], past_key_values=first.past_key_values, use_cache=True
            )
        assert the_same(model, after[:, :17], before[:, :17])
        assert (torch.cat((first.logits, rest.logits), 1) - before).abs().max() < 1e-8
    elif head.causal:
        whole = token_outputs(model, ids)
        assert the_same(model, token_outputs(model, edited)[:, :17], whole[:, :17])
        stream = model.reformer.stream()
        parts = [stream(part).last_hidden_state for part in ids.split(6, dim=1)]
        assert (torch.cat(parts, 1) - whole).abs().max() < 1e-8
    else:
        changed = (token_outputs(model, edited) - token_outputs(model, ids))[:, :17].abs().amax(-1)
        assert (changed > 0).any()


def test_reversible_gradients_are_those_of_the_plain_twin(drawn):
    head, model = drawn
    ids, found = random_ids(2, LENGTH), []
    for twin in (model.train(), plain_twin(model)):
        torch.manual_seed(3)
        loss = twin(input_ids=ids, **head.labels(ids)).loss
        # A decoder whose tokens all go without something may leave a weight out.
        found.append(torch.autograd.grad(loss, list(twin.parameters()), allow_unused=True))
    for mine, plain in zip(*found, strict=True):
        assert (mine is None) == (plain is None)
        assert mine is None or (mine - plain).abs().max() < 1e-9


def test_what_was_saved_is_loaded(drawn, tmp_path):
    head, model = drawn
    ids = random_ids(2, LENGTH)
    model.save_pretrained(tmp_path)
    loaded = head.model.from_pretrained(tmp_path).eval()
    assert torch.equal(outputs(loaded, ids), outputs(model, ids))
