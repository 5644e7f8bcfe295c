"""Window attention by the compiled CPU kernel, as an operator with gradients that can be traced."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from reformer.ops import native
from reformer.ops.unit_vectors import SHORTEST
from reformer.ops.window_attention.transforms import ScoreTransform


def refusal(query: Tensor, key: Tensor) -> str | None:
    """Why the kernel cannot serve this call; None if it can."""
    reason = native.refusal(query)
    if reason is not None:
        return reason
    if max(query.shape[2], key.shape[2]) > native.LONGEST:
        return f"a length is over {native.LONGEST}"
    return None


class _Given(NamedTuple):
    """What both directions are given. No key: the queries, divided by their length; no key slots: the queries'; no
    coefficients: scores are not transformed."""

    query: Tensor
    key: Tensor | None
    value: Tensor
    query_slots: Tensor
    key_slots: Tensor | None
    windows: list[int]
    causal: bool
    attend_self: bool
    deduplicate: bool
    scale: float
    coefficients: Tensor | None = None
    transform: int = 0


_GIVEN = (
    "Tensor query, Tensor? key, Tensor value, Tensor query_slots, Tensor? key_slots, "
    "int[] windows, bool causal, bool attend_self, bool deduplicate, float scale, "
    "Tensor? coefficients=None, int transform=0"
)


def _call(
    function: str, given: _Given, log_sum: Tensor, grad_coefficients: Tensor | None = None, **arrays: Tensor | None
) -> None:
    query = given.query
    coefficients = None if given.coefficients is None else given.coefficients.detach().double().contiguous()
    key = query if given.key is None else given.key
    batch, heads, queries, dim = query.shape
    arrays.update(query=query, key=key, value=given.value)
    native.call(
        function,
        native.AttentionCall(
            batch=batch,
            heads=heads,
            queries=queries,
            keys=key.shape[2],
            dim=dim,
            orderings=len(given.windows),
            windows=native.integers(given.windows),
            causal=given.causal,
            attend_self=given.attend_self,
            deduplicate=given.deduplicate,
            shared=given.key_slots is None,
            dtype=native.DTYPES[query.dtype],
            threads=torch.get_num_threads(),
            scale=given.scale,
            shortest=SHORTEST if given.key is None else 0,
            query_slots=native.SlotsArgument.of(given.query_slots),
            key_slots=native.SlotsArgument.of(given.query_slots if given.key_slots is None else given.key_slots),
            log_sum=log_sum.data_ptr(),
            transform=given.transform,
            coefficients=0 if coefficients is None else coefficients.shape[1],
            coefficient=None if coefficients is None else coefficients.data_ptr(),
            grad_coefficient=None if grad_coefficients is None else grad_coefficients.data_ptr(),
            **{name: native.ArrayArgument.of(array) for name, array in arrays.items() if array is not None},
        ),
    )


@torch.library.custom_op("reformer::window_attention_cpu", mutates_args=(), schema=f"({_GIVEN}) -> (Tensor, Tensor)")
def _forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    given = _in_rows(_Given(*arguments))
    # The output keeps the layout of the query, so that heads can be joined again without a copy.
    output, log_sum = native.empty_like(given.query), _empty_log_sum(given.query)
    _call("reformer_window_attention_forward", given, log_sum, output=output)
    return output, log_sum


def _in_rows(given: _Given) -> _Given:
    key = None if given.key is None else native.rows(given.key)
    return given._replace(query=native.rows(given.query), key=key, value=native.rows(given.value))


def _empty_log_sum(query: Tensor) -> Tensor:
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    return query.new_empty(query.shape[:3], dtype=dtype)


@_forward.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor]:
    query = native.rows(arguments[0])
    return torch.empty_like(query), _empty_log_sum(query)


@torch.library.custom_op(
    "reformer::window_attention_cpu_backward",
    mutates_args=(),
    schema=f"(Tensor grad_output, Tensor output, Tensor log_sum, {_GIVEN}) -> Tensor[]",
)
def _backward(grad_output: Tensor, output: Tensor, log_sum: Tensor, *arguments: Any) -> list[Tensor]:
    given = _in_rows(_Given(*arguments))
    gradients = [native.empty_like(tensor) for tensor in _vectors(given)]
    query, *key, value = gradients
    of_coefficients = None
    if given.coefficients is not None:
        of_coefficients = query.new_zeros(query.shape[0], *given.coefficients.shape, dtype=torch.float64)
        gradients.append(torch.empty_like(given.coefficients))
    _call(
        "reformer_window_attention_backward",
        given,
        log_sum,
        of_coefficients,
        output=output,
        grad_output=native.rows(grad_output),
        grad_query=query,
        grad_key=key[0] if key else None,
        grad_value=value,
    )
    if of_coefficients is not None:
        gradients[-1].copy_(of_coefficients.sum(0))
    return gradients


def _vectors(given: _Given) -> list[Tensor]:
    """What gets a gradient, besides coefficients."""
    return [tensor for tensor in (given.query, given.key, given.value) if tensor is not None]


@_backward.register_fake
def _(_: Tensor, __: Tensor, ___: Tensor, *arguments: Any) -> list[Tensor]:
    given = _in_rows(_Given(*arguments))
    like = _vectors(given) if given.coefficients is None else [*_vectors(given), given.coefficients]
    return [torch.empty_like(tensor) for tensor in like]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    given = _Given(*inputs)
    ctx.save_for_backward(*output, *inputs[:5], given.coefficients)
    ctx.options, ctx.transform = inputs[5:10], given.transform


def _differentiate(ctx: Any, grad_output: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, coefficients = ctx.saved_tensors
    found = _backward(grad_output, *tensors, *ctx.options, coefficients, ctx.transform)
    of_coefficients = None if coefficients is None else found.pop()
    query, *key, value = found
    return query, key[0] if key else None, value, *[None] * 7, of_coefficients, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def cpu(
    query: Tensor,
    key: Tensor | None,
    value: Tensor,
    query_slots: Tensor,
    key_slots: Tensor,
    *,
    windows: tuple[int, ...],
    causal: bool,
    attend_self: bool,
    deduplicate: bool,
    scale: float,
    transform: ScoreTransform | None = None,
) -> Tensor:
    """See `window_attention`; arguments are checked there. No key: the queries, divided by their length."""
    slots = None if query_slots is key_slots else key_slots
    given = (query, key, value, query_slots, slots, list(windows), causal, attend_self, deduplicate, scale)
    chosen = (None, 0) if transform is None else (transform.coefficients, transform.number)
    return _forward(*given, *chosen)[0]
