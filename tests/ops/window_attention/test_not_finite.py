"""A query or key that is not finite gives NaN where it is seen, on every backend, and nothing where it is not."""

import pytest
import torch

from reformer.ops import native, position_slots, window_attention

BACKENDS = ["reference", "eager", *(["cpu"] if native.LIBRARY is not None else [])]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("backend", "dtype"),
    # The definition in bfloat16 is left out: the products it is made of are PyTorch's.
    [(backend, torch.float32) for backend in BACKENDS] + [(backend, torch.bfloat16) for backend in BACKENDS[1:]],
)
def test_one_bad_query_spoils_its_own_output_alone(backend, dtype, number):
    query, key, value = (torch.randn(1, 2, 70, 16).to(dtype) for _ in range(3))
    slots = position_slots(torch.ones(1, 70, dtype=torch.bool)).expand(-1, 2, -1, -1)
    options = {"window": 9, "causal": True, "backend": backend}
    expected = window_attention(query, key, value, slots, **options)
    query[0, 1, 40] = number
    output = window_attention(query, key, value, slots, **options)
    assert output[0, 1, 40].isnan().all()
    output[0, 1, 40] = expected[0, 1, 40]
    assert (output.float() - expected.float()).abs().max() < (1e-5 if dtype == torch.float32 else 5e-2)
