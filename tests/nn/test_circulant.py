"""The circulant linear map against the dense matrix that it stands for."""

import pytest
import torch

from reformer.nn.circulant import CirculantLinear


def dense(layer: CirculantLinear) -> torch.Tensor:
    """The matrix `[out, in]`: each block's rows are the shifts of its vector."""
    rows, columns, block = layer.blocks.shape
    place = torch.arange(block)
    blocks = layer.blocks[..., (place[:, None] - place) % block]
    return blocks.permute(0, 2, 1, 3).reshape(rows * block, columns * block)


@pytest.mark.parametrize(("inside", "outside", "block"), [(6, 12, 3), (8, 4, 4), (10, 10, 1), (7, 14, 7)])
def test_it_is_the_product_with_its_matrix_gradients_included(inside, outside, block):
    layer, inputs = CirculantLinear(inside, outside, block).double(), torch.randn(2, 5, inside, dtype=torch.float64)
    weights = torch.randn(2, 5, outside, dtype=torch.float64)
    found, expected = layer(inputs), inputs @ dense(layer).T + layer.bias
    assert (found - expected).abs().max() < 1e-12
    ours, theirs = (torch.autograd.grad(each, list(layer.parameters()), weights) for each in (found, expected))
    assert all((a - b).abs().max() < 1e-11 for a, b in zip(ours, theirs, strict=True))


def test_bfloat16_stays_bfloat16():
    layer = CirculantLinear(8, 8, 4)
    assert layer(torch.randn(3, 8).bfloat16()).dtype == torch.bfloat16


def test_blocks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="6 to 8 in circulant blocks of 4: expected multiples"):
        CirculantLinear(6, 8, 4)
