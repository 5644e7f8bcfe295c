"""The comparison of a backend with the definition finds what is wrong, and nothing else."""

import pytest
import torch

from reformer.ops.window_attention import REFUSALS, reference, self_check

CPU = torch.device("cpu")


@pytest.mark.parametrize("backend", ["triton"])
def test_triton_kernels_that_are_right_pass(backend):
    triton = pytest.importorskip(f"reformer.ops.window_attention.{backend}")
    query = torch.empty(1, 1, 1, 1)
    reason = REFUSALS[backend](query, query)
    if reason is not None:
        pytest.skip(reason)
    assert self_check.discrepancy(triton.attend, CPU, length=20) is None


def test_a_right_result_passes_and_random_numbers_of_the_caller_are_left_alone():
    state = torch.get_rng_state()
    assert self_check.discrepancy(reference.attend, CPU) is None
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("factor", [1.5, float("nan")])
def test_a_wrong_output_or_gradient_is_found(factor):
    def wrong_output(query, key, value, *slots, **options):
        return reference.attend(query, key, value, *slots, **options) * factor

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad * factor

    def wrong_gradient(query, key, value, *slots, **options):
        return reference.attend(Wrong.apply(query), key, value, *slots, **options)

    assert "in bfloat16 the output is" in str(self_check.discrepancy(wrong_output, CPU))
    reason = str(self_check.discrepancy(wrong_gradient, CPU))
    assert "in bfloat16 the gradient of queries is" in reason
    assert reason.endswith("off, expected at most 8e-02")
    assert (factor != factor) == ("is nan off" in reason)
