"""What an encoder-decoder promises beyond the properties of every head: its target, its source, its one backward."""

import pytest
import torch
from torch.nn.functional import pad
from transformers import AutoModelForSeq2SeqLM

from reformer.insight.doctor.gradients import plain_twin
from reformer.models import ReformerConfig, ReformerForConditionalGeneration, ReformerForTokenClassification
from tests.contract.models import ENCODER_DECODER, HEADS, SMALL, every_variant, random_ids, the_same

HEAD = HEADS["encoder-decoder"]


def _logits(model, source, target, **given):
    with torch.no_grad():
        return model(input_ids=source, decoder_input_ids=target, **given).logits


def _left_padded(lengths):
    longest = max(lengths)
    ids = torch.stack([pad(random_ids(1, length)[0], (longest - length, 0)) for length in lengths])
    mask = torch.stack([pad(torch.ones(length).long(), (longest - length, 0)) for length in lengths])
    return ids, mask


@every_variant
def test_the_targets_future_changes_nothing_and_its_past_does(variant):
    model, source, target = HEAD.build(variant), random_ids(2, 30), random_ids(2, 25)
    before = _logits(model, source, target)
    edited = torch.cat((target[:, :11], target[:, 11:] % 40 + 1), 1)
    after = _logits(model, source, edited)
    assert the_same(model, after[:, :11], before[:, :11])
    assert (after - before)[:, 12:].abs().max() > 1e-4


@every_variant
def test_padding_of_the_target_changes_nothing(variant):
    model, source, target = HEAD.build(variant), random_ids(2, 30), random_ids(2, 21)
    bare = _logits(model, source, target)
    for left, right in ((0, 6), (5, 2)):
        padded = random_ids(2, left + 21 + right)
        padded[:, left : left + 21] = target
        mask = pad(torch.ones(2, 21).long(), (left, right))
        found = _logits(model, source, padded, decoder_attention_mask=mask)[:, left : left + 21]
        assert (found - bare).abs().max() < 1e-5


@pytest.mark.parametrize("across", ["full", "lsh"])
def test_every_kind_of_cross_attention_sees_the_source(across):
    layers = {"decoder_attention_layers": ["local"], "cross_attention_layers": [across]}
    model, source, target = HEAD.build("full", **layers), random_ids(1, 30), random_ids(1, 9)
    edited = source.clone()
    edited[0, 16] = source[0, 16] % 40 + 1
    assert (_logits(model, edited, target) - _logits(model, source, target)).abs().max() > 1e-3


@pytest.mark.parametrize("frozen", ["encoder", "decoder", "encoder.embeddings", "key.weight"])
def test_gradients_hold_with_frozen_parts(frozen):
    model = HEAD.build("mixed", hidden_dropout_prob=0.1).double().train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(f"reformer.{frozen}" not in name and not name.endswith(frozen))
    plain = plain_twin(model)
    source, labels = random_ids(2, 23), random_ids(2, 14)
    for twin in (model, plain):
        torch.manual_seed(5)
        twin(input_ids=source, labels=labels).loss.backward()
    for (name, ours), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None) == (not ours.requires_grad), name
        assert ours.grad is None or (ours.grad - theirs.grad).abs().max() < 1e-9, name


def test_the_encoders_backward_runs_once():
    model, runs = HEAD.build("mixed").train(), []
    loss = model(input_ids=random_ids(2, 20), labels=random_ids(2, 12)).loss
    for sublayer in model.reformer.encoder.encoder.sublayers:
        sublayer.register_forward_hook(lambda *_: runs.append(1))
    loss.backward()
    # Chunks of the feed-forward are run without the sub-layer's own forward.
    kinds = [type(sublayer.function).__name__ for sublayer in model.reformer.encoder.encoder.sublayers]
    assert len(runs) == len(kinds) - kinds.count("FeedForward")


@pytest.mark.parametrize("variant", ["lsh", "separate", "mixed", "ngrams", "learned"])
@pytest.mark.parametrize(
    "options", [{}, {"num_beams": 4}, {"do_sample": True, "seed": 3}], ids=["greedy", "beams", "sampling"]
)
def test_generation_with_a_cache_equals_without(variant, options):
    model = HEAD.build(variant)
    ids, mask = _left_padded([30, 1, 17, 5, 24])
    found = []
    for use_cache in (True, False):
        torch.manual_seed(options.get("seed", 0))
        given = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, **options}
        given.pop("seed", None)
        found.append(model.generate(input_ids=ids, attention_mask=mask, use_cache=use_cache, **given))
    assert torch.equal(*found)
    assert found[0].shape == (5, 13)


SHORTENED = {
    "decoder_attention_layers": ["local", "lsh", "local"],
    "cross_attention_layers": ["full", "lsh", "full"],
    "decoder_shortened_layers": [1, 2],
}


@pytest.mark.parametrize("beams", [1, 3])
def test_a_decoder_with_shortened_layers_generates_with_a_cache_as_without(beams):
    model = HEAD.build("hourglass", **SHORTENED)
    ids, mask = _left_padded([30, 1, 17])
    options = {"max_new_tokens": 14, "do_sample": False, "pad_token_id": 0, "num_beams": beams}
    cached, uncached = (
        model.generate(input_ids=ids, attention_mask=mask, use_cache=use, **options) for use in (True, False)
    )
    assert torch.equal(cached, uncached)


