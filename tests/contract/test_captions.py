"""The contract for what writes texts for images."""

import copy
from typing import Any

import pytest
import torch

from reformer.models import ReformerConfig, ReformerForImageToText
from tests.contract.models import ENCODER_DECODER, SMALL, VARIANTS, VOCABULARY

# The encoder-decoder itself is tried in all variants, among the heads.
every_variant = pytest.mark.parametrize("variant", ["lsh", "mixed", "projected", "hourglass", "learned"])


def _build(variant: str = "mixed", **options: Any) -> ReformerForImageToText:
    fields = {"patch_size": 2, "num_channels": 3, **ENCODER_DECODER, **options}
    return ReformerForImageToText(ReformerConfig(**{**SMALL, **VARIANTS[variant], **fields})).eval()


def _labels(batch: int, length: int) -> torch.Tensor:
    return torch.randint(1, VOCABULARY, (batch, length))


@every_variant
def test_every_size_trains(variant):
    model = _build(variant).train()
    for height, width, length in ((2, 2, 1), (6, 10, 17)):
        model.zero_grad()
        loss = model(torch.rand(2, 3, height, width), labels=_labels(2, length)).loss
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_variant
def test_batch_mates_change_nothing_and_evaluation_is_deterministic(variant):
    model, pixels, target = _build(variant, hidden_dropout_prob=0.1), torch.rand(3, 3, 8, 6), _labels(3, 9)
    with torch.no_grad():
        together = model(pixels, decoder_input_ids=target).logits
        assert torch.equal(model(pixels, decoder_input_ids=target).logits, together)
        assert (model(pixels[1:2], decoder_input_ids=target[1:2]).logits - together[1:2]).abs().max() < 1e-5


@every_variant
def test_the_texts_future_changes_nothing_and_the_image_does(variant):
    model, pixels, target = _build(variant), torch.rand(2, 3, 8, 6), _labels(2, 15)
    edited = torch.cat((target[:, :7], target[:, 7:] % 40 + 1), 1)
    with torch.no_grad():
        before = model(pixels, decoder_input_ids=target).logits
        assert torch.equal(model(pixels, decoder_input_ids=edited).logits[:, :7], before[:, :7])
        assert (model(1 - pixels, decoder_input_ids=target).logits - before).abs().max() > 1e-3


@every_variant
def test_gradients_equal_the_plain_twin_dropout_included(variant):
    model = _build(variant, hidden_dropout_prob=0.2, initializer_range=0.05).double().train()
    plain = copy.deepcopy(model)
    for stack in (plain.reformer.encoder, plain.reformer.decoder):
        stack.encoder.reversible = False
    pixels, labels = torch.rand(2, 3, 8, 6, dtype=torch.float64), _labels(2, 11)
    for twin in (model, plain):
        torch.manual_seed(7)
        twin(pixels, labels=labels).loss.backward()
    for ours, expected in zip(model.parameters(), plain.parameters(), strict=True):
        assert (ours.grad - expected.grad).abs().max() < 1e-9


@pytest.mark.parametrize("variant", ["mixed", "shared", "learned"])
def test_loading_gives_the_same_outputs_bit_for_bit(variant, tmp_path):
    model, pixels, target = _build(variant), torch.rand(2, 3, 8, 6), _labels(2, 9)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(pixels, decoder_input_ids=target).logits
        loaded = ReformerForImageToText.from_pretrained(tmp_path)
        assert torch.equal(loaded(pixels, decoder_input_ids=target).logits, expected)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"num_rounds": 3}], ids=["greedy", "beams", "rounds"])
def test_generation_with_a_cache_equals_without_and_alone(options):
    model, pixels = _build("lsh"), torch.rand(3, 3, 8, 6)
    given = {"max_new_tokens": 9, "do_sample": False, "pad_token_id": 0, **options}
    found = model.generate(pixels, use_cache=True, **given)
    assert torch.equal(found, model.generate(pixel_values=pixels, use_cache=False, **given))
    assert torch.equal(found[1:2], model.generate(pixels[1:2], **given))
    assert found.shape == (3, 10)


def test_the_image_is_read_once_in_generation():
    model, calls = _build("lsh"), []
    model.reformer.encoder.register_forward_hook(lambda *_: calls.append(1))
    model.generate(torch.rand(2, 3, 8, 6), max_new_tokens=6, do_sample=False, pad_token_id=0, use_cache=True)
    assert calls == [1]


@pytest.mark.parametrize("asks", ["argument", "configuration"])
def test_generation_gives_the_hidden_states_of_both_stacks(asks):
    model, told = _build("lsh"), {"max_new_tokens": 2, "pad_token_id": 0, "return_dict_in_generate": True}
    if asks == "argument":
        told["output_hidden_states"] = True
    else:
        model.generation_config.output_hidden_states = True
    found = model.generate(torch.rand(2, 3, 8, 6), **told)
    assert len(found.encoder_hidden_states) == len(model.config.attention_layers) + 1
    assert len(found.decoder_hidden_states) == 2


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match=r"expected \[batch, num_channels=3, height, width\] with sides"):
        _build()(torch.rand(1, 3, 7, 6), labels=_labels(1, 4))
    with pytest.raises(ValueError, match="no pixel_values: give the images"):
        _build()(labels=_labels(1, 4))
    with pytest.raises(ValueError, match="pixels make no groups of tokens"):
        _build("mixed", ngram_sizes=[2])
    with pytest.raises(ValueError, match="is_encoder_decoder=False: this model reads one sequence"):
        ReformerForImageToText(ReformerConfig(**SMALL))
