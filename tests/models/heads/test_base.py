"""What all heads share: the loss over labelled tokens, smoothed labels, and tuples in place of outputs."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from reformer.data.labels import IGNORED
from reformer.models.heads import IGNORE_INDEX
from tests.contract.models import HEADS, outputs, random_ids


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


@pytest.mark.parametrize("name", ["causal-lm", "masked-lm", "token-classification", "sequence-classification"])
def test_labels_are_smoothed_in_training_alone(name):
    head, ids = HEADS[name], random_ids(3, 17)
    model, labels = head.build("local", label_smoothing=0.3), head.labels(ids)
    logits = outputs(model, ids)
    wanted = labels["labels"]
    if name == "causal-lm":
        logits, wanted = logits[:, :-1], wanted[:, 1:]
    for smoothing in (0.0, 0.3):
        expected = cross_entropy(logits.flatten(0, -2), wanted.flatten(), label_smoothing=smoothing)
        found = model.train(smoothing > 0)(input_ids=ids, **labels).loss
        assert found.item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("question-answering", {}, "no effect on ReformerForQuestionAnswering, whose targets are no classes"),
        ("token-classification", {"classifier_crf": True}, "with classifier_crf=True"),
    ],
)
def test_what_has_no_classes_refuses_it(name, fields, message):
    with pytest.raises(ValueError, match=f"label_smoothing=0.1 .*{message}"):
        HEADS[name].build("local", label_smoothing=0.1, **fields)


def test_a_tuple_on_request():
    model, ids = HEADS["token-classification"].build(), random_ids(1, 4)
    loss, logits = model(input_ids=ids, labels=ids % 5, return_dict=False)
    assert loss.dim() == 0
    assert logits.shape == (1, 4, 5)


def test_ignored_labels_are_those_of_pytorch_and_of_the_data():
    assert torch.nn.CrossEntropyLoss().ignore_index == IGNORE_INDEX == IGNORED
