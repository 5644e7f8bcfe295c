"""Scores that pass through a learned function of each head: every backend, gradients of the coefficients included."""

import pytest
import torch

from reformer.ops import (
    Polynomial,
    Sinh,
    hash_slots,
    position_slots,
    random_rotations,
    shared_window_attention,
    unit_vectors,
    window_attention,
)
from reformer.ops.window_attention.transforms import SINH_CLAMP

from ..cases import ALL, FAST, MISSING, far_apart, vectors

KINDS = {
    "polynomial": (Polynomial, [[0.3, -0.1, 0.02], [0.0, 0.0, 0.0], [-0.2, 0.1, 0.0]]),
    "sinh": (Sinh, [[0.8], [0.0], [-0.4]]),
}
every_kind = pytest.mark.parametrize(("transform", "coefficients"), KINDS.values(), ids=KINDS)


def _run(transform, coefficients, backend, dtype, *, shared=False, length=150, scale=None, threads=None):
    torch.manual_seed(2)
    # Numbers that all dtypes hold: rounding must not move a token to another bucket.
    query, key, value = (vectors(2, 3, length, 24).bfloat16().to(dtype).requires_grad_() for _ in range(3))
    mask = torch.rand(2, length) < 0.9
    hashed = hash_slots(key.detach(), random_rotations(3, 2, 24, 6), mask)
    slots = torch.cat((hashed, position_slots(mask).expand(2, 3, 1, length)), 2)
    learned = torch.tensor(coefficients, dtype=torch.float64).requires_grad_()
    options = {"window": [20, 9, 7], "causal": True, "attend_self": False, "scale": scale, "backend": backend}
    if shared and backend != "reference":
        output = shared_window_attention(query, value, slots, transform=transform(learned), **options)
    else:
        keys = unit_vectors(query) if shared else key
        output = window_attention(query, keys, value, slots, transform=transform(learned), **options)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs = (query, value, learned) if shared else (query, key, value, learned)
    return output.detach(), *torch.autograd.grad(output, inputs, weights.to(dtype))


@every_kind
@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-11), (torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_every_backend_is_the_definition(transform, coefficients, backend, shared, dtype, bound):
    # An interpreter walks slowly, and it cuts what it stores in bfloat16, where a card rounds.
    length = 40 if backend == "triton" else 150
    bound = 2 * bound if backend == "triton" and dtype == torch.bfloat16 else bound
    found = _run(transform, coefficients, backend, dtype, shared=shared, length=length)
    *exact, of_coefficients = _run(transform, coefficients, "reference", torch.float64, shared=shared, length=length)
    assert far_apart(found[:-1], tuple(exact)) < bound
    # A sum over all pairs: as exact as it is large.
    assert (found[-1] - of_coefficients).abs().max() < bound * (1 + of_coefficients.abs().max())


@pytest.mark.skipif(MISSING.get("cpu", "there is no such backend") is not None, reason="needs the cpu backend")
@every_kind
def test_threads_that_share_a_head_find_its_coefficients_together(transform, coefficients):
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(_run(transform, coefficients, "cpu", torch.float64, length=2100))
    assert far_apart(*found) < 1e-11


@every_kind
def test_the_definition_has_its_own_gradients(transform, coefficients):
    query, key, value = (vectors(1, 3, 5, 4).requires_grad_() for _ in range(3))
    slots = position_slots(torch.ones(1, 5, dtype=torch.bool))
    learned = torch.tensor(coefficients, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda q, k, v, c: window_attention(
            q, k, v, slots, window=3, scale=2.0, transform=transform(c), backend="reference"
        ),
        (query, key, value, learned),
    )


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("transform", [Polynomial, Sinh])
def test_coefficients_of_zero_change_nothing(transform, backend):
    query, key, value = (vectors(1, 3, 60, 16) for _ in range(3))
    slots = position_slots(torch.ones(1, 60, dtype=torch.bool))
    zero = transform(torch.zeros(3, 1))
    plain, found = (
        window_attention(query, key, value, slots, window=9, transform=each, backend=backend) for each in (None, zero)
    )
    assert (found - plain).abs().max() < 1e-12


@pytest.mark.parametrize("backend", ALL)
def test_scores_far_out_overflow_nowhere(backend):
    kappa = [[0.5], [4.0], [-0.5]]
    found = _run(Sinh, kappa, backend, torch.float32, scale=50.0, length=40)
    assert all(tensor.isfinite().all() for tensor in found)
    at_the_end = Sinh.value(torch.tensor([SINH_CLAMP / 4, 1e9]), torch.tensor([4.0]))
    assert at_the_end[0] == at_the_end[1]


@every_kind
@pytest.mark.parametrize("backend", ALL)
def test_absent_tokens_may_hold_anything(transform, coefficients, backend):
    mask = torch.rand(2, 40) < 0.6
    x = vectors(2, 3, 40, 8)
    poisoned = torch.where(mask[:, None, :, None], x, float("nan"))
    slots, found = position_slots(mask), []
    for given in (x, poisoned):
        inputs = [given.clone().requires_grad_(), torch.tensor(coefficients, dtype=torch.float64).requires_grad_()]
        output = window_attention(
            *[inputs[0]] * 3, slots, window=5, transform=transform(inputs[1]), backend=backend
        ).where(mask[:, None, :, None], 0)
        found.append((output.detach(), *torch.autograd.grad(output.square().sum(), inputs)))
    assert far_apart(*found) == 0


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        (Polynomial(torch.zeros(2, 3)), ValueError, r"shape \(2, 3\), expected \[3 heads, 1 to 16\]"),
        (Polynomial(torch.zeros(3, 17)), ValueError, "1 to 16"),
        (Sinh(torch.zeros(3, 2)), ValueError, r"of Sinh have shape \(3, 2\), expected \[3 heads, 1\]"),
        (Sinh(torch.zeros(3, 1, dtype=torch.int64)), TypeError, "expected floats"),
    ],
)
def test_coefficients_that_do_not_fit_are_refused(transform, error, message):
    x, slots = vectors(1, 3, 5, 4), position_slots(torch.ones(1, 5, dtype=torch.bool))
    with pytest.raises(error, match=message):
        window_attention(x, x, x, slots, window=2, transform=transform)
