"""Label smoothing in every head that tells classes apart, and dropout that is set anew."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from reformer.models import ReformerConfig, ReformerForForecasting
from tests.contract.models import HEADS, LABELS, outputs, random_ids


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
        ("token-classification", {"classifier_random_field": True}, "with classifier_random_field=True"),
    ],
)
def test_what_has_no_classes_refuses_it(name, fields, message):
    with pytest.raises(ValueError, match=f"label_smoothing=0.1 .*{message}"):
        HEADS[name].build("local", label_smoothing=0.1, **fields)


def test_numbers_and_several_labels_cannot_be_smoothed():
    ids = random_ids(2, 9)
    model = HEADS["sequence-classification"].build("local", label_smoothing=0.1)
    with pytest.raises(ValueError, match="problem_type='multi_label_classification': there is no one class"):
        model(input_ids=ids, labels=torch.rand(2, LABELS))
    with pytest.raises(ValueError, match="no effect on ReformerForForecasting"):
        ReformerForForecasting(ReformerConfig(vocab_size=0, label_smoothing=0.1))


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
