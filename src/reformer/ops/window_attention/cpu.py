"""Window attention by the compiled CPU kernel, as an operator with gradients that can be traced."""

from typing import Any

import torch
from torch import Tensor

from reformer.ops import native


def refusal(query: Tensor, key: Tensor) -> str | None:
    """Why the kernel cannot serve this call; None if it can."""
    reason = native.refusal(query)
    if reason is not None:
        return reason
    if max(query.shape[2], key.shape[2]) > native.LONGEST:
        return f"a length is over {native.LONGEST}"
    return None


def _argument(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_slots: Tensor,
    key_slots: Tensor,
    windows: list[int],
    causal: bool,
    attend_self: bool,
    deduplicate: bool,
    shared: bool,
    scale: float,
    **others: Any,
) -> native.AttentionCall:
    batch, heads, queries, dim = query.shape
    return native.AttentionCall(
        batch=batch,
        heads=heads,
        queries=queries,
        keys=key.shape[2],
        dim=dim,
        orderings=len(windows),
        windows=native.integers(windows),
        causal=causal,
        attend_self=attend_self,
        deduplicate=deduplicate,
        shared=shared,
        dtype=native.DTYPES[query.dtype],
        threads=torch.get_num_threads(),
        scale=scale,
        query=native.ArrayArgument.of(query),
        key=native.ArrayArgument.of(key),
        value=native.ArrayArgument.of(value),
        query_slots=native.SlotsArgument.of(query_slots),
        key_slots=native.SlotsArgument.of(key_slots),
        **others,
    )


@torch.library.custom_op("reformer::window_attention_cpu", mutates_args=())
def _forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_slots: Tensor,
    key_slots: Tensor,
    windows: list[int],
    causal: bool,
    attend_self: bool,
    deduplicate: bool,
    shared: bool,
    scale: float,
) -> tuple[Tensor, Tensor]:
    query, key, value = native.rows(query), native.rows(key), native.rows(value)
    # The output keeps the layout of the query, so that heads can be joined again without a copy.
    output, log_sum = native.empty_like(query), _empty_log_sum(query)
    argument = _argument(
        query,
        key,
        value,
        query_slots,
        key_slots,
        windows,
        causal,
        attend_self,
        deduplicate,
        shared,
        scale,
        output=native.ArrayArgument.of(output),
        log_sum=log_sum.data_ptr(),
    )
    native.call("reformer_window_attention_forward", argument)
    return output, log_sum


def _empty_log_sum(query: Tensor) -> Tensor:
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    return query.new_empty(query.shape[:3], dtype=dtype)


@_forward.register_fake
def _(query: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    query = native.rows(query)
    return torch.empty_like(query), _empty_log_sum(query)


@torch.library.custom_op("reformer::window_attention_cpu_backward", mutates_args=())
def _backward(
    grad_output: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_slots: Tensor,
    key_slots: Tensor,
    output: Tensor,
    log_sum: Tensor,
    windows: list[int],
    causal: bool,
    attend_self: bool,
    deduplicate: bool,
    shared: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value, grad_output = (native.rows(tensor) for tensor in (query, key, value, grad_output))
    gradients = native.empty_like(query), native.empty_like(key), native.empty_like(value)
    argument = _argument(
        query,
        key,
        value,
        query_slots,
        key_slots,
        windows,
        causal,
        attend_self,
        deduplicate,
        shared,
        scale,
        output=native.ArrayArgument.of(output),
        log_sum=log_sum.data_ptr(),
        grad_output=native.ArrayArgument.of(grad_output),
        grad_query=native.ArrayArgument.of(gradients[0]),
        grad_key=native.ArrayArgument.of(gradients[1]),
        grad_value=native.ArrayArgument.of(gradients[2]),
    )
    native.call("reformer_window_attention_backward", argument)
    return gradients


@_backward.register_fake
def _(_: Tensor, query: Tensor, key: Tensor, value: Tensor, *__: Any) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = native.rows(query), native.rows(key), native.rows(value)
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:5], *output)
    ctx.options = inputs[5:]


def _differentiate(ctx: Any, grad_output: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    gradients = _backward(grad_output, *ctx.saved_tensors, *ctx.options)
    return (*gradients, *[None] * 8)


_forward.register_autograd(_differentiate, setup_context=_keep)


def cpu(
    query: Tensor,
    key: Tensor,
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
    """See `window_attention`; arguments are checked there."""
    return _forward(
        query,
        key,
        value,
        query_slots,
        key_slots,
        list(windows),
        causal,
        attend_self,
        deduplicate,
        query_slots is key_slots,
        scale,
    )[0]
