"""The plain stack is PyTorch's own Transformer encoder with the norm first."""

import torch
from torch import nn

from reformer.nn import Attention, AttentionOptions, FeedForward, ResidualSequence, SubLayer, Tokens


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
