"""Window attention by the compiled CPU kernel, as an operator with gradients that can be traced."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from reformer.ops import native
from reformer.ops.unit_vectors import SHORTEST


def refusal(query: Tensor, key: Tensor) -> str | None:
    """Why the kernel cannot serve this call; None if it can."""
    reason = native.refusal(query)
    if reason is not None:
        return reason
    if max(query.shape[2], key.shape[2]) > native.LONGEST:
        return f"a length is over {native.LONGEST}"
    return None


class _Given(NamedTuple):
    """What both directions are given. No key: the queries, divided by their length; no key slots: the queries'."""

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


_GIVEN = (
    "Tensor query, Tensor? key, Tensor value, Tensor query_slots, Tensor? key_slots, "
    "int[] windows, bool causal, bool attend_self, bool deduplicate, float scale"
)


def _call(function: str, given: _Given, log_sum: Tensor, **arrays: Tensor | None) -> None:
    query = given.query
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
    _call(
        "reformer_window_attention_backward",
        given,
        log_sum,
        output=output,
        grad_output=native.rows(grad_output),
        grad_query=query,
        grad_key=key[0] if key else None,
        grad_value=value,
    )
    return gradients


def _vectors(given: _Given) -> list[Tensor]:
    """What gets a gradient."""
    return [tensor for tensor in (given.query, given.key, given.value) if tensor is not None]


@_backward.register_fake
def _(_: Tensor, __: Tensor, ___: Tensor, *arguments: Any) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor in _vectors(_in_rows(_Given(*arguments)))]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*output, *inputs[:5])
    ctx.options = inputs[5:]


def _differentiate(ctx: Any, grad_output: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    query, *key, value = _backward(grad_output, *ctx.saved_tensors, *ctx.options)
    return query, key[0] if key else None, value, *[None] * 7


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
) -> Tensor:
    """See `window_attention`; arguments are checked there. No key: the queries, divided by their length."""
    slots = None if query_slots is key_slots else key_slots
    return _forward(query, key, value, query_slots, slots, list(windows), causal, attend_self, deduplicate, scale)[0]
