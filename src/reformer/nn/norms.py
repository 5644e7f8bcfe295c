"""Norms of vectors by name: layer norms and root mean square norms."""

from jaxtyping import Float
from torch import Tensor, nn


class RMSNorm(nn.RMSNorm):
    """Root mean square norm in the precision of its weights, which autocast has no rule for (Zhang, Sennrich 2019)."""

    def forward(self, x: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch channels"]:
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)


NORMS: dict[str, type[nn.LayerNorm] | type[RMSNorm]] = {"layer": nn.LayerNorm, "rms": RMSNorm}
