"""Reversible gradients equal those of the same model run without reversing."""

import pytest
import torch

from reformer.insight.doctor.gradients import plain_twin
from tests.contract.models import HEADS, every_head_and_variant, every_variant, random_ids


def _gradients(model, ids, head, seed=7):
    torch.manual_seed(seed)
    model.zero_grad()
    model(input_ids=ids, **head.labels(ids)).loss.backward()
    return {name: p.grad for name, p in model.named_parameters()}


def _twins(head, variant, **options):
    model = head.build(variant, **options).train()
    return model, plain_twin(model)


def _assert_equal(found, expected, bound):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None, name
        else:
            assert found[name] is not None, name
            assert (found[name] - gradient).abs().max() < bound, name


@every_head_and_variant
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_gradients_equal_the_plain_twin_dropout_included(head, variant, dtype, bound):
    model, plain = (twin.to(dtype) for twin in _twins(head, variant, hidden_dropout_prob=0.2, initializer_range=0.05))
    ids = random_ids(2, 37)
    _assert_equal(_gradients(model, ids, head), _gradients(plain, ids, head), bound)


@every_variant
@pytest.mark.parametrize("frozen", ["embeddings", "sublayers.0", "sublayers.1", "encoder", "value.weight"])
def test_gradients_hold_with_frozen_parts(variant, frozen):
    head = HEADS["token-classification"]
    twins = [twin.double() for twin in _twins(head, variant, hidden_dropout_prob=0.1)]
    for twin in twins:
        for name, parameter in twin.named_parameters():
            parameter.requires_grad_(frozen not in name)
    ids = random_ids(2, 23)
    _assert_equal(_gradients(twins[0], ids, head), _gradients(twins[1], ids, head), 1e-9)


@every_variant
def test_gradients_hold_in_eval_mode_and_through_autograd_grad(variant):
    head, ids = HEADS["token-classification"], random_ids(2, 23)
    found = []
    for twin in _twins(head, variant):
        twin = twin.double().eval()
        loss = twin(input_ids=ids, **head.labels(ids)).loss
        found.append(torch.autograd.grad(loss, list(twin.parameters())))
    for ours, plain in zip(*found, strict=True):
        assert (ours - plain).abs().max() < 1e-9


@every_variant
def test_several_forward_passes_may_wait_for_their_backward(variant):
    head = HEADS["token-classification"]
    batches = [random_ids(2, length) for length in (11, 30, 19)]
    found = []
    for twin in _twins(head, variant, hidden_dropout_prob=0.1):
        twin = twin.double()
        torch.manual_seed(3)
        losses = [twin(input_ids=ids, **head.labels(ids)).loss for ids in batches]
        for loss in reversed(losses):
            loss.backward()
        found.append({name: p.grad for name, p in twin.named_parameters()})
    _assert_equal(*found, 1e-9)


@every_variant
def test_a_change_of_mode_between_forward_and_backward_is_harmless(variant):
    head, ids = HEADS["token-classification"], random_ids(2, 23)
    found = []
    for twin in _twins(head, variant, hidden_dropout_prob=0.3):
        twin = twin.double().train()
        torch.manual_seed(3)
        loss = twin(input_ids=ids, **head.labels(ids)).loss
        twin.eval()
        loss.backward()
        found.append({name: p.grad for name, p in twin.named_parameters()})
    _assert_equal(*found, 1e-9)


@every_variant
def test_gradients_hold_under_autocast(variant):
    head, ids = HEADS["token-classification"], random_ids(2, 23)
    found = []
    for twin in _twins(head, variant, initializer_range=0.05):
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16):
            loss = twin(input_ids=ids, **head.labels(ids)).loss
        # Outside of the block, as training loops do it.
        loss.backward()
        found.append(torch.cat([p.grad.flatten() for p in twin.parameters()]))
    # bfloat16 keeps eight bits: recomputed inputs differ by that much, and the gradients' direction must not.
    assert torch.nn.functional.cosine_similarity(*found, dim=0) > 0.999
    assert abs(found[0].norm() / found[1].norm() - 1) < 0.02


def test_backward_twice_gives_the_same_gradient():
    head, ids = HEADS["token-classification"], random_ids(2, 23)
    model = head.build("mixed", hidden_dropout_prob=0.1).train()
    loss = model(input_ids=ids, **head.labels(ids)).loss
    first = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    second = torch.autograd.grad(loss, list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_gradients_given_from_outside_stay_as_they_are():
    model = HEADS["causal-lm"].build("local+lsh").train().reformer
    streams = model(input_ids=random_ids(2, 20)).last_hidden_state
    given = torch.randn_like(streams)
    kept = given.clone()
    streams.backward(given)
    assert torch.equal(given, kept)
    layers = model.encoder
    first, second = torch.randn(2, 2, 20, 32, requires_grad=True).unbind()
    mask = torch.ones(2, 20, dtype=torch.bool)
    outputs = layers(first, second, model.tokens(mask, first))
    torch.autograd.backward(outputs, (given[..., :32], given[..., 32:]))
    assert torch.equal(given, kept)


def test_inputs_embeds_get_their_gradient():
    head = HEADS["token-classification"]
    found = []
    for twin in _twins(head, "mixed"):
        torch.manual_seed(3)
        vectors = torch.randn(2, 19, 32, dtype=torch.float64, requires_grad=True)
        loss = twin.double()(inputs_embeds=vectors, labels=torch.zeros(2, 19, dtype=torch.int64)).loss
        found.append(torch.autograd.grad(loss, vectors)[0])
    assert (found[0] - found[1]).abs().max() < 1e-9
