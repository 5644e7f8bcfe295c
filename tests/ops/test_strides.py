import torch

from reformer.ops.strides import contiguous_rows


def test_only_the_last_dimension_has_to_be_contiguous():
    x = torch.randn(2, 3, 4, 5)
    for kept in (x, x.transpose(1, 2), x[..., :3], x.transpose(2, 3)[..., :1]):
        assert contiguous_rows(kept) is kept
    copied = contiguous_rows(x.transpose(2, 3))
    assert copied.is_contiguous()
    assert torch.equal(copied, x.transpose(2, 3))
