"""Extractive question answering: positions outside the text, and padding."""

import pytest
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


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("token-classification", {}, "no effect on ReformerForTokenClassification, which is asked no questions"),
        ("question-answering", {"eos_token_id": None}, "without eos_token_id, the token that ends a question"),
        ("question-answering", {"is_decoder": True}, "with is_decoder=True"),
    ],
)
def test_the_question_is_compared_where_there_is_one(name, fields, message):
    with pytest.raises(ValueError, match=rf"question_match_sizes=\[1, 2\] .*{message}"):
        HEADS[name].build("local", question_match_sizes=[1, 2], **fields)


def test_tokens_are_compared_by_ids():
    with pytest.raises(ValueError, match=r"inputs_embeds with question_match_sizes: .* give input_ids"):
        HEADS["question-answering"].build()(inputs_embeds=torch.zeros(1, 4, 32))


def test_what_is_added_beside_is_added_too():
    model, ids = HEADS["question-answering"].build(), random_ids(2, 8)
    plain = model(ids).start_logits
    assert torch.equal(model(ids, added=torch.zeros(2, 8, 32)).start_logits, plain)
    assert not torch.allclose(model(ids, added=torch.randn(2, 8, 32)).start_logits, plain)
    with pytest.raises(ValueError, match=r"added has shape \(1, 1, 32\), expected \(2, 8, 32\)"):
        model(ids, added=torch.zeros(1, 1, 32))
