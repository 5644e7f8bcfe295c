"""A long sequence whose sub-layers run a part of the tokens at a time has the values and gradients of one run whole."""

import pytest
import torch

from reformer.insight.doctor.gradients import plain_twin
from reformer.nn import token_parts
from reformer.ops import reuse
from tests.contract.models import HEADS, every_head_and_variant, every_variant, random_ids


@pytest.fixture
def by_parts(monkeypatch):
    """Streams of any length are run a few tokens at a time; counts how often parts were asked for."""
    asked, parts_of = [], token_parts.parts_of

    def counted(hidden):
        parts = parts_of(hidden)
        asked.append(parts is not None and len(parts) > 1)
        return parts

    def set_up(bytes_of_part):
        monkeypatch.setattr(token_parts, "WHOLE_BYTES", 0 if bytes_of_part else 1 << 60)
        monkeypatch.setattr(token_parts, "PART_BYTES", bytes_of_part)
        # And what is used again lies in memory that was used before, which would show in the values.
        monkeypatch.setattr(reuse, "WORTH_REUSE", 1)
        asked.clear()

    for module in ("sublayer", "joined_norm"):
        monkeypatch.setattr(f"reformer.nn.{module}.parts_of", counted)
    return set_up, asked


def _gradients(model, ids, head, mask):
    torch.manual_seed(7)
    model.zero_grad()
    model(input_ids=ids, attention_mask=mask, **head.labels(ids)).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@every_head_and_variant
def test_values_and_gradients_are_those_of_the_whole(head, variant, by_parts):
    set_up, asked = by_parts
    set_up(0)
    model = head.build(variant, hidden_dropout_prob=0.2, initializer_range=0.05).double().train()
    ids = random_ids(2, 37)
    mask = torch.ones_like(ids)
    if not head.causal:
        mask[1, -9:] = 0
    expected = _gradients(plain_twin(model), ids, head, mask)
    set_up(2 * 7 * 32 * 8)
    found = _gradients(model, ids, head, mask)
    assert any(asked)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() < 1e-9, name


@every_variant
def test_evaluation_is_that_of_the_whole(variant, by_parts):
    set_up, asked = by_parts
    head, ids = HEADS["token-classification"], random_ids(2, 37)
    model = head.build(variant, initializer_range=0.05).double().eval()
    logits = []
    for size in (0, 2 * 5 * 32 * 8):
        set_up(size)
        with torch.no_grad():
            logits.append(model(input_ids=ids).logits)
    assert any(asked)
    assert (logits[0] - logits[1]).abs().max() < 1e-10


@every_variant
def test_gradients_hold_under_autocast(variant, by_parts):
    set_up, _ = by_parts
    head, ids = HEADS["token-classification"], random_ids(2, 37)
    model = head.build(variant, initializer_range=0.05).train()
    found = []
    for size in (0, 2 * 8 * 32 * 4):
        set_up(size)
        torch.manual_seed(3)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=ids, **head.labels(ids)).loss
        loss.backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.nn.functional.cosine_similarity(*found, dim=0) > 0.999
    assert abs(found[0].norm() / found[1].norm() - 1) < 0.02


@pytest.mark.parametrize("hooked", ["sublayers.0", "sublayers.0.function"])
def test_hooks_are_called(hooked, by_parts):
    set_up, _ = by_parts
    set_up(256)
    model = HEADS["token-classification"].build("lsh").eval()
    seen = []
    stack = model.reformer.encoder
    stack.get_submodule(hooked).register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    with torch.no_grad():
        model(input_ids=random_ids(2, 37))
    assert seen == [(2, 37, 32)]
