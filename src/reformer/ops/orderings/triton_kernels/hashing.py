"""The hashing kernel: the argmax of products with a rotation, which are never stored."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def hash_factor(
    vectors, rotation, buckets, length, heads, blocks, batch_step, head_step, token_step,
    rounds: tl.constexpr, dim: tl.constexpr, half: tl.constexpr, first: tl.constexpr,
    block: tl.constexpr, wide_dim: tl.constexpr, wide_half: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """One program a block of tokens of one head, all rounds: one more digit of each token's bucket (equation 2).

    Args:
        vectors: `[batch, heads, length, dim]`, any strides but the last.
        rotation: `[heads, rounds, dim, half]`, float32, contiguous.
        buckets: int64 `[batch, heads, rounds, length]`, uninitialised before the `first` factor.
    """
    program = tl.program_id(0).to(tl.int64)
    row = program // blocks
    item, head = row // heads, row % heads
    token = (program % blocks) * block + tl.arange(0, block)
    inside = token < length
    column, side = tl.arange(0, wide_dim), tl.arange(0, wide_half)
    vectors += item * batch_step + head * head_step + token[:, None] * token_step + column[None, :]
    vector = tl.load(vectors, mask=inside[:, None] & (column < dim)[None, :], other=0.0).to(tl.float32)
    for turn in range(rounds):
        turned = tl.load(
            rotation + (head * rounds + turn) * dim * half + column[:, None] * half + side[None, :],
            mask=(column < dim)[:, None] & (side < half)[None, :],
            other=0.0,
        )
        projected = tl.dot(vector, turned, input_precision=precision)
        size = tl.where((side < half)[None, :], tl.abs(projected), -1.0)
        direction = tl.argmax(size, 1, tie_break_left=True)
        value = tl.sum(tl.where(side[None, :] == direction[:, None], projected, 0.0), 1)
        digit = (direction + tl.where(value < 0, half, 0)).to(tl.int64)
        here = buckets + (row * rounds + turn) * length + token
        if not first:
            digit += tl.load(here, mask=inside, other=0) * (2 * half)
        tl.store(here, digit, mask=inside)
