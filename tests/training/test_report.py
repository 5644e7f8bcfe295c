"""The report of a run: how many weights the model has, and how many learn."""

from reformer.training.report import count_weights
from tests.contract.models import HEADS


def test_frozen_weights_do_not_count_as_learned():
    model = HEADS["token-classification"].build("local")
    whole = count_weights(model)
    assert count_weights(model, learned=True) == whole == sum(weight.numel() for weight in model.parameters())
    model.classifier.requires_grad_(False)
    assert count_weights(model, learned=True) == whole - sum(w.numel() for w in model.classifier.parameters())
