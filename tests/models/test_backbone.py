"""The backbone: n-grams, dropout of whole tokens, and dropout that is set anew."""

import pytest
import torch

from tests.contract.models import HEADS, random_ids


def test_groups_of_tokens_need_ids():
    model = HEADS["token-classification"].build("ngrams")
    with pytest.raises(ValueError, match="groups of tokens need their ids"):
        model(inputs_embeds=torch.zeros(1, 4, 32))


def test_a_token_that_is_left_out_has_no_say_in_training_alone():
    model = HEADS["token-classification"].build("none", token_dropout=0.5)
    ids = torch.full((1, 64), 7)
    embedded = []
    model.reformer.encoder.register_forward_pre_hook(lambda _, inputs: embedded.append(inputs[0]))
    model.train()(ids)
    model.eval()(ids)
    trained, whole = embedded
    left_out = (trained.abs() == model.config.initializer_range).all(-1)
    assert 10 < left_out.sum() < 54
    assert torch.allclose(trained[~left_out], 2 * whole[~left_out])
    assert torch.equal(trained[left_out], trained[left_out][:1].expand(int(left_out.sum()), -1))
    assert not (whole.abs() == model.config.initializer_range).all(-1).any()


@pytest.mark.parametrize("name", ["token-classification", "encoder-decoder"])
def test_hidden_dropout_is_set_everywhere(name):
    head, ids = HEADS[name], random_ids(2, 17)
    # Hashed layers would draw their rotations.
    fields = {"cross_attention_layers": ["full"], "decoder_attention_layers": ["local"]} if "decoder" in name else {}
    model = head.build("local", hidden_dropout_prob=0.4, **fields)
    model.train().dropout = torch.nn.Identity()

    def losses():
        return {model(input_ids=ids, **head.labels(ids)).loss.item() for _ in range(3)}

    assert len(losses()) == 3
    model.set_hidden_dropout(0.0)
    assert len(losses()) == 1
    assert model.config.hidden_dropout_prob == 0.4
