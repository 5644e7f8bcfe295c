"""One layer of the stack as its sub-layers: each normalises its input, transforms it and drops out."""

from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.memory import Memory
from reformer.nn.replay import Replay
from reformer.nn.tokens import Tokens


class SubLayer(nn.Module):
    """`dropout(function(norm(x)))`: what is added to a residual stream (pre-norm).

    Args:
        function: a module called as `function(hidden, tokens, replay, memory)`.
        hidden_size: the width of the stream.
        dropout: the probability; equal whenever the sub-layer is run again for one forward pass.
        eps: of the layer norm.
    """

    def __init__(self, function: nn.Module, hidden_size: int, dropout: float = 0.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size, eps=eps)
        self.function = function
        self.dropout = dropout

    def forward(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        return replay.dropout(self.function(self.norm(hidden), tokens, replay, memory), self.dropout)
