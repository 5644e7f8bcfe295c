"""A wider model is the same function at first, and no longer once it has learned."""

import pytest
import torch

from reformer.finetuning import FinetuningError, widen
from reformer.models import (
    ReformerConfig,
    ReformerForForecasting,
    ReformerForImageClassification,
    ReformerForImageToText,
)
from reformer.nn import Attention
from tests.contract.models import HEADS, SMALL, every_head_and_variant, outputs, random_ids

UNWIDENED = {
    "sinusoidal": "position_embedding_type='sinusoidal'",
    "plain": "position_embedding_type='sinusoidal'",
    "fourier": "feed_forward_linear='circulant'",
    "hourglass": "shortened_layers",
}
"""The variants with a part whose channels cannot be copied, and what the error names."""

ENCODER_DECODER_LAYERS = {
    "is_encoder_decoder": True,
    "decoder_attention_layers": ["full"],
    "cross_attention_layers": ["full"],
}


@every_head_and_variant
def test_the_function_is_the_trained_one(head, variant):
    if variant in UNWIDENED:
        with pytest.raises(FinetuningError, match=f"^{UNWIDENED[variant]}.* cannot be widened"):
            widen(head.build(variant), 64)
        return
    model, ids = head.build(variant, initializer_range=0.05), random_ids(2, 23)
    wider = widen(model, 96)
    assert wider.config.hidden_size == 96
    assert (outputs(wider, ids) - outputs(model, ids)).abs().max() < 1e-5
    assert (outputs(wider.double(), ids) - outputs(model.double(), ids)).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["causal-lm", "masked-lm"])
def test_scores_by_the_embeddings_stay_too(name, tmp_path):
    model, ids = HEADS[name].build("local", tie_word_embeddings=True, initializer_range=0.05), random_ids(2, 23)
    wider = widen(model, 64)
    assert (outputs(wider, ids) - outputs(model, ids)).abs().max() < 1e-5
    wider.save_pretrained(tmp_path)
    assert torch.equal(outputs(type(wider).from_pretrained(tmp_path), ids), outputs(wider, ids))


def test_a_learned_pooling_and_one_stream_stay_too():
    head, ids = HEADS["sequence-classification"], random_ids(2, 23)
    for options in (
        {"classifier_pooling": "attention"},
        {"residual_streams": 1, "reversible": False},
        {"attention_layers": ["fourier", "local"]},
        # A width of their own that is none.
        {"embedding_size": 32},
    ):
        model = head.build("local", initializer_range=0.05, **options)
        assert (outputs(widen(model, 64), ids) - outputs(model, ids)).abs().max() < 1e-5


def test_copies_of_a_channel_learn_apart():
    head, ids = HEADS["token-classification"], random_ids(2, 23)
    wider = widen(head.build("mixed"), 64).train()
    wider(input_ids=ids, **head.labels(ids)).loss.backward()
    gradient = wider.reformer.embeddings.weight.grad.view(-1, 32, 2)
    assert (gradient[..., 0] - gradient[..., 1]).abs().max() > 1e-3 * gradient.abs().max()


def test_a_width_that_is_no_multiple_is_refused():
    model = HEADS["token-classification"].build("local")
    for width in (48, 16):
        with pytest.raises(FinetuningError, match=f"hidden_size={width}: expected a multiple of"):
            widen(model, width)


def test_pixels_and_series_are_read_as_before():
    fields = {**SMALL, "vocab_size": 0, "attention_layers": ["local", "full"], "initializer_range": 0.05}
    for options in ({}, {"embedding_size": 20}):
        images = ReformerForImageClassification(ReformerConfig(**fields, **options, patch_size=2)).eval()
        series = ReformerForForecasting(
            ReformerConfig(
                **fields, **options, patch_size=4, prediction_length=6, quantiles=[0.1, 0.5], linear_context=8
            )
        ).eval()
        captions = ReformerForImageToText(
            ReformerConfig(**(fields | {"vocab_size": 41}), **options, **ENCODER_DECODER_LAYERS, patch_size=2)
        ).eval()
        pixels, values = torch.rand(2, 1, 6, 8), torch.randn(2, 19, 3)
        target = {"decoder_input_ids": random_ids(2, 7)}
        with torch.no_grad():
            assert (widen(images, 64)(pixels).logits - images(pixels).logits).abs().max() < 1e-5
            assert (widen(captions, 64)(pixels, **target).logits - captions(pixels, **target).logits).abs().max() < 1e-5
            found = widen(series, 64)(values).quantiles
            assert (found - series(values).quantiles).abs().max() < 1e-5


def test_what_cannot_be_widened_is_named(monkeypatch):
    fused = HEADS["sequence-classification"].build("local", classifier_pooling="fusion")
    with pytest.raises(FinetuningError, match=r"^classifier_pooling='fusion'.* cannot be widened"):
        widen(fused, 64)
    # No token of another head is pooled.
    widen(HEADS["token-classification"].build("local", classifier_pooling="fusion"), 64)
    narrow = HEADS["token-classification"].build("local", embedding_size=64)
    with pytest.raises(FinetuningError, match="hidden_size=64 is the trained embedding_size"):
        widen(narrow, 64)
    monkeypatch.setattr(Attention, "stream_channels", {})
    with pytest.raises(FinetuningError, match=r"function\.query\.weight: how this weight would grow is not known"):
        widen(HEADS["token-classification"].build("local"), 64)
