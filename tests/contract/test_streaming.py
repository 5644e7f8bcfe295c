"""Scoring at once = token by token = streamed in pieces of any size; generation with a cache = without."""

import pytest
import torch
from torch.nn.functional import pad

from tests.contract.models import HEADS, every_variant, random_ids, token_outputs


@every_variant
@pytest.mark.parametrize("piece", [119, 50, 7, 2, 1])
def test_streamed_in_pieces_equals_at_once(variant, piece):
    # The layers of every causal head are of one class and of one configuration.
    model, ids = HEADS["causal-lm"].build(variant), random_ids(2, 120)
    stream = model.reformer.stream()
    streamed = torch.cat([stream(part).last_hidden_state for part in ids.split(piece, dim=1)], 1)
    assert (streamed - token_outputs(model, ids)).abs().max() < 1e-4


@every_variant
def test_pieces_of_changing_sizes_with_padding_on_the_left(variant):
    model, ids = HEADS["causal-lm"].build(variant), random_ids(2, 60)
    mask = torch.ones(2, 60, dtype=torch.bool)
    mask[1, :23] = False
    whole = token_outputs(model, ids, mask)
    stream, begin, parts = model.reformer.stream(), 0, []
    for size in (9, 1, 30, 1, 1, 18):
        part = slice(begin, begin + size)
        parts.append(stream(ids[:, part], attention_mask=mask[:, part]).last_hidden_state)
        begin += size
    assert (torch.cat(parts, 1) - whole)[mask].abs().max() < 1e-4


@pytest.mark.parametrize("variant", ["local", "lsh", "local+lsh", "separate", "fourier"])
def test_the_state_does_not_grow(variant):
    stream = HEADS["causal-lm"].build(variant, max_position_embeddings=10**9).stream()
    sizes = []
    for size in (1, 20, 200, 2000):
        stream(random_ids(1, size))
        sizes.append(stream.cache.nbytes)
    assert len(set(sizes)) == 1


@every_variant
@pytest.mark.parametrize("options", [{}, {"num_beams": 4}], ids=["greedy", "beams"])
def test_generation_with_a_cache_equals_without(variant, options):
    model = HEADS["causal-lm"].build(variant)
    lengths = [30, 1, 17, 5, 24]
    ids = torch.stack([pad(random_ids(1, length)[0], (30 - length, 0)) for length in lengths])
    mask = torch.stack([pad(torch.ones(length).long(), (30 - length, 0)) for length in lengths])
    options = {"max_new_tokens": 20, "do_sample": False, "pad_token_id": 0, **options}
    cached, uncached = (
        model.generate(input_ids=ids, attention_mask=mask, use_cache=use_cache, **options)
        for use_cache in (True, False)
    )
    assert torch.equal(cached, uncached)


@every_variant
def test_generation_in_a_batch_equals_generation_alone(variant):
    model = HEADS["causal-lm"].build(variant)
    alone = random_ids(1, 9)
    ids = torch.cat((random_ids(1, 20), pad(alone, (11, 0))))
    mask = torch.ones(2, 20).long()
    mask[1, :11] = 0
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    together = model.generate(input_ids=ids, attention_mask=mask, **options)[1, 20:]
    assert torch.equal(together, model.generate(input_ids=alone, **options)[0, 9:])


@every_variant
def test_a_stream_goes_on_from_its_state_exactly(variant):
    model, ids = HEADS["causal-lm"].build(variant), random_ids(2, 90)
    stream = model.stream()
    stream(ids[:, :50])
    state, again = stream.state(), model.stream()
    # What the first one reads after that is none of the second one's business.
    expected = stream(ids[:, 50:]).logits
    again.restore(state)
    assert torch.equal(again(ids[:, 50:]).logits, expected)
    again.restore({})
    assert again.cache.get_seq_length() == 0


def test_the_state_of_another_model_is_refused():
    state = {"real": torch.ones(1), "seen": torch.tensor(1), "99.key": torch.ones(1)}
    with pytest.raises(ValueError, match=r"the state holds '99\.key', and this model has \d+ memories"):
        HEADS["causal-lm"].build("lsh").stream().restore(state)


def test_a_model_that_reads_both_sides_cannot_stream():
    with pytest.raises(ValueError, match="reads both sides"):
        HEADS["masked-lm"].build().reformer.stream()(random_ids(1, 3))


def test_a_stream_ends_where_the_positions_do():
    stream = HEADS["causal-lm"].build("learned").stream()
    stream(random_ids(1, 250))
    with pytest.raises(ValueError, match="257 tokens, longer than max_position_embeddings=256"):
        stream(random_ids(1, 7))
