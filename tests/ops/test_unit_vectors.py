import pytest
import torch
from torch.nn.functional import normalize

from reformer.ops import native, unit_vectors

from .cases import LAYOUTS, vectors


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("head_dim", [3, 16, 64, 70])
def test_equals_normalize_with_its_gradient(layout, dtype, bound, head_dim):
    given = vectors(2, 3, 40, head_dim, layout).to(dtype).requires_grad_()
    found = unit_vectors(given)
    assert found.dtype == dtype
    weights = torch.randn(found.shape).to(dtype)
    (gradient,) = torch.autograd.grad(found, given, weights)
    exact = given.detach().double().requires_grad_()
    expected = normalize(exact, dim=-1)
    (expected_gradient,) = torch.autograd.grad(expected, exact, weights.double())
    assert (found - expected).abs().max() < bound
    assert ((gradient - expected_gradient).abs() / (1 + expected_gradient.abs())).max() < 4 * bound


def test_a_zero_vector_stays_one_and_has_a_finite_gradient():
    given = torch.zeros(1, 1, 2, 4, requires_grad=True)
    found = unit_vectors(given)
    assert not found.any()
    assert torch.autograd.grad(found.sum(), given)[0].isfinite().all()


@pytest.mark.parametrize("shape", [(1, 2, 0, 4), (0, 2, 3, 4)])
def test_empty(shape):
    given = torch.zeros(shape, requires_grad=True)
    found = unit_vectors(given)
    assert found.shape == torch.autograd.grad(found.sum(), given)[0].shape == shape


def test_without_kernels_and_in_half_precision(monkeypatch):
    given = torch.randn(1, 2, 5, 8).half()
    assert unit_vectors(given).dtype == torch.float16
    monkeypatch.setattr(native, "LIBRARY", None)
    torch.testing.assert_close(unit_vectors(given.float()), normalize(given.float(), dim=-1))


@pytest.mark.skipif(native.LIBRARY is None, reason=native.VARIANT)
def test_the_operator_is_registered_as_torch_expects():
    torch.library.opcheck(torch.ops.reformer.unit_vectors_cpu.default, (torch.randn(1, 2, 5, 8, requires_grad=True),))


@pytest.mark.parametrize("given", [torch.ones(1, 2, 3, 4).long(), torch.ones(2, 3), torch.ones(1, 2, 3, 4).bool()])
def test_what_has_no_length_is_refused(given):
    with pytest.raises(
        TypeError, match=r"vectors are torch\.\w+ .*, expected floats \[batch, heads, length, head_dim\]"
    ):
        getattr(unit_vectors, "__wrapped__", unit_vectors)(given)
