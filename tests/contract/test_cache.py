"""The cache does what transformers expects of one, and tokens that are taken back leave no trace."""

import pytest
import torch
from transformers import Cache

from reformer.models import ReformerForCausalLM
from tests.contract.models import HEADS, VARIANTS, random_ids

GREEDY = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}


def _model(variant="local+lsh", **options):
    return HEADS["causal-lm"].build(variant, **options)


def test_generation_remembers_by_default():
    model, ids = _model(), random_ids(2, 30)
    found = model.generate(input_ids=ids, return_dict_in_generate=True, **GREEDY)
    assert isinstance(found.past_key_values, Cache)
    assert found.past_key_values.get_seq_length() == 30 + 11
    assert torch.equal(found.sequences, model.generate(input_ids=ids, use_cache=False, **GREEDY))


def test_a_subclass_may_have_any_name():
    class Writer(ReformerForCausalLM):
        pass

    model = _model()
    writer = Writer(model.config).eval()
    writer.load_state_dict(model.state_dict())
    ids = random_ids(1, 30)
    assert torch.equal(writer.generate(input_ids=ids, **GREEDY), model.generate(input_ids=ids, **GREEDY))


def test_a_cache_that_a_call_returned_is_gone_on_with():
    model, ids = _model(), random_ids(1, 30)
    first = model.generate(input_ids=ids, return_dict_in_generate=True, **GREEDY | {"max_new_tokens": 5})
    more = model.generate(input_ids=first.sequences, past_key_values=first.past_key_values, **GREEDY)
    assert torch.equal(more, model.generate(input_ids=first.sequences, **GREEDY))


@pytest.mark.parametrize("variant", VARIANTS)
def test_tokens_that_are_taken_back_leave_no_trace(variant):
    model, ids = _model(variant), random_ids(2, 60)
    mask = torch.ones_like(ids)
    mask[1, :4] = 0

    def read(cache, begin, end):
        return model(input_ids=ids[:, begin:end], attention_mask=mask[:, begin:end], past_key_values=cache)

    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits
        cache = model.reformer.new_cache()
        read(cache, 0, 23)
        cache.activate_past_recording()
        wrong = random_ids(2, 9)
        read(cache, 23, 31)
        model(input_ids=wrong, past_key_values=cache)
        cache.crop(-12)
        assert cache.get_seq_length() == 28
        model(input_ids=wrong, past_key_values=cache, attention_mask=torch.ones(2, 37))
        cache.crop(-9)
        cache.crop(-2)
        found = read(cache, 26, 50).logits
        cache.crop(0)
        found = torch.cat((found, read(cache, 50, 60).logits), 1)
    assert found.shape[1] == 34
    assert ((found - expected[:, 26:])[mask[:, 26:] == 1]).abs().max() < 1e-4 * expected.abs().max()


def test_only_what_was_recorded_can_be_taken_back():
    model, ids = _model(), random_ids(1, 20)
    cache = model(input_ids=ids, use_cache=True).past_key_values
    with pytest.raises(ValueError, match=r"crop\(-1\): 0 tokens can be taken back"):
        cache.crop(-1)
    cache.activate_past_recording()
    model(input_ids=ids[:, :3], past_key_values=cache)
    with pytest.raises(ValueError, match=r"crop\(-4\): 3 tokens can be taken back"):
        cache.crop(-4)
    with pytest.raises(ValueError, match="give the number of tokens to take back, negative"):
        cache.crop(4)
    cache.crop(-3)
    assert cache.get_seq_length() == 20


@pytest.mark.parametrize("variant", ["full", "local", "local+lsh", "mixed", "ngrams"])
def test_guessed_tokens_change_nothing(variant):
    """Prompt lookup and a second model that writes in advance, by greedy search."""
    model, ids = _model(variant), random_ids(1, 12).repeat(1, 3)
    expected = model.generate(input_ids=ids, **GREEDY)
    assert torch.equal(model.generate(input_ids=ids, prompt_lookup_num_tokens=4, **GREEDY), expected)
    assert torch.equal(model.generate(input_ids=ids, assistant_model=_model(variant), **GREEDY), expected)
    assert torch.equal(model.generate(input_ids=ids, assistant_model=model, **GREEDY), expected)


def test_a_prompt_may_be_read_in_chunks():
    model, ids = _model("mixed"), random_ids(2, 50)
    expected = model.generate(input_ids=ids, **GREEDY)
    assert torch.equal(model.generate(input_ids=ids, prefill_chunk_size=16, **GREEDY), expected)


def test_beams_are_reordered():
    model, ids = _model(), random_ids(2, 20)
    with_cache, without = (model.generate(input_ids=ids, num_beams=3, use_cache=use, **GREEDY) for use in (True, False))
    assert torch.equal(with_cache, without)


def test_items_are_repeated_and_chosen():
    model, ids = _model(), random_ids(2, 20)
    following = random_ids(3, 4)
    with torch.no_grad():
        expected = model(input_ids=torch.cat((ids[[0, 0, 1]], following), 1)).logits[:, 20:]
        cache = model(input_ids=ids, use_cache=True).past_key_values
        cache.batch_repeat_interleave(2)
        assert cache.batch_size == 4
        cache.batch_select_indices(torch.tensor([True, True, False, True]))
        found = model(input_ids=following, past_key_values=cache).logits
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    cache.reset()
    assert (cache.get_seq_length(), cache.batch_size, cache.is_initialized) == (0, -1, False)


@pytest.mark.parametrize("kind", ["static", "quantized", "offloaded", "dynamic"])
def test_another_kind_of_cache_is_refused(kind):
    with pytest.raises(ValueError, match=f"cache_implementation='{kind}': these models have a cache of"):
        _model().generate(input_ids=random_ids(1, 9), cache_implementation=kind, **GREEDY)


@pytest.mark.parametrize("variant", ["local+lsh", "mixed", "hourglass"])
@pytest.mark.parametrize("use_cache", [True, False])
def test_prompts_may_be_padded_at_either_side(variant, use_cache):
    model, ids = _model(variant), random_ids(1, 20)
    alone = model.generate(input_ids=ids, use_cache=use_cache, **GREEDY)[0, 20:]
    for pad in ((0, 6), (6, 0)):
        other = random_ids(1, 26)
        padded = torch.cat((torch.nn.functional.pad(ids, pad), other))
        mask = torch.cat((torch.nn.functional.pad(torch.ones(1, 20), pad), torch.ones(1, 26)))
        found = model.generate(input_ids=padded, attention_mask=mask, use_cache=use_cache, **GREEDY)
        assert torch.equal(found[0, 26:], alone), pad
        assert torch.equal(found[1], model.generate(input_ids=other, use_cache=use_cache, **GREEDY)[0])


def test_the_last_tokens_are_the_last_that_are_no_padding():
    model, ids = _model(), random_ids(2, 20)
    mask = torch.ones_like(ids)
    mask[1, 15:] = 0
    every = model(input_ids=ids, attention_mask=mask).logits
    kept = model(input_ids=ids, attention_mask=mask, logits_to_keep=2).logits
    assert torch.allclose(kept, torch.stack((every[0, 18:], every[1, 13:15])), atol=1e-5)