def test_shortened_layers_of_the_decoder_look_at_the_source():
    model, source, target = HEAD.build("hourglass", **SHORTENED), random_ids(1, 30), random_ids(1, 9)
    with torch.no_grad():
        for part in (model.reformer.decoder.encoder.before, model.reformer.decoder.encoder.after):
            part.sublayers[1].function.output.weight.zero_()
    edited = torch.cat((source[:, :16], source[:, 16:] % 40 + 1), 1)
    assert (_logits(model, edited, target) - _logits(model, source, target)).abs().max() > 1e-3


def test_generation_in_a_batch_equals_generation_alone():
    model = HEAD.build("mixed")
    ids, mask = _left_padded([20, 9])
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    together = model.generate(input_ids=ids, attention_mask=mask, **options)
    assert torch.equal(together[1:], model.generate(input_ids=ids[1:, 11:], **options))


def test_the_source_is_read_once_in_generation():
    model, calls = HEAD.build("lsh"), []
    model.reformer.encoder.register_forward_hook(lambda *_: calls.append("encoder"))
    for name, module in model.reformer.decoder.named_modules():
        if name.endswith("function.key") and module.in_features == 64:
            module.register_forward_hook(lambda *_: calls.append("keys"))
    model.generate(input_ids=random_ids(2, 20), max_new_tokens=8, do_sample=False, pad_token_id=0, use_cache=True)
    assert sorted(calls) == ["encoder", "keys", "keys"]


def test_a_target_written_on_from_a_prefix_with_padding():
    model = HEAD.build("mixed")
    source, (target, mask) = random_ids(2, 20), _left_padded([7, 4])
    options = {"max_new_tokens": 9, "do_sample": False, "pad_token_id": 0}
    together, uncached = (
        model.generate(
            input_ids=source, decoder_input_ids=target, decoder_attention_mask=mask, use_cache=use_cache, **options
        )
        for use_cache in (True, False)
    )
    assert torch.equal(together, uncached)


def test_labels_are_read_shifted_and_smoothed_in_training_alone():
    model, source = HEAD.build("mixed", label_smoothing=0.2), random_ids(2, 20)
    labels = random_ids(2, 9)
    labels[1, 6:] = -100
    read = torch.cat((torch.zeros(2, 1).long(), labels[:, :-1]), 1).clamp_min(0)
    assert torch.equal(model.prepare_decoder_input_ids_from_labels(labels), read)
    found = model(input_ids=source, labels=labels)
    assert torch.equal(found.logits, _logits(model, source, read))
    losses = {
        smoothing: torch.nn.functional.cross_entropy(
            found.logits.flatten(0, 1), labels.flatten(), label_smoothing=smoothing
        )
        for smoothing in (0.0, 0.2)
    }
    assert torch.isclose(found.loss, losses[0.0])
    for module in model.modules():
        # Training mode of the head alone keeps the rotations of evaluation.
        module.training = module is model
    assert torch.isclose(model(input_ids=source, labels=labels).loss, losses[0.2])


def test_encoder_outputs_or_vectors_take_the_place_of_the_source():
    model, source, target = HEAD.build("mixed"), random_ids(2, 20), random_ids(2, 5)
    with torch.no_grad():
        outputs = model.get_encoder()(source)
        found = model(encoder_outputs=outputs, decoder_input_ids=target).logits
        vectors = model.get_input_embeddings()(source)
        from_vectors = model(inputs_embeds=vectors, decoder_input_ids=target).logits
    expected = _logits(model, source, target)
    assert torch.equal(found, expected)
    assert torch.equal(from_vectors, expected)


def test_the_auto_class_knows_it(tmp_path):
    HEAD.build("lsh").save_pretrained(tmp_path)
    assert isinstance(AutoModelForSeq2SeqLM.from_pretrained(tmp_path), ReformerForConditionalGeneration)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"is_decoder": True}, "leave is_decoder out"),
        ({"cross_attention_layers": ["full"]}, "1 entries for the decoder's 2 layers"),
        ({"cross_attention_layers": ["local", "full"]}, "cross_attention_layers has 'local'; expected 'full', 'lsh'"),
        ({"decoder_attention_layers": []}, r"decoder_attention_layers=\[\]: expected at least one"),
        ({"decoder_start_token_id": 41}, "expected a token of the vocabulary of 41"),
        ({"pad_token_id": None}, "decoder_start_token_id=None"),
        ({"label_smoothing": 1.0}, "expected a probability"),
        ({"is_encoder_decoder": False}, "no effect without is_encoder_decoder=True"),
    ],
)
def test_bad_configurations(fields, message):
    with pytest.raises(ValueError, match=message):
        ReformerConfig(**{**SMALL, **ENCODER_DECODER, **fields})


def test_what_an_encoder_decoder_refuses():
    with pytest.raises(ValueError, match="loaded as ReformerForConditionalGeneration"):
        ReformerForTokenClassification(ReformerConfig(**SMALL, is_encoder_decoder=True))
    with pytest.raises(ValueError, match="is_encoder_decoder=False"):
        ReformerForConditionalGeneration(ReformerConfig(**SMALL))
    with pytest.raises(ValueError, match="no target"):
        HEAD.build()(input_ids=random_ids(1, 3))
