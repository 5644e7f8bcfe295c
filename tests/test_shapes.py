"""The shapes in annotations are really checked while tests run."""

import pytest
import torch

from reformer.nn.full_attention import full_attention


def test_a_wrong_shape_is_noticed():
    query, key = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 5, 4)
    with pytest.raises(Exception, match="length"):
        full_attention(query, key, key, None, False)
