"""What the heads compute from the backbone's output, and their losses."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from reformer.models import ReformerConfig, ReformerForSequenceClassification
from tests.contract.models import HEADS, SMALL, random_ids


def test_causal_loss_predicts_the_next_token():
    model, ids = HEADS["causal-lm"].build(), random_ids(2, 9)
    labels = ids.clone()
    labels[0, :4] = -100
    found = model(input_ids=ids, labels=labels)
    expected = cross_entropy(found.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    assert torch.isclose(found.loss, expected)


@pytest.mark.parametrize("name", ["masked-lm", "token-classification"])
def test_token_losses_ignore_minus_100_and_take_a_count(name):
    model, ids = HEADS[name].build(), random_ids(2, 9)
    labels = ids % 5
    labels[:, ::2] = -100
    found = model(input_ids=ids, labels=labels)
    expected = cross_entropy(found.logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    assert torch.isclose(found.loss, expected)
    counted = model(input_ids=ids, labels=labels, num_items_in_batch=20)
    assert torch.isclose(counted.loss, expected * (labels != -100).sum() / 20)


def test_a_batch_without_labels_to_learn_from_has_loss_zero():
    model, ids = HEADS["token-classification"].build(), random_ids(2, 9)
    loss = model(input_ids=ids, labels=torch.full((2, 9), -100)).loss
    loss.backward()
    assert loss == 0


@pytest.mark.parametrize("pooling", ["mean", "max", "attention", "first"])
def test_pooling_reads_the_real_tokens(pooling):
    model = HEADS["sequence-classification"].build(classifier_pooling=pooling)
    ids, mask = random_ids(1, 9), torch.tensor([[0, 0, 1, 1, 1, 1, 0, 0, 0]])
    hidden = model.reformer(ids, mask).last_hidden_state[0, 2:6]
    shares = (model.weigh(hidden) if pooling == "attention" else torch.zeros(4, 1)).softmax(0)
    means = {"mean": hidden.mean(0), "attention": (shares * hidden).sum(0)}
    pooled = {**means, "max": hidden.amax(0), "first": hidden[0]}[pooling]
    assert torch.allclose(model(ids, mask).logits[0], model.classifier(pooled), atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "options", "loss"),
    [
        (torch.tensor([1, 4]), {}, cross_entropy),
        (torch.rand(2, 5), {}, binary_cross_entropy_with_logits),
        (torch.rand(2, 1), {"num_labels": 1}, mse_loss),
    ],
)
def test_a_classifier_takes_classes_several_labels_or_a_number(labels, options, loss):
    model = ReformerForSequenceClassification(
        ReformerConfig(**{**SMALL, "attention_layers": ["local"], **options})
    ).eval()
    ids = random_ids(2, 7)
    found = model(input_ids=ids, labels=labels)
    assert torch.isclose(found.loss, loss(found.logits, labels))
    counted = model(input_ids=ids, labels=labels, num_items_in_batch=8).loss
    assert torch.isclose(counted, found.loss * 2 / 8)


def test_question_answering_ignores_positions_outside_and_padding():
    model, ids = HEADS["question-answering"].build(), random_ids(2, 8)
    mask = torch.ones(2, 8)
    mask[:, 6:] = 0
    found = model(ids, mask, start_positions=torch.tensor([1, 99]), end_positions=torch.tensor([3, -1]))
    expected = (cross_entropy(found.start_logits[:1], torch.tensor([1])) +
                cross_entropy(found.end_logits[:1], torch.tensor([3]))) / 2  # fmt: skip
    assert torch.isclose(found.loss, expected)
    assert found.start_logits[:, 6:].isneginf().all()
    assert found.end_logits[:, :6].isfinite().all()


def test_a_tuple_on_request():
    model, ids = HEADS["token-classification"].build(), random_ids(1, 4)
    loss, logits = model(input_ids=ids, labels=ids % 5, return_dict=False)
    assert loss.dim() == 0
    assert logits.shape == (1, 4, 5)


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
    left_out = (trained == 0).all(-1)
    assert 10 < left_out.sum() < 54
    assert torch.allclose(trained[~left_out], 2 * whole[~left_out])
    assert not (whole == 0).all(-1).any()
