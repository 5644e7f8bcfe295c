"""Hashing and slots by Triton's kernels, as operators that can be traced."""

# A kernel is launched by `kernel[grid](...)`.
# pyright: reportIndexIssue=false

import torch
from torch import Tensor

from reformer.ops import gpu

BLOCK = 128
"""Tokens that are compared with each other at a time."""

SEGMENT = 2048
"""The shortest stretch of a row that one program walks."""


@torch.library.custom_op("reformer::hash_buckets_triton", mutates_args=())
def hash_buckets(vectors: Tensor, rotations: list[Tensor]) -> Tensor:
    """`orderings.hash_buckets`, all heads and rounds in one launch a factor."""
    from reformer.ops.orderings.triton_kernels import hashing as hashing_kernels

    batch, heads, length, dim = vectors.shape
    rounds = rotations[0].shape[1]
    vectors = gpu.rows(vectors)
    buckets = vectors.new_empty(batch, heads, rounds, length, dtype=torch.int64)
    wide = gpu.power(dim, 16)
    block = max(16, min(BLOCK, 8192 // wide))
    blocks = -(-length // block)
    for index, rotation in enumerate(rotations if buckets.numel() else ()):
        half = rotation.shape[-1]
        with gpu.on(vectors):
            hashing_kernels.hash_factor[(batch * heads * blocks,)](
                vectors,
                rotation.to(vectors.device, torch.float32).contiguous(),
                buckets,
                length,
                heads,
                blocks,
                *vectors.stride()[:3],
                rounds=rounds,
                dim=dim,
                half=half,
                first=index == 0,
                block=block,
                wide_dim=wide,
                wide_half=gpu.power(half, 16),
                # Three products of tensor cores keep float32's digits, which decide between buckets.
                precision="tf32x3",
            )
    return buckets


@hash_buckets.register_fake
def _(vectors: Tensor, rotations: list[Tensor]) -> Tensor:
    batch, heads, length, _ = vectors.shape
    return vectors.new_empty(batch, heads, rotations[0].shape[1], length, dtype=torch.int64)


class Counts:
    """How often each of several small numbers stands in each segment of each row, and before it.

    Args:
        numbers: integers `[batch, ..., length]`, contiguous; what is negative or not below `kinds` is not counted.
        mask: bool `[batch, length]`, False for what is not counted.
    """

    def __init__(self, numbers: Tensor, mask: Tensor | None, kinds: int) -> None:
        from reformer.ops.orderings.triton_kernels import counting as counting_kernels

        self.kernels = counting_kernels
        self.length, self.kinds = numbers.shape[-1], kinds
        self.rows = numbers[..., 0].numel()
        self.rows_per_item = max(1, self.rows // max(1, numbers.shape[0]))
        # Tables of no more than four entries a token.
        self.segment = max(SEGMENT, gpu.power(kinds) // 4)
        self.segments = -(-self.length // self.segment)
        self.table = numbers.new_zeros(self.rows, self.segments, kinds, dtype=torch.int32)
        self.totals = self.table.new_empty(self.rows, kinds)
        blocks = -(-kinds // 256)
        with gpu.on(numbers):
            self.kernels.count[(self.rows * self.segments,)](
                numbers, mask, self.table, *self.sizes, masked=mask is not None, block=1024
            )
            self.kernels.scan[(self.rows * blocks,)](self.table, self.totals, kinds, self.segments, blocks, block=256)

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        return self.length, self.rows_per_item, self.kinds, self.segments, self.segment

    def slots(
        self,
        keys: Tensor,
        mask: Tensor | None,
        stride: int,
        queries: Tensor | None = None,
        query_mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """The slots of the keys, or of the queries beside them."""
        slots = keys.new_empty(keys.shape, dtype=torch.int64)
        with gpu.on(keys):
            self.kernels.rank[(self.rows * self.segments,)](
                keys, queries, mask, query_mask, self.table, slots, *self.sizes, stride,
                masked=mask is not None, queries_masked=query_mask is not None, with_queries=queries is not None,
                causal=causal, block=BLOCK, num_warps=8,
            )  # fmt: skip
        return slots

    def middles(self, queries: Tensor, query_mask: Tensor | None, stride: int) -> Tensor:
        """The slots of queries of another sequence."""
        slots = queries.new_empty(queries.shape, dtype=torch.int64)
        blocks = -(-queries.shape[-1] // 1024)
        with gpu.on(queries):
            self.kernels.middle[(self.rows * blocks,)](
                queries, query_mask, self.totals, slots, queries.shape[-1], self.rows_per_item, self.kinds, blocks,
                stride, masked=query_mask is not None, block=1024,
            )  # fmt: skip
        return slots

    def order(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens sorted by number, int32 like `numbers`, equal numbers in their order; and the place where each
        number begins, `[rows, kinds + 1]`. Every number must have been counted."""
        begins = torch.nn.functional.pad(self.totals.cumsum(-1, dtype=torch.int32), (1, 0))
        order = numbers.new_empty(numbers.shape, dtype=torch.int32)
        with gpu.on(numbers):
            self.kernels.file_away[(self.rows * self.segments,)](
                numbers, self.table, begins, order, self.length, self.kinds, self.segments, self.segment,
                block=BLOCK, num_warps=8,
            )  # fmt: skip
        return order, begins


@torch.library.custom_op("reformer::bucket_slots_triton", mutates_args=())
def bucket_slots(buckets: Tensor, mask: Tensor | None, kinds: int, stride: int) -> Tensor:
    """`orderings.bucket_slots` by counting; buckets below `kinds`."""
    if buckets.numel() == 0:
        return torch.empty_like(buckets, dtype=torch.int64)
    buckets, mask = buckets.contiguous(), None if mask is None else mask.contiguous()
    return Counts(buckets, mask, kinds).slots(buckets, mask, stride)


@bucket_slots.register_fake
def _(buckets: Tensor, mask: Tensor | None, kinds: int, stride: int) -> Tensor:
    return buckets.new_empty(buckets.shape, dtype=torch.int64)


@torch.library.custom_op("reformer::bucket_query_slots_triton", mutates_args=())
def bucket_query_slots(
    queries: Tensor,
    keys: Tensor,
    mask: Tensor | None,
    query_mask: Tensor | None,
    kinds: int,
    stride: int,
    causal: bool,
    aligned: bool,
) -> Tensor:
    """`orderings.bucket_query_slots` by counting."""
    if queries.numel() == 0:
        return torch.empty_like(queries, dtype=torch.int64)
    queries, keys = queries.contiguous(), keys.contiguous()
    mask, query_mask = (None if each is None else each.contiguous() for each in (mask, query_mask))
    counts = Counts(keys, mask, kinds)
    if aligned:
        return counts.slots(keys, mask, stride, queries, query_mask, causal)
    return counts.middles(queries, query_mask, stride)


@bucket_query_slots.register_fake
def _(
    queries: Tensor,
    keys: Tensor,
    mask: Tensor | None,
    query_mask: Tensor | None,
    kinds: int,
    stride: int,
    causal: bool,
    aligned: bool,
) -> Tensor:
    return queries.new_empty(queries.shape, dtype=torch.int64)
