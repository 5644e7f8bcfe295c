"""The device on which the caller makes new tensors changes nothing: a model's tensors are on the model's device."""

from functools import partial

import torch

from reformer.ops import random_rotations, rotations_of_rounds
from reformer.ops.self_check import SelfCheck
from reformer.ops.window_attention import eager
from reformer.ops.window_attention import self_check as attention_check
from tests.contract.models import every_head_and_variant, random_ids

ELSEWHERE = torch.device("meta")
"""What is made here by mistake has no values, and is noticed on a machine without a second device."""


@every_head_and_variant
def test_the_default_device_changes_nothing(head, variant):
    def loss_and_gradients():
        model.zero_grad()
        torch.manual_seed(0)
        loss = model(input_ids=ids, attention_mask=mask, **labels).loss
        loss.backward()
        return loss.detach(), [parameter.grad for parameter in model.parameters()]

    model, ids = head.build(variant).train(), random_ids(2, 30)
    mask, labels = torch.arange(30) < torch.tensor([[30], [11]]), head.labels(ids)
    expected = loss_and_gradients()
    with ELSEWHERE:
        found = loss_and_gradients()
    torch.testing.assert_close(found, expected)


def test_further_rounds_do_not_hang_on_the_default_device():
    rotations = random_rotations(2, 2, 8, [4, 6])
    expected = rotations_of_rounds(rotations, 5)
    with ELSEWHERE:
        torch.testing.assert_close(rotations_of_rounds(rotations, 5), expected)


def test_kernels_are_checked_whatever_the_default_device():
    check = SelfCheck("window_attention", partial(attention_check.discrepancy, eager.attend))
    with ELSEWHERE:
        assert check.failure(torch.device("cpu")) is None
