"""What callers of transformers know is honoured or refused, and what nobody knows is refused."""

import pytest
import torch

from tests.contract.models import HEADS, VARIANTS, random_ids


def _call(head, **arguments):
    ids = random_ids(2, 20)
    target = {"decoder_input_ids": ids} if head == "encoder-decoder" else {}
    return HEADS[head].build()(input_ids=ids, **target, **arguments)


@pytest.mark.parametrize("head", [name for name in HEADS if not name.startswith("wide-characters")])
def test_an_argument_without_an_effect_is_refused(head):
    with pytest.raises(TypeError, match="got an unexpected argument 'attention_masks'"):
        _call(head, attention_masks=torch.ones(2, 20))
    with pytest.raises(TypeError, match="got an unexpected argument 'use_cahe'"):
        _call(head, use_cahe=False)
    with pytest.raises(ValueError, match="output_attentions=True: the weights of attention are never held; leave it"):
        _call(head, output_attentions=True)
    with pytest.raises(ValueError, match=r"token_type_ids of shape \(2, 20\): there is one type of tokens, 0"):
        _call(head, token_type_ids=torch.ones(2, 20, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"head_mask of shape \(2,\): heads are left out by"):
        _call(head, head_mask=torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("head", [name for name in HEADS if not name.startswith("wide-characters")])
def test_an_argument_that_asks_for_nothing_is_taken(head):
    _call(
        head,
        output_attentions=False,
        output_hidden_states=False,
        token_type_ids=torch.zeros(2, 20, dtype=torch.int64),
        head_mask=torch.ones(2),
        cache_position=None,
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_hidden_states_are_those_of_each_layer(variant):
    """They are the streams that a model of fewer layers ends with, and gradients go through them."""
    model, ids = HEADS["token-classification"].build(variant), random_ids(2, 33)
    if variant == "hourglass":
        with pytest.raises(ValueError, match="output_hidden_states with shortened_layers"):
            model(input_ids=ids, output_hidden_states=True)
        return
    plain = model(input_ids=ids)
    found = model(input_ids=ids, output_hidden_states=True)
    backbone = model.reformer(input_ids=ids)
    assert torch.equal(plain.logits, found.logits)
    assert len(found.hidden_states) == len(model.config.attention_layers) + 1
    assert torch.equal(found.hidden_states[-1], backbone.last_hidden_state)
    assert all(state.shape == backbone.last_hidden_state.shape for state in found.hidden_states)
    if len(found.hidden_states) == 2:
        return
    per_layer = len(model.reformer.encoder.sublayers) // len(model.config.attention_layers)
    model.reformer.encoder.sublayers = model.reformer.encoder.sublayers[:per_layer]
    first = model.reformer(input_ids=ids).last_hidden_state
    assert torch.equal(first, model.reformer.norm(found.hidden_states[1]))
    assert model.reformer(input_ids=ids, return_dict=False)[0].equal(first)
    found.hidden_states[0].sum().backward()
    assert model.reformer.embeddings.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("variant", ["mixed", "post-norm"])
def test_the_gradient_of_the_output_reaches_every_hidden_state(variant):
    """What comes out is computed from the hidden states: by their gradients it can be told what it depends on."""
    model, ids = HEADS["token-classification"].build(variant), random_ids(2, 17)
    found = model(input_ids=ids, output_hidden_states=True)
    gradients = torch.autograd.grad(found.logits[0, 3, 1], found.hidden_states)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_configuration_may_ask_for_hidden_states():
    model = HEADS["causal-lm"].build(output_hidden_states=True)
    assert len(model(input_ids=random_ids(1, 9)).hidden_states) == 4
    assert model(input_ids=random_ids(1, 9), output_hidden_states=False).hidden_states is None
    pair = _call("encoder-decoder", output_hidden_states=True)
    assert (len(pair.encoder_hidden_states), len(pair.decoder_hidden_states)) == (4, 3)


def test_generation_gives_the_hidden_states_of_both_stacks():
    wanted = {"output_hidden_states": True, "return_dict_in_generate": True, "max_new_tokens": 2, "min_new_tokens": 2}
    pair = HEADS["encoder-decoder"].build().generate(random_ids(1, 9), **wanted)
    assert len(pair.encoder_hidden_states) == 4
    assert [len(states) for states in pair.decoder_hidden_states] == [3, 3]


@pytest.mark.parametrize("variant", ["local", "lsh"])
def test_generation_takes_rounds_where_one_stack_hashes(variant):
    """Also where that is the decoder alone: nothing of the encoder could heed them."""
    model, ids = HEADS["encoder-decoder"].build(variant), random_ids(2, 12)
    told = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    found = model.generate(ids, num_rounds=1, **told)
    read = model.reformer.read(ids, num_rounds=1)
    assert torch.equal(found, model.generate(encoder_outputs=read, num_rounds=1, **told))


def test_hidden_states_have_the_gradients_of_what_is_not_run_again():
    model, ids = HEADS["causal-lm"].build("mixed").train(), random_ids(1, 40)
    gradients = []
    for asked in (False, True):
        torch.manual_seed(0)
        model.zero_grad()
        model(input_ids=ids, labels=ids, output_hidden_states=asked).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for expected, found in zip(*gradients, strict=True):
        assert (found - expected).abs().max() <= 1e-4 * expected.abs().max().clamp_min(1)


def test_layers_that_are_left_out_have_no_hidden_states():
    model = HEADS["causal-lm"].build(layer_drop=0.5).train()
    with pytest.raises(ValueError, match="output_hidden_states in training with layer_drop"):
        model(input_ids=random_ids(1, 9), output_hidden_states=True)


def test_shifted_labels_stand_at_the_token_before():
    model, ids = HEADS["causal-lm"].build(), random_ids(2, 20)
    shifted = torch.nn.functional.pad(ids[:, 1:], (0, 1), value=-100)
    expected = model(input_ids=ids, labels=ids).loss
    assert torch.equal(model(input_ids=ids, shift_labels=shifted).loss, expected)
    assert torch.equal(model(input_ids=ids, labels=ids, shift_labels=shifted).loss, expected)


def test_logits_may_be_asked_for_by_their_index():
    model, ids = HEADS["causal-lm"].build(), random_ids(2, 20)
    every = model(input_ids=ids).logits
    assert torch.allclose(model(input_ids=ids, logits_to_keep=torch.tensor([3, 19])).logits, every[:, [3, 19]])
    assert torch.allclose(model(input_ids=ids, logits_to_keep=2).logits, every[:, -2:])
