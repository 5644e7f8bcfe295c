"""Properties of a model's gradients and kernels, against differences, a plain twin, and the definition."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from reformer.insight.doctor.examination import Deviation, greatest, worst_of
from reformer.insight.doctor.subject import Inputs, Size, Subject
from reformer.nn import Attention, ResidualSequence, ReversibleSequence
from reformer.ops.window_attention import BACKENDS, using_backend

STEP = 1e-6
"""Of a central difference in float64: its own error is about the square, and its rounding 1e-16 / STEP. In a hashed
layer, a greater one crosses more borders of buckets."""
DIRECTIONS = 3
"""Directions in which the weights are moved; where a step crosses a bucket's border, the next one is taken."""


def set_recomputation(model: Any, again: bool) -> int:
    """Set whether layers are run again in the backward pass, whatever the size; the number of stacks that can be."""
    count = 0
    for module in model.modules():
        if isinstance(module, ReversibleSequence):
            module.reversible = again
        elif isinstance(module, ResidualSequence):
            module.recompute = again
        else:
            continue
        count += 1
    return count


def plain_twin(model: Any) -> Any:
    """A copy of a model of this package that keeps the layers' inputs instead of computing them again."""
    plain = copy.deepcopy(model)
    set_recomputation(plain, False)
    return plain


def differences(subject: Subject, size: Size) -> Deviation:
    """How far gradients are from central differences, in random directions of all weights together."""
    inputs = subject.draw(size)
    weights = {name: each for name, each in subject.model.named_parameters() if each.requires_grad}
    gradients = _gradients(subject, inputs)
    found = Deviation(math.inf)
    for number in range(DIRECTIONS):
        direction = _direction(subject, weights, Size(size.batch, size.length, size.seed + 13 * number + 1))
        found = min(found, _along(subject, inputs, weights, gradients, direction, "all weights"), key=_value)
        if found.value <= BOUND:
            return found
    # Which weights are to blame: each moved alone.
    direction = _direction(subject, weights, size)
    alone = (
        _along(subject, inputs, {name: each}, gradients, {name: direction[name]}, name)
        for name, each in weights.items()
    )
    worst = worst_of(alone)
    return worst if worst.value > BOUND else found


def _direction(subject: Subject, weights: Mapping[str, Tensor], size: Size) -> dict[str, Tensor]:
    """A direction to move the weights in; rows of embeddings that stand for padding are meant to stay."""
    generator = size.generator()
    found = {name: torch.randn(each.shape, generator=generator, dtype=each.dtype) for name, each in weights.items()}
    for name, module in subject.model.named_modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None and f"{name}.weight" in found:
            found[f"{name}.weight"][module.padding_idx] = 0
    return found


BOUND = 1e-5
"""Of a difference to its gradient, relative to the greater of them."""


def _value(found: Deviation) -> float:
    return found.value


@torch.no_grad()
def _along(
    subject: Subject,
    inputs: Inputs,
    weights: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor | None],
    direction: Mapping[str, Tensor],
    name: str,
) -> Deviation:
    """The gradient along a direction beside the central difference."""
    found = ((gradients[each], direction[each]) for each in weights)
    steepness = sum(float((gradient * step).sum()) for gradient, step in found if gradient is not None)
    losses = []
    kept = {each: weight.clone() for each, weight in weights.items()}
    for sign in (1, -1):
        for each, weight in weights.items():
            weight.copy_(kept[each] + sign * STEP * direction[each])
        losses.append(float(subject.loss(inputs)))
    for each, weight in weights.items():
        weight.copy_(kept[each])
    measured = (losses[0] - losses[1]) / (2 * STEP)
    # What rounding of the loss makes of a difference.
    rounding = 1e-15 * max(map(abs, losses)) / STEP
    difference = max(0.0, abs(measured - steepness) - 100 * rounding) / max(abs(measured), abs(steepness), 1e-6)
    return Deviation(
        difference, where=f"along {name} the loss rises by {measured:.6g}, and the gradient says {steepness:.6g}"
    )


