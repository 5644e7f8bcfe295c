"""Counting of small numbers in rows, and sorting by it, with Triton's kernels."""

# A kernel is launched by `kernel[grid](...)`.
# pyright: reportIndexIssue=false

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from reformer.ops import gpu
from reformer.ops.orderings.layout import BUCKET_STRIDE

BLOCK = 128
"""Tokens that are compared with each other at a time."""

SEGMENT = 2048
"""The shortest segment of a row that one program walks."""


class Counts:
    """Counts of the numbers below `kinds` in each row: of a whole row, and of what stands before each of its segments.

    Args:
        numbers: any integer type, contiguous; numbers outside `0, ..., kinds - 1` are not counted.
        mask: False for a token that is not counted.
        kinds: how many different numbers there are.
    """

    def __init__(
        self, numbers: Int[Tensor, "batch *rows length"], mask: Bool[Tensor, "batch length"] | None, kinds: int
    ) -> None:
        from reformer.ops.orderings.triton_kernels import counting

        self._kernels = counting
        self.length, self.kinds = numbers.shape[-1], kinds
        self.rows = numbers[..., 0].numel()
        self.rows_per_item = max(1, self.rows // max(1, numbers.shape[0]))
        # With shorter segments, the tables of many kinds would take more than four entries a token.
        self.segment = max(SEGMENT, gpu.next_power_of_2(kinds) // 4)
        self.segments = -(-self.length // self.segment)
        self.table = numbers.new_zeros(self.rows, self.segments, kinds, dtype=torch.int32)
        self.totals = self.table.new_empty(self.rows, kinds)
        blocks = -(-kinds // 256)
        with gpu.device_guard(numbers):
            self._kernels.count[(self.rows * self.segments,)](
                numbers, mask, self.table, *self._sizes, masked=mask is not None, block=1024
            )
            self._kernels.scan[(self.rows * blocks,)](self.table, self.totals, kinds, self.segments, blocks, block=256)

    @property
    def _sizes(self) -> tuple[int, int, int, int, int]:
        return self.length, self.rows_per_item, self.kinds, self.segments, self.segment

    def slots(
        self,
        keys: Int[Tensor, "batch *rows length"],
        mask: Bool[Tensor, "batch length"] | None,
        queries: Int[Tensor, "batch *rows length"] | None = None,
        query_mask: Bool[Tensor, "batch length"] | None = None,
        causal: bool = False,
    ) -> Int[Tensor, "batch *rows length"]:
        """The slots of the keys that were counted, or of the queries that are aligned with them."""
        slots = keys.new_empty(keys.shape, dtype=torch.int64)
        with gpu.device_guard(keys):
            self._kernels.rank[(self.rows * self.segments,)](
                keys, queries, mask, query_mask, self.table, slots, *self._sizes, BUCKET_STRIDE,
                masked=mask is not None, queries_masked=query_mask is not None, with_queries=queries is not None,
                causal=causal, block=BLOCK, num_warps=8,
            )  # fmt: skip
        return slots

    def middle_slots(
        self, queries: Int[Tensor, "batch *rows queries"], query_mask: Bool[Tensor, "batch queries"] | None
    ) -> Int[Tensor, "batch *rows queries"]:
        """The slots of queries of another sequence: the middle of their bucket's row."""
        slots = queries.new_empty(queries.shape, dtype=torch.int64)
        blocks = -(-queries.shape[-1] // 1024)
        with gpu.device_guard(queries):
            self._kernels.middle[(self.rows * blocks,)](
                queries, query_mask, self.totals, slots, queries.shape[-1], self.rows_per_item, self.kinds, blocks,
                BUCKET_STRIDE, masked=query_mask is not None, block=1024,
            )  # fmt: skip
        return slots

    def order(
        self, numbers: Int[Tensor, "batch *rows length"]
    ) -> tuple[Int[Tensor, "batch *rows length"], Int[Tensor, "all_rows bounds"]]:
        """A stable sort of the numbers that were counted, all of them unmasked and below `kinds`.

        Returns:
            int32, the tokens of each row by number; and int32 `[rows, kinds + 1]`, where each number begins.
        """
        begins = torch.nn.functional.pad(self.totals.cumsum(-1, dtype=torch.int32), (1, 0))
        order = numbers.new_empty(numbers.shape, dtype=torch.int32)
        with gpu.device_guard(numbers):
            self._kernels.file_away[(self.rows * self.segments,)](
                numbers, self.table, begins, order, self.length, self.kinds, self.segments, self.segment,
                block=BLOCK, num_warps=8,
            )  # fmt: skip
        return order, begins
