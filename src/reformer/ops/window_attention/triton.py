"""Window attention by Triton's kernels, as operators with gradients that can be traced."""

import struct
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reformer.ops import gpu
from reformer.ops.self_check import SelfCheck
from reformer.ops.strides import contiguous_rows
from reformer.ops.unit_vectors import SHORTEST
from reformer.ops.window_attention import triton_rows
from reformer.ops.window_attention.self_check import discrepancy
from reformer.ops.window_attention.transforms import ScoreTransform
from reformer.ops.window_attention.triton_rows import Arrangement
from reformer.ops.window_attention.triton_tiles import Tiling, tiling

MAX_HEAD_DIM = 256
"""The largest head_dim whose tiles fit into the shared memory of a multiprocessor."""


def why_unsupported(
    query: Float[Tensor, "batch heads queries head_dim"], key: Float[Tensor, "batch heads length head_dim"]
) -> str | None:
    """Why the kernels cannot compute a call with this query and key; None if they can."""
    reason = gpu.why_unsupported(query)
    if reason is not None:
        return reason
    if query.shape[3] > MAX_HEAD_DIM:
        return f"head_dim is {query.shape[3]}, the kernels take at most {MAX_HEAD_DIM}"
    if max(query.shape[2], key.shape[2]) > gpu.MAX_LENGTH:
        return f"a length is over {gpu.MAX_LENGTH}"
    return None


def serves(query: Float[Tensor, "batch heads queries head_dim"]) -> bool:
    """Whether the kernels are chosen by default: on a GPU where they passed the self-check."""
    return SELF_CHECK.serves(query)


