"""Window attention by the compiled CPU kernel, as an operator with gradients that can be traced."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reformer.ops import native, standard
from reformer.ops.strides import contiguous_rows
from reformer.ops.unit_vectors import SHORTEST
from reformer.ops.window_attention.transforms import ScoreTransform


def why_unsupported(
    query: Float[Tensor, "batch heads queries head_dim"], key: Float[Tensor, "batch heads length head_dim"]
) -> str | None:
    """Why the kernel cannot compute a call with this query and key; None if it can."""
    reason = native.why_unsupported(query)
    if reason is not None:
        return reason
    if max(query.shape[2], key.shape[2]) > native.MAX_LENGTH:
        return f"a length is over {native.MAX_LENGTH}"
    return None


def serves(query: Float[Tensor, "batch heads queries head_dim"]) -> bool:
    """Whether the kernel is chosen where it can compute the call: unless standard operators are wanted."""
    return not standard.is_wanted()


class _Arguments(NamedTuple):
    """Arguments of both directions. Without a key, keys are the queries divided by their length; without key slots,
    they are those of the queries; without coefficients, scores are not transformed."""

    query: Float[Tensor, "batch heads queries head_dim"]
    key: Float[Tensor, "batch heads length head_dim"] | None
    value: Float[Tensor, "batch heads length head_dim"]
    query_slots: Int[Tensor, "#batch #heads orderings queries"]
    key_slots: Int[Tensor, "#batch #heads orderings length"] | None
    windows: list[int]
    causal: bool
    attend_self: bool
    deduplicate: bool
    scale: float
    coefficients: Float[Tensor, "heads count"] | None = None
    transform: int = 0


_SCHEMA = (
    "Tensor query, Tensor? key, Tensor value, Tensor query_slots, Tensor? key_slots, "
    "int[] windows, bool causal, bool attend_self, bool deduplicate, float scale, "
    "Tensor? coefficients=None, int transform=0"
)


def _call(
    function: str,
    call: _Arguments,
    log_sum: Float[Tensor, "batch heads queries"],
    grad_coefficients: Float[Tensor, "batch heads count"] | None = None,
    **arrays: Float[Tensor, "batch heads _ head_dim"] | None,
) -> None:
    query = call.query
    coefficients = None if call.coefficients is None else call.coefficients.detach().double().contiguous()
    key = query if call.key is None else call.key
    batch, heads, queries, dim = query.shape
    arrays.update(query=query, key=key, value=call.value)
    native.call(
        function,
        native.AttentionCall(
            batch=batch,
            heads=heads,
            queries=queries,
            keys=key.shape[2],
            dim=dim,
            orderings=len(call.windows),
            windows=native.integers(call.windows),
            causal=call.causal,
            attend_self=call.attend_self,
            deduplicate=call.deduplicate,
            shared=call.key_slots is None,
            dtype=native.DTYPES[query.dtype],
            threads=torch.get_num_threads(),
            scale=call.scale,
            shortest=SHORTEST if call.key is None else 0,
            query_slots=native.SlotsArgument.of(call.query_slots),
            key_slots=native.SlotsArgument.of(call.query_slots if call.key_slots is None else call.key_slots),
            log_sum=log_sum.data_ptr(),
            transform=call.transform,
            coefficients=0 if coefficients is None else coefficients.shape[1],
            coefficient=None if coefficients is None else coefficients.data_ptr(),
            grad_coefficient=None if grad_coefficients is None else grad_coefficients.data_ptr(),
            **{name: native.ArrayArgument.of(array) for name, array in arrays.items() if array is not None},
        ),
    )


@torch.library.custom_op("reformer::window_attention_cpu", mutates_args=(), schema=f"({_SCHEMA}) -> (Tensor, Tensor)")
def _forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    call = _in_rows(_Arguments(*arguments))
    # In any other layout than that of the query, merging the heads takes a copy.
    output, log_sum = native.empty_like(call.query), _empty_log_sum(call.query)
    _call("reformer_window_attention_forward", call, log_sum, output=output)
    return output, log_sum


def _in_rows(call: _Arguments) -> _Arguments:
    key = None if call.key is None else contiguous_rows(call.key)
    return call._replace(query=contiguous_rows(call.query), key=key, value=contiguous_rows(call.value))


def _empty_log_sum(query: Float[Tensor, "batch heads queries head_dim"]) -> Float[Tensor, "batch heads queries"]:
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    return query.new_empty(query.shape[:3], dtype=dtype)


@_forward.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor]:
    query = contiguous_rows(arguments[0])
    return torch.empty_like(query), _empty_log_sum(query)


@torch.library.custom_op(
    "reformer::window_attention_cpu_backward",
    mutates_args=(),
    schema=f"(Tensor grad_output, Tensor output, Tensor log_sum, {_SCHEMA}) -> Tensor[]",
)
def _backward(grad_output: Tensor, output: Tensor, log_sum: Tensor, *arguments: Any) -> list[Tensor]:
    call = _in_rows(_Arguments(*arguments))
    gradients = [native.empty_like(tensor) for tensor in _vectors(call)]
    query, *key, value = gradients
    grad_coefficients = None
    if call.coefficients is not None:
        grad_coefficients = query.new_zeros(query.shape[0], *call.coefficients.shape, dtype=torch.float64)
        gradients.append(torch.empty_like(call.coefficients))
    _call(
        "reformer_window_attention_backward",
        call,
        log_sum,
        grad_coefficients,
        output=output,
        grad_output=contiguous_rows(grad_output),
        grad_query=query,
        grad_key=key[0] if key else None,
        grad_value=value,
    )
    if grad_coefficients is not None:
        gradients[-1].copy_(grad_coefficients.sum(0))
    return gradients


def _vectors(call: _Arguments) -> list[Float[Tensor, "batch heads _ head_dim"]]:
    """The tensors that get a gradient, besides coefficients."""
    return [tensor for tensor in (call.query, call.key, call.value) if tensor is not None]


@_backward.register_fake
def _(_: Tensor, __: Tensor, ___: Tensor, *arguments: Any) -> list[Tensor]:
    call = _in_rows(_Arguments(*arguments))
    like = _vectors(call) if call.coefficients is None else [*_vectors(call), call.coefficients]
    return [torch.empty_like(tensor) for tensor in like]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    call = _Arguments(*inputs)
    ctx.save_for_backward(*output, *inputs[:5], call.coefficients)
    ctx.options, ctx.transform = inputs[5:10], call.transform


def _differentiate(ctx: Any, grad_output: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, coefficients = ctx.saved_tensors
    gradients = _backward(grad_output, *tensors, *ctx.options, coefficients, ctx.transform)
    grad_coefficients = None if coefficients is None else gradients.pop()
    query, *key, value = gradients
    return query, key[0] if key else None, value, *[None] * 7, grad_coefficients, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def attend(
    query: Float[Tensor, "batch heads queries head_dim"],
    key: Float[Tensor, "batch heads length head_dim"] | None,
    value: Float[Tensor, "batch heads length head_dim"],
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"],
    *,
    windows: tuple[int, ...],
    causal: bool,
    attend_self: bool,
    deduplicate: bool,
    scale: float,
    transform: ScoreTransform | None = None,
) -> Float[Tensor, "batch heads queries head_dim"]:
    """See `window_attention`, which checks the arguments; without a key, keys are `unit_vectors(query)`."""
    slots = None if query_slots is key_slots else key_slots
    call = (query, key, value, query_slots, slots, list(windows), causal, attend_self, deduplicate, scale)
    learned = (None, 0) if transform is None else (transform.coefficients, transform.number)
    return _forward(*call, *learned)[0]
