"""Sequence classification: its poolings, and the losses of its problem types."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from reformer.models import ReformerConfig, ReformerForForecasting, ReformerForSequenceClassification
from tests.contract.models import HEADS, LABELS, SMALL, random_ids


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
    # As Trainer counts them.
    items = int((labels != -100).sum())
    counted = model(input_ids=ids, labels=labels, num_items_in_batch=8).loss
    assert torch.isclose(counted, found.loss * items / 8)


def test_numbers_and_several_labels_cannot_be_smoothed():
    ids = random_ids(2, 9)
    model = HEADS["sequence-classification"].build("local", label_smoothing=0.1)
    with pytest.raises(ValueError, match="problem_type='multi_label_classification': there is no one class"):
        model(input_ids=ids, labels=torch.rand(2, LABELS))
    with pytest.raises(ValueError, match="no effect on ReformerForForecasting"):
        ReformerForForecasting(ReformerConfig(vocab_size=0, label_smoothing=0.1))


CHARACTERS = {
    "character_pieces": torch.tensor([[1, 1, 2, 3, 3, 3], [0, 1, -1, -1, -1, -1]]),
    "character_ids": torch.tensor([[5, 6, 7, 8, 9, 5], [6, 7, 0, 0, 0, 0]]),
    "character_places": torch.tensor([[0, 1, 0, 0, 1, 2], [0, 0, 0, 0, 0, 0]]),
}


@pytest.mark.parametrize("options", [{}, {"classifier_crf": True}, {"residual_streams": 1, "reversible": False}])
def test_characters_are_labelled_over_tokens(options):
    model = HEADS["token-classification"].build("local", classifier_reads="characters", **options)
    ids = random_ids(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    labels = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, -100, -100, -100, -100]])
    with torch.no_grad():
        found = model(ids, mask, labels=labels, **CHARACTERS).logits
        alone = model(ids[1:, :2], **{name: rows[1:, :2] for name, rows in CHARACTERS.items()}).logits
    assert found.shape == (2, 6, 5)
    assert (found[1:, :2] - alone).abs().max() < 1e-5
    model.train()(ids, mask, labels=labels, **CHARACTERS).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_characters_are_given_where_they_are_read_and_only_there():
    ids = random_ids(1, 5)
    reads = HEADS["token-classification"].build("local", classifier_reads="characters")
    with pytest.raises(ValueError, match="'characters': give character_pieces, character_ids and character_places"):
        reads(ids)
    with pytest.raises(ValueError, match="'tokens': give character_pieces"):
        HEADS["token-classification"].build("local")(ids, character_ids=ids)
    with pytest.raises(ValueError, match="classifier_reads='characters' with is_decoder=True"):
        HEADS["causal-token-classification"].build("local", classifier_reads="characters")


def test_logits_for_the_wide_part_are_read_in_place_of_its_own():
    model = HEADS["sequence-classification"].build(wide_sizes=[1], wide_rows=64)
    ids, given = random_ids(2, 7), torch.randn(2, LABELS)
    deep = HEADS["sequence-classification"].build()
    deep.load_state_dict({name: each for name, each in model.state_dict().items() if not name.startswith("wide.")})
    assert torch.allclose(model(ids, wide_logits=given).logits, deep(ids).logits + given, atol=1e-6)
    with pytest.raises(ValueError, match="wide_logits of a model without a wide part; leave them out"):
        deep(ids, wide_logits=given)
