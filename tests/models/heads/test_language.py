"""Language-modelling heads: which token a loss predicts."""

import torch
from torch.nn.functional import cross_entropy

from tests.contract.models import HEADS, random_ids


def test_causal_loss_predicts_the_next_token():
    model, ids = HEADS["causal-lm"].build(), random_ids(2, 9)
    labels = ids.clone()
    labels[0, :4] = -100
    found = model(input_ids=ids, labels=labels)
    expected = cross_entropy(found.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    assert torch.isclose(found.loss, expected)
