"""In a graph a training step waits for no number: no shape and no branch depends on what a tensor holds."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from reformer.ops import gpu
from tests.contract.models import HEADS, every_head, random_ids


@pytest.fixture(autouse=True)
def _in_a_graph(monkeypatch):
    monkeypatch.setattr(gpu, "is_capturing", lambda: True)


def _step(head, variant):
    """On tensors without numbers, which end with an error where one would be asked for."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model, ids = head.build(variant).train(), random_ids(2, 40)
        mask = torch.ones(2, 40, dtype=torch.bool)
        model(input_ids=ids, attention_mask=mask, **head.labels(ids)).loss.backward()
        assert all(p.grad is not None for p in model.parameters())


@every_head
def test_every_head_trains_without_waiting(head):
    _step(head, "local+lsh")


@pytest.mark.parametrize("variant", ["separate", "mixed", "grouped", "hourglass"])
def test_all_kinds_of_attention_train_without_waiting(variant):
    _step(HEADS["token-classification"], variant)
