"""Time bias: a bias of scores by the tokens' positions, as one more column of queries and keys."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Waves = tuple[Float[Tensor, "#batch heads length"], Float[Tensor, "#batch heads length"]]


def time_waves(positions: Int[Tensor, "batch length"], steps: Sequence[float], length: int) -> Waves:
    """Sines and cosines of `(pi * position * step / length)^2` for each head's step, to be shared by all layers.

    In float64: rounding leaves `2^-52` of the phase, a thousandth where it is `10^12`.
    """
    turns = torch.tensor(steps, dtype=torch.float64, device=positions.device) * (math.pi / length)
    phase = (positions[:, None].double() * turns[:, None]).square()
    return phase.sin().float(), phase.cos().float()


class TimeBias(nn.Module):
    """Adds `W(i) b(j) + b(j)` to the score of query `i` and key `j` (`docs/math.md`, equation 15).

    With `W = a sin` and `b = a cos` that is `a (1 + a sin) * cos`, the product of one number of the query and one of
    the key: one more column of both. The amplitude `a` of each head starts at zero, where nothing is added but the
    gradient, the cosine, is not zero.

    Args:
        heads: how many heads of queries there are.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.amplitude = nn.Parameter(torch.zeros(heads))

    def forward(
        self,
        query: Float[Tensor, "batch heads length head_dim"],
        key: Float[Tensor, "batch key_heads length head_dim"],
        value: Float[Tensor, "batch key_heads length head_dim"],
        scale: float,
        waves: Waves,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All three one column wider: scores gain the bias, and outputs a column of zeros.

        Args:
            scale: what scores will be multiplied by.
            waves: of the heads of queries; heads that share keys have the same.
        """
        sine, cosine = waves
        amplitude = self.amplitude[:, None]
        of_query = amplitude * (1 + amplitude * sine) / scale
        of_key = cosine[:, :: query.shape[1] // key.shape[1]].expand(key.shape[:3])
        query = torch.cat((query, of_query.expand(query.shape[:3])[..., None].to(query.dtype)), -1)
        key = torch.cat((key, of_key[..., None].to(key.dtype)), -1)
        return query, key, nn.functional.pad(value, (0, 1))


def waves_of_heads(time: Waves | None, heads: Sequence[int] | None) -> tuple[Tensor, Tensor]:
    """The waves of some of the heads."""
    if time is None or heads is None:
        raise ValueError("a time bias without the waves of the positions; give Tokens their `time`")
    if len(heads) == time[0].shape[1]:
        return time
    index = torch.tensor(heads, device=time[0].device)
    return time[0].index_select(1, index), time[1].index_select(1, index)
