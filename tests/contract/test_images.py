"""The contract for classifiers of images."""

import copy
from typing import Any

import pytest
import torch

from reformer.models import ReformerConfig, ReformerForImageClassification
from tests.contract.models import LABELS, SMALL, VARIANTS

every_variant = pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "ngrams"])


def _build(variant: str = "mixed", **options: Any) -> ReformerForImageClassification:
    fields = {"patch_size": 2, "num_channels": 3, **options, "vocab_size": 0}
    return ReformerForImageClassification(ReformerConfig(**{**SMALL, **VARIANTS[variant], **fields})).eval()


@every_variant
@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 10), (32, 30)])
def test_every_size_trains(variant, height, width):
    model = _build(variant).train()
    loss = model(torch.rand(2, 3, height, width), labels=torch.tensor([0, LABELS - 1])).loss
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_variant
def test_batch_mates_change_nothing_and_evaluation_is_deterministic(variant):
    model, pixels = _build(variant, hidden_dropout_prob=0.1), torch.rand(3, 3, 8, 6)
    with torch.no_grad():
        together = model(pixels).logits
        assert torch.equal(model(pixels).logits, together)
        assert (model(pixels[1:2]).logits - together[1:2]).abs().max() < 1e-5


@every_variant
def test_gradients_equal_the_plain_twin_dropout_included(variant):
    model = _build(variant, hidden_dropout_prob=0.2, initializer_range=0.05).double().train()
    plain = copy.deepcopy(model)
    plain.reformer.encoder.reversible = False
    pixels = torch.rand(2, 3, 8, 6, dtype=torch.float64)
    for twin in (model, plain):
        torch.manual_seed(7)
        twin(pixels, labels=torch.tensor([1, 2])).loss.backward()
    for ours, expected in zip(model.parameters(), plain.parameters(), strict=True):
        assert (ours.grad - expected.grad).abs().max() < 1e-9


@every_variant
def test_loading_gives_the_same_outputs_bit_for_bit(variant, tmp_path):
    model, pixels = _build(variant), torch.rand(2, 3, 8, 6)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(
            ReformerForImageClassification.from_pretrained(tmp_path)(pixels).logits, model(pixels).logits
        )


def test_a_token_is_a_square_of_pixels_row_by_row():
    model = _build(patch_size=2, num_channels=1)
    seen = []
    model.embed.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(torch.arange(24.0).reshape(1, 1, 4, 6))
    assert seen[0][0, :, :].tolist()[:2] == [[0, 1, 6, 7], [2, 3, 8, 9]]
    assert seen[0].shape == (1, 6, 4)


@pytest.mark.parametrize("shape", [(3, 8, 6), (1, 1, 8, 6), (1, 3, 7, 6)])
def test_pixels_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \[batch, num_channels=3, height, width\] with sides"):
        _build()(torch.rand(shape))


def test_a_vocabulary_is_refused():
    with pytest.raises(ValueError, match="vocab_size=9: images have no tokens"):
        ReformerForImageClassification(ReformerConfig(**{**SMALL, "vocab_size": 9}))