@torch.library.custom_op("reformer::window_arrangement_triton", mutates_args=())
def _arrange(
    query_slots: Tensor, key_slots: Tensor | None, windows: list[int], causal: bool, with_self_key: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return triton_rows.arrange(query_slots, key_slots, windows, causal, with_self_key)


@_arrange.register_fake
def _(
    query_slots: Tensor, key_slots: Tensor | None, windows: list[int], causal: bool, with_self_key: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return triton_rows.fake_arrangement(query_slots, key_slots, with_self_key)


_OPTIONS = "int[] windows, bool causal, bool attend_self, bool deduplicate, float scale, str precision"
_TRANSFORM = "Tensor? coefficients=None, int transform=0"
_SCHEMA = (
    "Tensor query, Tensor? key, Tensor value, Tensor key_order, Tensor present, Tensor places, Tensor seen, "
    f"Tensor query_order, Tensor begins, Tensor self_key, {_OPTIONS}, {_TRANSFORM}"
)


class _Call:
    """One call: the arguments of every launch in either direction. Without a key, keys are the queries divided by their
    length."""

    def __init__(self, *arguments: Any) -> None:
        query, key, value, *arranged = arguments[:10]
        self.windows, self.causal, self.attend_self, self.deduplicate, self.scale, self.precision = arguments[10:16]
        self.query, self.value = contiguous_rows(query), contiguous_rows(value)
        self.shared_keys = key is None
        self.key = self.query if key is None else contiguous_rows(key)
        self.rows = Arrangement(*arranged)
        self.one_row = self.rows.query_order.numel() == 0
        self.query_order = self.rows.key_order if self.one_row else self.rows.query_order
        self.batch, self.heads, self.queries, self.dim = query.shape
        self.length = self.key.shape[2]
        self.exact = torch.float64 if query.dtype == torch.float64 else torch.float32
        learned, self.transform = arguments[16:] or (None, 0)
        self.coefficients = None if learned is None else learned.detach().to(self.exact).contiguous()
        # The interpreter holds bfloat16 as plain integers and cannot multiply it.
        self.product = torch.float32 if gpu.INTERPRETED and query.dtype == torch.bfloat16 else query.dtype

    @property
    def orderings(self) -> int:
        return len(self.windows)

    def empty_sums(self, *shape: int) -> Float[Tensor, "batch heads *shape"]:
        """Accumulators for every batch item and head."""
        return self.query.new_empty(self.batch, self.heads, *shape, dtype=self.exact)

    def between(self, length: int, also_at_the_end: bool = False) -> Float[Tensor, "..."]:
        """Sums that one ordering leaves for the next, `[batch, heads, length, dim]`; empty where there is no next."""
        kept = self.orderings > 1 or also_at_the_end
        return self.empty_sums(length, self.dim) if kept else self.empty_sums(0)

    def tilings(self, name: str) -> list[Tiling]:
        """The tile sizes of each ordering."""
        return [tiling(name, self.query, window) for window in self.windows]

    def empty_parts(self) -> Float[Tensor, "batch heads tiles count"] | None:
        """The part of each tile of queries in the gradient of the coefficients, tiles of all orderings side by side."""
        if self.coefficients is None:
            return None
        tiles = sum(-(-self.queries // shape.tile) for shape in self.tilings("backward_queries"))
        return self.empty_sums(tiles, self.coefficients.shape[1])

    def launch(self, kernel: Any, name: str, length: int, *arguments: Any, **options: Any) -> None:
        """Launch once an ordering, over all tiles of rows of this length and all heads.

        Args:
            arguments: the tensors of this kernel, then their steps. The arguments of all kernels follow.
        """
        shapes, tiles_before = self.tilings(name), 0
        all_tiles = sum(-(-length // shape.tile) for shape in shapes)
        for ordering, shape in enumerate(shapes):
            per_program = shape.keys if name == "backward_keys" else shape.tile
            tiles = -(-length // per_program)
            # Triton passes floats in single precision; two of them keep the digits of float64. A tensor would make the
            # host wait where the default device is a GPU.
            [high] = struct.unpack("f", struct.pack("f", self.scale))
            of_direction: dict[str, int] = {}
            if name == "backward_keys":
                of_direction = {"reach": triton_rows.reach(self.windows[ordering], self.length)}
            elif name == "backward_queries":
                of_direction = {"all_tiles": all_tiles, "tiles_before": tiles_before}
            tiles_before += tiles
            with gpu.device_guard(self.query):
                kernel[(self.batch * self.heads * tiles,)](
                    *arguments,
                    *triton_rows.pair_steps(self.rows.seen),
                    *triton_rows.pair_steps(self.rows.key_order),
                    heads=self.heads,
                    queries=self.queries,
                    length=self.length,
                    orderings=self.orderings,
                    ordering=ordering,
                    tiles=tiles,
                    scale_high=high,
                    scale_low=self.scale - high,
                    shortest=SHORTEST,
                    first=ordering == 0,
                    last=ordering == self.orderings - 1,
                    one_row=self.one_row,
                    shared_keys=self.shared_keys,
                    deduplicate=self.deduplicate,
                    attend_self=self.attend_self,
                    dim=self.dim,
                    wide=gpu.next_power_of_2(self.dim, 16),
                    precision=self.precision,
                    exact=_triton_dtype(self.exact),
                    product=_triton_dtype(self.product),
                    coefficients=self.coefficients,
                    count=0 if self.coefficients is None else self.coefficients.shape[1],
                    transform=self.transform,
                    **shape.arguments(),
                    **of_direction,
                    **options,
                )


def _triton_dtype(dtype: torch.dtype) -> Any:
    from triton import language  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]

    return getattr(language, str(dtype).removeprefix("torch."))


def _steps(*tensors: Float[Tensor, "_ _ _ _"]) -> list[int]:
    """The strides of batch, heads and tokens of each tensor."""
    return [step for tensor in tensors for step in tensor.stride()[:3]]


@torch.library.custom_op(
    "reformer::window_attention_triton", mutates_args=(), schema=f"({_SCHEMA}) -> (Tensor, Tensor)"
)
def _forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    from reformer.ops.window_attention.triton_kernels import forward

    call = _Call(*arguments)
    # In any other layout than that of the query, merging the heads takes a copy.
    output, log_sum = torch.empty_like(call.query), call.empty_sums(call.queries)
    rows = call.rows
    call.launch(
        forward.forward, "forward", call.queries,
        call.query, call.key, call.value, output, log_sum, call.between(call.queries),
        call.query_order, rows.key_order, rows.seen, rows.places, rows.self_key,
        *_steps(call.query, call.key, call.value, output),
    )  # fmt: skip
    return output, log_sum


@_forward.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor]:
    call = _Call(*arguments)
    return torch.empty_like(call.query), call.empty_sums(call.queries)


@torch.library.custom_op(
    "reformer::window_attention_triton_backward",
    mutates_args=(),
    schema=f"(Tensor grad_output, Tensor output, Tensor log_sum, {_SCHEMA}) -> Tensor[]",
)
def _backward(grad_output: Tensor, output: Tensor, log_sum: Tensor, *arguments: Any) -> list[Tensor]:
    from reformer.ops.window_attention.triton_kernels import backward

    call = _Call(*arguments)
    rows, grad_output = call.rows, contiguous_rows(grad_output)
    gradients = _empty_gradients(call)
    query, *key, value = gradients
    delta = torch.empty_like(log_sum)
    of_query = call.between(call.queries, also_at_the_end=call.shared_keys)
    parts = call.empty_parts()
    call.launch(
        backward.backward_queries, "backward_queries", call.queries,
        call.query, call.key, call.value, output, grad_output, query, log_sum, delta, of_query, parts,
        call.query_order, rows.key_order, rows.seen, rows.places, rows.self_key,
        *_steps(call.query, call.key, call.value, output, grad_output, query),
    )  # fmt: skip
    of_key = key[0] if key else query
    call.launch(
        backward.backward_keys, "backward_keys", call.length,
        call.query, call.key, call.value, grad_output, query, of_key, value, log_sum, delta,
        of_query, call.between(call.length), call.between(call.length),
        call.query_order, rows.key_order, rows.seen, rows.places, rows.self_key, rows.present, rows.begins,
        *_steps(call.query, call.key, call.value, grad_output, query, of_key, value),
        group=triton_rows.GROUP, groups=max(0, rows.begins.shape[-1] - 1), causal=call.causal,
    )  # fmt: skip
    # A sum in one order, not atomic additions: equal runs give equal bits.
    return gradients if parts is None else [*gradients, parts.sum((0, 2))]


def _empty_gradients(call: _Call) -> list[Float[Tensor, "batch heads _ head_dim"]]:
    tensors = (call.query, call.value) if call.shared_keys else (call.query, call.key, call.value)
    return [torch.empty_like(tensor) for tensor in tensors]


@_backward.register_fake
def _(_: Tensor, __: Tensor, ___: Tensor, *arguments: Any) -> list[Tensor]:
    call = _Call(*arguments)
    gradients = _empty_gradients(call)
    return gradients if call.coefficients is None else [*gradients, torch.empty_like(call.coefficients)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*output, *inputs[:10], inputs[16])
    ctx.options, ctx.transform = inputs[10:16], inputs[17]


def _differentiate(ctx: Any, grad_output: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, coefficients = ctx.saved_tensors
    gradients = _backward(grad_output, *tensors, *ctx.options, coefficients, ctx.transform)
    grad_coefficients = None if coefficients is None else gradients.pop().to(coefficients.dtype)
    query, *key, value = gradients
    return query, key[0] if key else None, value, *[None] * 13, grad_coefficients, None


_forward.register_autograd(_differentiate, setup_context=_keep)


@torch.compiler.assume_constant_result
def _float32_products() -> str:
    """How kernels multiply float32. `allow_tf32` would tell it too, but raises where `fp32_precision` was set."""
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "tf32x3"


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
    """See `window_attention`, which checks the arguments; without a key, keys are `unit_vectors(query)`.

    A product of float32 is three of TensorFloat32, which keep its digits, or one where torch's own products are
    (`torch.backends.cuda.matmul.fp32_precision = "tf32"`, formerly `allow_tf32`).
    """
    slots = None if query_slots is key_slots else key_slots
    with_self_key = not attend_self and slots is not None
    arranged = _arrange(query_slots, slots, list(windows), causal, with_self_key)
    options = (list(windows), causal, attend_self, deduplicate, scale, _float32_products())
    learned = (None, 0) if transform is None else (transform.coefficients, transform.number)
    return _forward(query, key, value, *arranged, *options, *learned)[0]


SELF_CHECK = SelfCheck("window attention", partial(discrepancy, attend))
