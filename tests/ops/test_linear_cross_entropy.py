"""The loss without the logits against torch's cross entropy of the logits."""

import inspect
import sys

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from reformer.ops import linear_cross_entropy


@pytest.fixture(params=[7, 40, 1 << 22], ids=["one row", "a few rows", "all rows"])
def _at_once(request, monkeypatch):
    monkeypatch.setattr(sys.modules["reformer.ops.linear_cross_entropy"], "LOGITS_AT_ONCE", request.param)


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients(reduction, label_smoothing, with_bias):
    hidden = torch.randn(19, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(7, dtype=torch.float64, requires_grad=True) if with_bias else None
    target = torch.randint(0, 7, (19,))
    target[::4] = -100
    inputs = [hidden, weight] + ([bias] if with_bias else [])
    options = {"label_smoothing": label_smoothing, "reduction": reduction}
    found = linear_cross_entropy(hidden, weight, target, bias, **options)
    expected = cross_entropy(linear(hidden, weight, bias), target, **options)
    assert torch.isclose(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(3 * found, inputs), torch.autograd.grad(3 * expected, inputs), strict=True
    ):
        assert (ours - theirs).abs().max() < 1e-12


def test_frozen_inputs_get_no_gradient():
    hidden, weight = torch.randn(5, 6, requires_grad=True), torch.randn(7, 6)
    linear_cross_entropy(hidden, weight, torch.arange(5)).backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_nothing_to_learn_from_is_a_loss_of_zero():
    hidden, weight = torch.randn(5, 6, requires_grad=True), torch.randn(7, 6, requires_grad=True)
    loss = linear_cross_entropy(hidden, weight, torch.full((5,), -100))
    loss.backward()
    assert loss == 0
    assert hidden.grad.abs().max() == 0


def test_bfloat16_sums_in_float32():
    hidden, weight = torch.randn(300, 16), torch.randn(50, 16)
    target = torch.randint(0, 50, (300,))
    exact = linear_cross_entropy(hidden, weight, target)
    rounded = linear_cross_entropy(hidden.bfloat16(), weight.bfloat16(), target)
    assert rounded.dtype == torch.float32
    assert abs(rounded - exact) < 0.02 * exact


def test_autocast_gives_gradients_in_the_parameters_dtype():
    hidden, weight = torch.randn(9, 16, requires_grad=True), torch.randn(5, 16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, torch.arange(9) % 5)
    loss.backward()
    assert hidden.grad.dtype == weight.grad.dtype == torch.float32


def test_only_a_part_of_the_logits_is_ever_held():
    hidden, weight = torch.randn(3000, 8, requires_grad=True), torch.randn(5000, 8, requires_grad=True)
    largest = 0

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    with Watch():
        linear_cross_entropy(hidden, weight, torch.randint(0, 5000, (3000,))).backward()
    assert 0 < largest <= 1 << 22


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 6), (7, 5), (4,)), "classes, features"),
        (((4, 6), (7, 6), (3,)), r"target \(3,\)"),
        (((4, 6), (0, 6), (4,)), "weight has no classes"),
    ],
)
def test_shapes_that_do_not_fit(shapes, message):
    hidden, weight, target = shapes
    # Without the shape check that tests add around it.
    unchecked = inspect.unwrap(linear_cross_entropy)
    with pytest.raises(ValueError, match=message):
        unchecked(torch.zeros(hidden), torch.zeros(weight), torch.zeros(target).long())


def test_an_unknown_reduction():
    with pytest.raises(ValueError, match="reduction='none'"):
        linear_cross_entropy(torch.zeros(4, 6), torch.zeros(7, 6), torch.zeros(4).long(), reduction="none")
