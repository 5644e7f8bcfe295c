"""Tokens that go without their embeddings in training leave gradients of an ordinary size."""

import pytest
import torch

from tests.contract.models import HEADS, every_variant, random_ids


@every_variant
@pytest.mark.parametrize("name", ["causal-lm", "token-classification"])
def test_gradients_of_a_fresh_model_keep_their_size(name, variant):
    head = HEADS[name]
    ids = random_ids(2, 23)
    sizes = []
    for probability in (0.0, 0.5):
        largest = 0.0
        for seed in range(6):
            torch.manual_seed(seed)
            model = head.model(head.build(variant, token_dropout=probability).config).train()
            model(input_ids=ids, **head.labels(ids)).loss.backward()
            found = [each.grad for each in model.parameters() if each.grad is not None]
            assert all(each.isfinite().all() for each in found)
            largest = max(largest, *(float(each.abs().max()) for each in found))
        sizes.append(largest)
    assert sizes[1] < 100 * sizes[0]
