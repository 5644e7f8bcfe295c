"""Fusion: steps of a temporal convolution, pooled over several ranges, the poolings mixed by gates."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, gelu, max_pool1d, pad

from reformer.nn.past_inputs import pack_real
from reformer.nn.steady_rows import steady_rows
from reformer.ops import standard


class Gates(nn.Module):
    """`sum_p g_p v_p`: vectors mixed by one number each, `g = sigmoid(W [v_1; v_2; ...] + b)`."""

    def __init__(self, size: int, vectors: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(vectors * size, vectors)

    def forward(self, vectors: Sequence[Float[Tensor, "*batch size"]]) -> Float[Tensor, "*batch size"]:
        side_by_side = torch.stack(tuple(vectors), -2)
        return (steady_rows(self.weigh, side_by_side.flatten(-2)).sigmoid()[..., None] * side_by_side).sum(-2)


class StridedConvolution(nn.Module):
    """A step for every `stride` tokens: `gelu(sum_o x_(stride t + o) A_o + b)` over a window of `kernel` tokens.

    Args:
        width: of a token.
        size: of a step.
        kernel, stride: the window's length, and how far it moves; no token is skipped, so `kernel >= stride`.
    """

    def __init__(self, width: int, size: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.project = nn.Linear(kernel * width, size)

    def forward(self, tokens: Float[Tensor, "batch rows width"]) -> Float[Tensor, "batch steps size"]:
        """The steps whose windows begin at rows 0, stride, 2 stride, ... and end within the rows."""
        windows = tokens.unfold(1, self.kernel, self.stride)
        return gelu(self.project(windows.transpose(2, 3).flatten(2)))

    def around(self, tokens: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch steps size"]:
        """The steps of a whole sequence, each with its window around its own tokens; zeros stand beyond the ends."""
        steps = -(-tokens.shape[1] // self.stride)
        before = (self.kernel - self.stride) // 2
        after = (steps - 1) * self.stride + self.kernel - before - tokens.shape[1]
        return self(pad(tokens, (0, 0, before, after)))


def real_steps(mask: Bool[Tensor, "batch length"], stride: int) -> Bool[Tensor, "batch steps"]:
    """Mask of the steps of packed tokens that hold a real one."""
    steps = -(-mask.shape[1] // stride)
    return torch.arange(steps, device=mask.device) * stride < mask.sum(-1, keepdim=True)


class FusionPooling(nn.Module):
    """One vector for a sequence: the mean and the maximum of all its steps and, for each range `n`, the greatest mean
    and the mean maximum of `n` steps, mixed by gates (`docs/math.md`, equation 32).

    The ranges stand side by side from the first real token on. Padding is invisible.

    Args:
        width: of a token.
        size: of the result.
        kernel, stride: of the convolution, see `StridedConvolution`.
        ranges: how many steps are pooled together.
    """

    def __init__(self, width: int, size: int, kernel: int, stride: int, ranges: Sequence[int]) -> None:
        super().__init__()
        self.ranges = tuple(ranges)
        # `align` is the name of saved weights.
        self.align = StridedConvolution(width, size, kernel, stride)
        self.gates = Gates(size, 2 + 2 * len(self.ranges))

    def forward(
        self, hidden: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch size"]:
        packed, _ = pack_real(hidden, mask)
        steps, real = self.align.around(packed), real_steps(mask, self.align.stride)
        vectors = list(pooled(steps, real))
        for size in self.ranges:
            missing = -steps.shape[1] % size
            parts, real_parts = pad(steps, (0, 0, 0, missing)), pad(real, (0, missing))
            mean, highest = pooled(parts.unflatten(1, (-1, size)), real_parts.unflatten(1, (-1, size)))
            some = real_parts.unflatten(1, (-1, size)).any(-1)
            vectors += [pooled(mean, some)[1], pooled(highest, some)[0]]
        return self.gates(vectors)


def pooled(
    vectors: Float[Tensor, "*batch several size"], real: Bool[Tensor, "*batch several"]
) -> tuple[Float[Tensor, "*batch size"], Float[Tensor, "*batch size"]]:
    """Mean and maximum of the real ones; zeros where there are none."""
    mask = real[..., None]
    mean = vectors.masked_fill(~mask, 0).sum(-2) / mask.sum(-2).clamp_min(1)
    return mean, vectors.masked_fill(~mask, torch.finfo(vectors.dtype).min).amax(-2).where(
        real.any(-1, keepdim=True), 0
    )


class TrailingRangePooling(nn.Module):
    """Every step mixed by gates with the mean and the maximum of several ranges of steps that end at it.

    Args:
        size: of a step.
        ranges: how many steps each range has.
    """

    def __init__(self, size: int, ranges: Sequence[int]) -> None:
        super().__init__()
        self.ranges = tuple(ranges)
        self.reach = max(self.ranges, default=1) - 1
        self.gates = Gates(size, 1 + 2 * len(self.ranges))

    def forward(
        self, steps: Float[Tensor, "batch rows size"], real: Bool[Tensor, "batch rows"]
    ) -> Float[Tensor, "batch steps size"]:
        """One result for each row but the first `reach`, which stand before them. Only real rows count."""
        vectors = [steps[:, self.reach :]]
        for size in self.ranges:
            begin = self.reach + 1 - size
            rows, counted = steps[:, begin:], real[:, begin:, None]
            # The same sums whatever comes later: each window is added up by itself.
            shares = _sliding(avg_pool1d, counted.to(rows.dtype).transpose(1, 2), size)
            means = _sliding(avg_pool1d, rows.masked_fill(~counted, 0).transpose(1, 2), size) / shares.clamp_min(
                0.5 / size
            )
            lowest = torch.finfo(rows.dtype).min
            highest = _sliding(max_pool1d, rows.masked_fill(~counted, lowest).transpose(1, 2), size).where(
                shares > 0, 0
            )
            vectors += [means.transpose(1, 2), highest.transpose(1, 2)]
        return self.gates(vectors)


def _sliding(
    pool: Callable[..., Tensor], rows: Float[Tensor, "batch size rows"], size: int
) -> Float[Tensor, "batch size steps"]:
    """The mean or the maximum of every `size` neighbouring rows."""
    if not standard.is_traced():
        return pool(rows, size, 1)
    # Of an open number of rows, PyTorch's pooling cannot be traced.
    steps = rows.shape[-1] - size + 1
    total = rows[..., :steps]
    for offset in range(1, size):
        row = rows[..., offset : offset + steps]
        total = torch.maximum(total, row) if pool is max_pool1d else total + row
    return total if pool is max_pool1d else total / size
