"""The plain stack is PyTorch's own Transformer encoder with the norm first, and can run its sub-layers again."""

import pytest
import torch
from torch import nn

from reformer.nn import (
    Attention,
    AttentionOptions,
    FeedForward,
    ResidualSequence,
    SubLayer,
    Tokens,
    recomputation,
    residual,
)


def test_it_equals_pytorchs_layers():
    torch.manual_seed(0)
    functions = [
        function
        for _ in range(2)
        for function in (Attention("full", 12, 3, 4, AttentionOptions()), FeedForward(12, 20, "relu"))
    ]
    ours = ResidualSequence([SubLayer(function, 12) for function in functions]).double()
    theirs = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(12, 3, 20, 0.0, layer_norm_eps=1e-6, batch_first=True, norm_first=True),
        2,
        enable_nested_tensor=False,
    ).double()
    with torch.no_grad():
        for layer, attention, feed_forward in zip(
            theirs.layers, ours.sublayers[::2], ours.sublayers[1::2], strict=True
        ):
            mine = attention.function
            layer.self_attn.in_proj_weight.copy_(torch.cat((mine.query.weight, mine.key.weight, mine.value.weight)))
            layer.self_attn.in_proj_bias.zero_()
            layer.self_attn.out_proj.weight.copy_(mine.output.weight)
            layer.self_attn.out_proj.bias.zero_()
            layer.norm1.load_state_dict(attention.norm.state_dict())
            layer.norm2.load_state_dict(feed_forward.norm.state_dict())
            layer.linear1.load_state_dict(feed_forward.function.inner.state_dict())
            layer.linear2.load_state_dict(feed_forward.function.outer.state_dict())
    hidden, mask = torch.randn(2, 9, 12).double(), torch.ones(2, 9, dtype=torch.bool)
    mask[1, 6:] = False
    (found,) = ours(hidden, Tokens.of(mask))
    expected = theirs(hidden, src_key_padding_mask=~mask)
    assert (found - expected)[mask].abs().max() < 1e-12


@pytest.mark.parametrize("kept_bytes", [residual.KEPT_BYTES, 0])
def test_what_is_run_again_has_the_same_gradients(kept_bytes, monkeypatch):
    """Each sub-layer from its input, or of more than is to be kept in groups; with dropout and buckets as they were."""
    monkeypatch.setattr(residual, "KEPT_BYTES", kept_bytes)
    monkeypatch.setattr(recomputation, "COMPUTED_BYTES", kept_bytes)
    torch.manual_seed(0)
    options = AttentionOptions(lsh_window=4, buckets=4)
    functions = [
        function for _ in range(4) for function in (Attention("lsh", 12, 3, 4, options), FeedForward(12, 20, "relu"))
    ]
    stack = ResidualSequence([SubLayer(function, 12, dropout=0.3) for function in functions]).train()
    hidden, tokens = torch.randn(2, 9, 12, requires_grad=True), Tokens.of(torch.ones(2, 9, dtype=torch.bool))
    gradients = []
    for recompute in (False, True, "auto"):
        stack.recompute = recompute
        torch.manual_seed(1)
        loss = stack(hidden, tokens)[0].square().sum()
        gradients.append(torch.autograd.grad(loss, [hidden, *stack.parameters()], allow_unused=True))
    for other in gradients[1:]:
        for expected, found in zip(gradients[0], other, strict=True):
            assert (expected is None) == (found is None)
            assert expected is None or (found - expected).abs().max() <= 1e-5 * expected.abs().max().clamp_min(1)
