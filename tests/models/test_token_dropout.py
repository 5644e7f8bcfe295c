"""Tokens that go without their embeddings in training leave gradients of an ordinary size."""

import torch

from tests.contract.models import heads_and_variants, random_ids


@heads_and_variants(("causal-lm", "token-classification"), ("causal-lm",))
def test_gradients_of_a_fresh_model_keep_their_size(head, variant):
    ids = random_ids(2, 23)
    sizes = []
    for probability in (0.0, 0.5):
        largest = 0.0
        config = head.build(variant, token_dropout=probability).config
        for seed in range(4):
            torch.manual_seed(seed)
            model = head.model(config).train()
            model(input_ids=ids, **head.labels(ids)).loss.backward()
            found = [each.grad for each in model.parameters() if each.grad is not None]
            assert all(each.isfinite().all() for each in found)
            largest = max(largest, *(float(each.abs().max()) for each in found))
        sizes.append(largest)
    assert sizes[1] < 100 * sizes[0]
