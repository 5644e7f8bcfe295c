"""Extractive question answering: positions outside the text, and padding."""

import torch
from torch.nn.functional import cross_entropy

from tests.contract.models import HEADS, random_ids


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