def refuses_differences(subject: Subject) -> str | None:
    """Why differences do not apply, or None."""
    return None if any(each.requires_grad for each in subject.model.parameters()) else "no weight learns"


def _gradients(subject: Subject, inputs: Inputs) -> dict[str, Tensor | None]:
    model = subject.model
    try:
        subject.loss(inputs).backward()
        return {name: None if each.grad is None else each.grad.clone() for name, each in model.named_parameters()}
    finally:
        model.zero_grad(set_to_none=True)


def twin(subject: Subject, size: Size) -> Deviation:
    """What running layers again in the backward pass changes in the gradients of training, dropout included."""
    inputs, found = subject.draw(size), []
    for again in (True, False):
        with subject.training(), _recomputation(subject, again):
            torch.manual_seed(17 + size.seed)
            found.append(_gradients(subject, inputs))
    return _compared(found[0], found[1])


def _compared(found: Mapping[str, Tensor | None], expected: Mapping[str, Tensor | None]) -> Deviation:
    scale = max([1e-6, *(float(each.abs().max()) for each in expected.values() if each is not None)])
    deviations = []
    for name, right in expected.items():
        own = found[name]
        if (own is None) != (right is None):
            deviations.append(Deviation(math.inf, where=f"only one of the two has a gradient of {name}"))
        elif own is not None and right is not None and own.numel():
            difference = float((own - right).abs().max().nan_to_num(math.inf)) / scale
            deviations.append(Deviation(difference, where=f"the gradient of {name}"))
    return worst_of(deviations)


@contextmanager
def _recomputation(subject: Subject, again: bool) -> Iterator[None]:
    model = subject.model
    if not subject.is_own:
        # Its name before transformers 5.23 was another one.
        name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
        end = getattr(model, f"{name}_checkpointing_disable")
        (getattr(model, f"{name}_checkpointing_enable") if again else end)()
        try:
            yield
        finally:
            end()
        return
    before = [
        (module, name, getattr(module, name))
        for module in model.modules()
        for kind, name in ((ReversibleSequence, "reversible"), (ResidualSequence, "recompute"))
        if isinstance(module, kind)
    ]
    set_recomputation(model, again)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def refuses_twin(subject: Subject) -> str | None:
    """Why there is no plain twin, or None."""
    if subject.is_own:
        stacks = (ReversibleSequence, ResidualSequence)
        has_stack = any(isinstance(module, stacks) for module in subject.model.modules())
        return None if has_stack else "no layer can be run again in the backward pass"
    if not subject.model.supports_gradient_checkpointing:
        return "this architecture cannot do without running its layers again, or cannot run them again"
    return None


def definition(subject: Subject, size: Size) -> Deviation:
    """What the kernels change in answers and gradients, beside the quadratic definition of attention."""
    inputs, answers, gradients = subject.draw(size), [], []
    for context in (nullcontext, _definition_of(subject)):
        with context():
            answers.append(subject.answers(inputs))
            gradients.append(_gradients(subject, inputs))
    by_token = subject.by_token(answers[0], inputs)
    return worst_of((greatest(answers[0], answers[1], "the answer", by_token=by_token), _compared(*gradients)))


def _definition_of(subject: Subject) -> Callable[[], AbstractContextManager[Any]]:
    if subject.is_own:
        return lambda: using_backend("reference")

    @contextmanager
    def eager() -> Iterator[None]:
        before = subject.config._attn_implementation
        subject.model.set_attn_implementation("eager")
        try:
            yield
        finally:
            subject.model.set_attn_implementation(before)

    return eager


def refuses_definition(subject: Subject) -> str | None:
    """Why there is no other way to compute attention, or None."""
    if subject.is_own:
        has = "reference" in BACKENDS and any(isinstance(module, Attention) for module in subject.model.modules())
        return None if has else "no layer of this model has attention by kernels"
    if getattr(subject.config, "_attn_implementation", "eager") == "eager":
        return "this architecture has one way to compute attention"
    return None
